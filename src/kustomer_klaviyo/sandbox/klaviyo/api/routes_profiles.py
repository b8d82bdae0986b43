"""API operations on profiles, and on the account itself: read, create, update, import."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT, OPTIONS
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    EQUALS,
    VALUE_OR_LIST,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.marketing_resources import audience_resource
from kustomer_klaviyo.sandbox.klaviyo.api.query import (
    additional_fields,
    page_of,
    requested_includes,
    requested_page,
    sparse_fields,
    with_included,
)
from kustomer_klaviyo.sandbox.klaviyo.api.request_pipeline import json_body, revision_of
from kustomer_klaviyo.sandbox.klaviyo.api.resources import profile_resource
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, document_response, invalid, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.profile_store import DuplicateProfile, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.model.records import Profile
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import (
    ProfileInput,
    parse_profile,
    profile_fields,
    require_identifier,
)

MAX_PROFILE_BYTES = 100_000


def _email_marketing(profile: Profile) -> dict[str, Any]:
    subscription: dict[str, Any] = profile.subscriptions["email"]["marketing"]
    return subscription


def _parse_time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _suppression_values(
    kind: str, key: str, convert: Callable[[Any], Any] = str
) -> Callable[[Profile], tuple[Any, ...]]:
    return lambda profile: tuple(convert(entry[key]) for entry in _email_marketing(profile)[kind])


def _earliest(values_of: Callable[[Profile], tuple[Any, ...]]) -> Callable[[Profile], Any]:
    return lambda profile: min(values_of(profile), default=None)


SUPPRESSIONS = "subscriptions.email.marketing.suppression"
LIST_SUPPRESSIONS = "subscriptions.email.marketing.list_suppressions"
SUPPRESSED_AT, LIST_SUPPRESSED_AT = (
    _suppression_values("suppression", "timestamp", _parse_time),
    _suppression_values("list_suppressions", "timestamp", _parse_time),
)
CREATED_OR_UPDATED = frozenset({"greater-than", "less-than"})
PROFILE_FILTERS: FilterFields[Profile] = {
    "id": FilterField(VALUE_OR_LIST, lambda profile: profile.id),
    "email": FilterField(VALUE_OR_LIST, lambda profile: profile.attributes.get("email")),
    "phone_number": FilterField(VALUE_OR_LIST, lambda profile: profile.attributes.get("phone_number")),
    "external_id": FilterField(VALUE_OR_LIST, lambda profile: profile.attributes.get("external_id")),
    "_kx": FilterField(EQUALS, lambda profile: profile.attributes.get("_kx")),
    "created": time_field(lambda profile: profile.created, CREATED_OR_UPDATED),
    "updated": time_field(lambda profile: profile.updated, CREATED_OR_UPDATED),
    f"{SUPPRESSIONS}.reason": FilterField(EQUALS, _suppression_values("suppression", "reason")),
    f"{SUPPRESSIONS}.timestamp": time_field(SUPPRESSED_AT),
    f"{LIST_SUPPRESSIONS}.reason": FilterField(EQUALS, _suppression_values("list_suppressions", "reason")),
    f"{LIST_SUPPRESSIONS}.timestamp": time_field(LIST_SUPPRESSED_AT),
    f"{LIST_SUPPRESSIONS}.list_id": FilterField(EQUALS, _suppression_values("list_suppressions", "list_id")),
}
PROFILE_SORTS: SortKeys[Profile] = {
    "created": lambda profile: profile.created,
    "updated": lambda profile: profile.updated,
    "email": lambda profile: profile.attributes.get("email"),
    "id": lambda profile: profile.id,
    f"{SUPPRESSIONS}.timestamp": _earliest(SUPPRESSED_AT),
    f"{LIST_SUPPRESSIONS}.timestamp": _earliest(LIST_SUPPRESSED_AT),
}


async def list_accounts(request: web.Request) -> web.Response:
    """``GET /api/accounts``: the account of the key."""
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
    return document_response({"data": [sparse_fields(request, account)], "links": {"self": str(request.url)}})


async def list_profiles(request: web.Request) -> web.Response:
    """``GET /api/profiles``."""
    matches = apply_filter(request, request.app[ACCOUNT].profiles.by_id.values(), PROFILE_FILTERS)
    matches = apply_sort(request, matches, PROFILE_SORTS, "created")
    items, links = page_of(request, matches, requested_page(request, default=20, max_size=100))
    content = {"data": [_profile_with_conversations(request, profile) for profile in items], "links": links}
    return document_response(with_included(request, content))


async def get_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}``."""
    profile = profile_of(request)
    marketing, base = request.app[ACCOUNT].marketing, str(request.url.origin())
    memberships = {"lists": marketing.lists_of, "segments": marketing.segments_of}
    data, includes = _profile_with_conversations(request, profile), []
    for name in requested_includes(request):
        audiences = memberships[name](profile) if name in memberships else []
        resources = [audience_resource(audience, base) for audience in audiences]
        data["relationships"][name]["data"] = [
            {"type": resource["type"], "id": resource["id"]} for resource in resources
        ]
        includes += resources
    return document_response(with_included(request, {"data": data, "links": {"self": str(request.url)}}, includes))


