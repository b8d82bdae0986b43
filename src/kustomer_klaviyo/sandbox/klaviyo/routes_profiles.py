"""Profiles: reading, creating, changing, importing; and the account itself."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, document, invalid, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT, OPTIONS, json_body
from kustomer_klaviyo.sandbox.klaviyo.filters import Condition, text_test, time_test
from kustomer_klaviyo.sandbox.klaviyo.marketing_resources import audience_resource
from kustomer_klaviyo.sandbox.klaviyo.people import DuplicateProfile, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.profile_rules import (
    ProfileIn,
    fields_of_profiles,
    read_profile,
    require_identifier,
)
from kustomer_klaviyo.sandbox.klaviyo.query import additional, conditions, included, listed, page, sort_order, sparse
from kustomer_klaviyo.sandbox.klaviyo.records import Profile
from kustomer_klaviyo.sandbox.klaviyo.resources import profile_resource

LARGEST_PROFILE = 100_000
INCLUDES = ("lists", "segments")
BY_ID = frozenset({"equals", "equals[]", "any[]"})
PROFILE_FILTERS = {
    "id": BY_ID,
    "email": BY_ID,
    "phone_number": BY_ID,
    "external_id": BY_ID,
    "_kx": frozenset({"equals"}),
    "created": frozenset({"greater-than", "less-than"}),
    "updated": frozenset({"greater-than", "less-than"}),
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
    tests = [_test(one) for one in conditions(request, PROFILE_FILTERS)]
    profiles = request.app[ACCOUNT].people.profiles.values()
    found = [profile for profile in profiles if all(test(profile) for test in tests)]
    name, is_descending = sort_order(request, ("created", "updated", "email", "id"), "created")
    found.sort(key=lambda profile: _sort_key(profile, name), reverse=is_descending)
    part, links = listed(request, found, page(request, default=20, most=100))
    base, more = str(request.url.origin()), additional(request)
    return document({"data": [sparse(request, profile_resource(one, base, more)) for one in part], "links": links})


def _test(condition: Condition) -> Callable[[Profile], bool]:
    name = condition.field
    if name in ("created", "updated"):
        is_then = time_test(condition)
        return lambda profile: is_then(getattr(profile, name))
    is_met = text_test(condition)
    if name == "id":
        return lambda profile: is_met(profile.id)
    return lambda profile: is_met(profile.attributes.get(name))


def _sort_key(profile: Profile, name: str) -> tuple[bool, Any]:
    value = getattr(profile, name) if name in ("created", "updated", "id") else profile.attributes.get(name)
    return value is None, value or ""


async def get_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}``."""
    profile = profile_of(request)
    names = included(request, INCLUDES)
    if not names:
        return show_profile(request, profile)
    marketing, base = request.app[ACCOUNT].marketing, str(request.url.origin())
    found = {"lists": marketing.lists_of, "segments": marketing.segments_of}
    resource = profile_resource(profile, base, additional(request))
    neighbours = {name: [audience_resource(one, base) for one in found[name](profile)] for name in names}
    for name, shown in neighbours.items():
        resource["relationships"][name]["data"] = [{"type": one["type"], "id": one["id"]} for one in shown]
    return document(
        {
            "data": sparse(request, resource),
            "included": [sparse(request, one) for shown in neighbours.values() for one in shown],
            "links": {"self": str(request.url)},
        }
    )


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
    known = fields_of_profiles(request.headers["revision"])
    data = body.get("data") if isinstance(body, dict) else None
    profile = read_profile(data, "/data", known=known)
    request.app[ACCOUNT].refusals.check("profile", profile.given, "/data/attributes")
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
    content = {
        "data": sparse(request, profile_resource(profile, str(request.url.origin()), additional(request))),
        "links": {"self": str(request.url)},
    }
    return document(content, status=status, headers={"X-Klaviyo-Partial-Failure": "phone_number"} if partly else None)


def profile_of(request: web.Request) -> Profile:
    """Return the profile that the path names. Raises Refusal (404)."""
    profile = request.app[ACCOUNT].people.profiles.get(request.match_info["id"])
    if profile is None:
        raise not_found(f"A profile with id {request.match_info['id']} does not exist.")
    return profile
