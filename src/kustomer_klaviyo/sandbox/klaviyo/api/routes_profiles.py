"""Profiles: reading, creating, changing, importing; and the account itself."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import (
    BY_ANY_VALUE,
    EQUALS,
    Field,
    Fields,
    Keys,
    matching,
    ordered,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.marketing_resources import audience_resource
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT, OPTIONS, json_body, revision_of
from kustomer_klaviyo.sandbox.klaviyo.api.query import additional, included, listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.resources import profile_resource
from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, document, invalid, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.profiles import DuplicateProfile, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.model.records import Profile
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import (
    ProfileIn,
    fields_of_profiles,
    read_profile,
    require_identifier,
)

LARGEST_PROFILE = 100_000


def _marketing(profile: Profile) -> dict[str, Any]:
    found: dict[str, Any] = profile.subscriptions["email"]["marketing"]
    return found


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _suppressed(kind: str, part: str, read: Callable[[Any], Any] = str) -> Callable[[Profile], tuple[Any, ...]]:
    return lambda profile: tuple(read(one[part]) for one in _marketing(profile)[kind])


def _first(of: Callable[[Profile], tuple[Any, ...]]) -> Callable[[Profile], Any]:
    return lambda profile: min(of(profile), default=None)


SUPPRESSIONS = "subscriptions.email.marketing.suppression"
LIST_SUPPRESSIONS = "subscriptions.email.marketing.list_suppressions"
SUPPRESSED_AT, OFF_LIST_AT = (
    _suppressed("suppression", "timestamp", _moment),
    _suppressed("list_suppressions", "timestamp", _moment),
)
CREATED_OR_UPDATED = frozenset({"greater-than", "less-than"})
PROFILE_FILTERS: Fields[Profile] = {
    "id": Field(BY_ANY_VALUE, lambda profile: profile.id),
    "email": Field(BY_ANY_VALUE, lambda profile: profile.attributes.get("email")),
    "phone_number": Field(BY_ANY_VALUE, lambda profile: profile.attributes.get("phone_number")),
    "external_id": Field(BY_ANY_VALUE, lambda profile: profile.attributes.get("external_id")),
    "_kx": Field(EQUALS, lambda profile: profile.attributes.get("_kx")),
    "created": time_field(lambda profile: profile.created, CREATED_OR_UPDATED),
    "updated": time_field(lambda profile: profile.updated, CREATED_OR_UPDATED),
    f"{SUPPRESSIONS}.reason": Field(EQUALS, _suppressed("suppression", "reason")),
    f"{SUPPRESSIONS}.timestamp": time_field(SUPPRESSED_AT),
    f"{LIST_SUPPRESSIONS}.reason": Field(EQUALS, _suppressed("list_suppressions", "reason")),
    f"{LIST_SUPPRESSIONS}.timestamp": time_field(OFF_LIST_AT),
    f"{LIST_SUPPRESSIONS}.list_id": Field(EQUALS, _suppressed("list_suppressions", "list_id")),
}
PROFILE_SORTS: Keys[Profile] = {
    "created": lambda profile: profile.created,
    "updated": lambda profile: profile.updated,
    "email": lambda profile: profile.attributes.get("email"),
    "id": lambda profile: profile.id,
    f"{SUPPRESSIONS}.timestamp": _first(SUPPRESSED_AT),
    f"{LIST_SUPPRESSIONS}.timestamp": _first(OFF_LIST_AT),
}


async def list_accounts(request: web.Request) -> web.Response:
    """``GET /api/accounts``: the one account the key belongs to."""
    options = request.app[OPTIONS]
    account = {
        "type": "account",
        "id": options.site_id,
        "attributes": {
            "test_account": True,
            "contact_information": {
                "default_sender_name": options.organization_name,
                "default_sender_email": "hello@sandbox.example",
                "website_url": "https://sandbox.example",
                "organization_name": options.organization_name,
                "street_address": {
                    "address1": "1 Sandbox Way",
                    "address2": None,
                    "city": "Boston",
                    "region": "MA",
                    "country": "United States",
                    "zip": "02110",
                },
            },
            "industry": "Ecommerce, Other",
            "timezone": options.timezone,
            "preferred_currency": "USD",
            "public_api_key": options.site_id,
            "locale": "en-US",
        },
        "links": {"self": f"{request.url.origin()}/api/accounts/{options.site_id}/"},
    }
    return document({"data": [sparse(request, account)], "links": {"self": str(request.url)}})


async def list_profiles(request: web.Request) -> web.Response:
    """``GET /api/profiles``."""
    found = matching(request, request.app[ACCOUNT].people.profiles.values(), PROFILE_FILTERS)
    part, links = listed(
        request, ordered(request, found, PROFILE_SORTS, "created"), page(request, default=20, most=100)
    )
    answer = {"data": [_read_profile(request, one) for one in part], "links": links}
    return document(with_included(request, answer))


async def get_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}``."""
    profile = profile_of(request)
    marketing, base = request.app[ACCOUNT].marketing, str(request.url.origin())
    memberships = {"lists": marketing.lists_of, "segments": marketing.segments_of}
    shown, neighbours = _read_profile(request, profile), []
    for name in included(request):
        members = [audience_resource(one, base) for one in memberships[name](profile)] if name in memberships else []
        shown["relationships"][name]["data"] = [{"type": one["type"], "id": one["id"]} for one in members]
        neighbours += members
    return document(with_included(request, {"data": shown, "links": {"self": str(request.url)}}, neighbours))