async def create_profile(request: web.Request) -> web.Response:
    """``POST /api/profiles``; 409 when an identifier is taken."""
    profile_input = await _parse_body(request)
    if profile_input.id is not None:
        raise invalid("'id' is not a valid field for the resource 'profile'.", "/data/id")
    try:
        profile = request.app[ACCOUNT].profiles.create(profile_input)
    except DuplicateProfile as duplicate:
        raise _conflict(duplicate) from duplicate
    return profile_response(request, profile, profile_input, status=201)


async def update_profile(request: web.Request) -> web.Response:
    """``PATCH /api/profiles/{id}``."""
    profile = profile_of(request)
    profile_input = await _parse_body(request, needs_identifier=False)
    if profile_input.id != profile.id:
        raise invalid("The id of the body must be that of the path.", "/data/id")
    try:
        request.app[ACCOUNT].profiles.create_or_update(profile_input)
    except DuplicateProfile as duplicate:
        raise _conflict(duplicate) from duplicate
    return profile_response(request, profile, profile_input)


async def import_profile(request: web.Request) -> web.Response:
    """``POST /api/profile-import``: creates or updates."""
    profile_input = await _parse_body(request)
    try:
        profile, is_new = request.app[ACCOUNT].profiles.create_or_update(profile_input)
    except DuplicateProfile as duplicate:
        raise _conflict(duplicate) from duplicate
    except UnknownProfile as error:
        raise not_found(f"A profile with id {profile_input.id} does not exist.") from error
    return profile_response(request, profile, profile_input, status=201 if is_new else 200)


async def _parse_body(request: web.Request, *, needs_identifier: bool = True) -> ProfileInput:
    body = await json_body(request)
    if len(await request.read()) > MAX_PROFILE_BYTES:
        raise KlaviyoRefusal(413, "payload_too_large", "Payload too large.", "A profile may have at most 100 KB.")
    known = profile_fields(revision_of(request))
    data = body.get("data") if isinstance(body, dict) else None
    profile = parse_profile(data, "/data", known=known)
    request.app[ACCOUNT].refusals.check_profile(profile, "/data/attributes")
    if needs_identifier:
        require_identifier(profile, "/data/attributes")
    return profile


def _conflict(duplicate: DuplicateProfile) -> KlaviyoRefusal:
    return KlaviyoRefusal(
        409,
        "duplicate_profile",
        "Conflict.",
        "A profile already exists with one of these identifiers.",
        pointer="/data/attributes",
        meta={"duplicate_profile_id": duplicate.profile_id},
    )


def profile_response(
    request: web.Request, profile: Profile, profile_input: ProfileInput | None = None, *, status: int = 200
) -> web.Response:
    """Respond with one profile; ``profile_input`` is the profile in the request that wrote it."""
    is_partial = profile_input is not None and profile_input.dropped_phone
    content = {"data": requested_profile(request, profile), "links": {"self": str(request.url)}}
    headers = {"X-Klaviyo-Partial-Failure": "phone_number"} if is_partial else None
    return document_response(content, status=status, headers=headers)


def requested_profile(request: web.Request, profile: Profile, **attributes: Any) -> dict[str, Any]:
    """Return a profile with the requested fields, and further attributes."""
    data = profile_resource(profile, str(request.url.origin()), revision_of(request), additional_fields(request))
    data["attributes"] |= attributes
    return sparse_fields(request, data)


def _profile_with_conversations(request: web.Request, profile: Profile) -> dict[str, Any]:
    """Return a profile with the link to its conversations, which only the read operations have."""
    data = requested_profile(request, profile)
    url = data["links"]["self"]
    links = {"self": f"{url}relationships/conversations/", "related": f"{url}conversations/"}
    return data | {"relationships": data["relationships"] | {"conversations": {"links": links}}}


def profile_of(request: web.Request) -> Profile:
    """Return the profile in the path. Raises KlaviyoRefusal (404)."""
    profile = request.app[ACCOUNT].profiles.by_id.get(request.match_info["id"])
    if profile is None:
        raise not_found(f"A profile with id {request.match_info['id']} does not exist.")
    return profile