async def create_profile(request: web.Request) -> web.Response:
    """``POST /api/profiles``: 409 when one of the identifiers is taken."""
    wanted = await _read(request)
    if wanted.id is not None:
        raise invalid("'id' is not a valid field for the resource 'profile'.", "/data/id")
    try:
        profile = request.app[ACCOUNT].people.create(wanted)
    except DuplicateProfile as duplicate:
        raise _conflict(duplicate) from duplicate
    return show_profile(request, profile, wanted, status=201)


async def update_profile(request: web.Request) -> web.Response:
    """``PATCH /api/profiles/{id}``."""
    profile = profile_of(request)
    wanted = await _read(request, needs_identifier=False)
    if wanted.id != profile.id:
        raise invalid("The id of the body must be that of the path.", "/data/id")
    try:
        request.app[ACCOUNT].people.create_or_update(wanted)
    except DuplicateProfile as duplicate:
        raise _conflict(duplicate) from duplicate
    return show_profile(request, profile, wanted)


async def import_profile(request: web.Request) -> web.Response:
    """``POST /api/profile-import``: create or update, in one call."""
    wanted = await _read(request)
    try:
        profile, is_new = request.app[ACCOUNT].people.create_or_update(wanted)
    except DuplicateProfile as duplicate:
        raise _conflict(duplicate) from duplicate
    except UnknownProfile as error:
        raise not_found(f"A profile with id {wanted.id} does not exist.") from error
    return show_profile(request, profile, wanted, status=201 if is_new else 200)


async def _read(request: web.Request, *, needs_identifier: bool = True) -> ProfileIn:
    body = await json_body(request)
    if len(await request.read()) > LARGEST_PROFILE:
        raise Refusal(413, "payload_too_large", "Payload too large.", "A profile may have at most 100 KB.")
    known = fields_of_profiles(revision_of(request))
    data = body.get("data") if isinstance(body, dict) else None
    profile = read_profile(data, "/data", known=known)
    request.app[ACCOUNT].refusals.judge(profile, "/data/attributes")
    if needs_identifier:
        require_identifier(profile, "/data/attributes")
    return profile


def _conflict(duplicate: DuplicateProfile) -> Refusal:
    return Refusal(
        409,
        "duplicate_profile",
        "Conflict.",
        "A profile already exists with one of these identifiers.",
        pointer="/data/attributes",
        meta={"duplicate_profile_id": duplicate.profile_id},
    )


def show_profile(
    request: web.Request, profile: Profile, wanted: ProfileIn | None = None, *, status: int = 200
) -> web.Response:
    """Answer with one profile; ``wanted`` is what the request asked to write."""
    partly = wanted is not None and wanted.without_phone
    content = {"data": shown_profile(request, profile), "links": {"self": str(request.url)}}
    return document(content, status=status, headers={"X-Klaviyo-Partial-Failure": "phone_number"} if partly else None)


def shown_profile(request: web.Request, profile: Profile, **more: Any) -> dict[str, Any]:
    """Show a profile as the request asks for it."""
    shown = profile_resource(profile, str(request.url.origin()), revision_of(request), additional(request))
    shown["attributes"] |= more
    return sparse(request, shown)


def _read_profile(request: web.Request, profile: Profile) -> dict[str, Any]:
    """Show a profile as the two operations do that read profiles, with the way to its conversations."""
    shown = shown_profile(request, profile)
    url = shown["links"]["self"]
    links = {"self": f"{url}relationships/conversations/", "related": f"{url}conversations/"}
    return shown | {"relationships": shown["relationships"] | {"conversations": {"links": links}}}


def profile_of(request: web.Request) -> Profile:
    """Return the profile that the path names. Raises Refusal (404)."""
    profile = request.app[ACCOUNT].people.profiles.get(request.match_info["id"])
    if profile is None:
        raise not_found(f"A profile with id {request.match_info['id']} does not exist.")
    return profile
