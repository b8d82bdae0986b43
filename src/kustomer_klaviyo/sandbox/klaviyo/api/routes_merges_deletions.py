"""API operations that merge profiles and request data-privacy deletions. Both run as background jobs."""

from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT, JOBS
from kustomer_klaviyo.sandbox.klaviyo.api.request_pipeline import json_body
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, invalid, not_found
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import (
    as_object,
    attributes_of,
    check_type,
    refuse_unknown,
    request_resource,
)

SOURCES_POINTER = "/data/relationships/profiles/data"
PROFILE_POINTER = "/data/attributes/profile/data"
DELETION_IDENTIFIERS = frozenset({"email", "phone_number"})


async def merge_profiles(request: web.Request) -> web.Response:
    """``POST /api/profile-merge``: merges one source into the target, and deletes it."""
    account = request.app[ACCOUNT]
    data = request_resource(await json_body(request), "profile-merge")
    target, source = _text(data.get("id"), "/data/id"), _source(data)
    if target == source:
        raise invalid("A profile cannot be merged into itself.", SOURCES_POINTER)
    for profile_id in (target, source):
        if profile_id not in account.profiles.by_id:
            raise not_found(f"A profile with id {profile_id} does not exist.")

    async def merge() -> None:
        profiles = account.profiles.by_id
        if target in profiles and source in profiles:
            account.merge(profiles[target], profiles[source])

    request.app[JOBS].schedule(merge)
    url = f"{request.url.origin()}/api/profiles/{target}/"
    return document_response(
        {"data": {"type": "profile", "id": target, "links": {"self": url}}, "links": {"self": str(request.url)}},
        status=201,
    )


def _source(data: dict[str, Any]) -> str:
    relationships = as_object(data.get("relationships"), "/data/relationships", "relationships")
    sources = as_object(relationships.get("profiles"), "/data/relationships/profiles", "profiles").get("data")
    if not isinstance(sources, list) or len(sources) != 1:
        raise invalid("Exactly one source profile is merged at a time.", SOURCES_POINTER)
    source = as_object(sources[0], f"{SOURCES_POINTER}/0", "profile")
    check_type(source, "profile", f"{SOURCES_POINTER}/0")
    return _text(source.get("id"), f"{SOURCES_POINTER}/0/id")


async def request_deletion(request: web.Request) -> web.Response:
    """``POST /api/data-privacy-deletion-jobs``: deletes the profile with the identifier."""
    account = request.app[ACCOUNT]
    attributes = attributes_of(request_resource(await json_body(request), "data-privacy-deletion-job"), "/data")
    profile_data = as_object(
        as_object(attributes.get("profile"), "/data/attributes/profile", "profile").get("data"), PROFILE_POINTER, "data"
    )
    check_type(profile_data, "profile", PROFILE_POINTER)
    identifiers = as_object(profile_data.get("attributes", {}), f"{PROFILE_POINTER}/attributes", "attributes")
    refuse_unknown(identifiers, DELETION_IDENTIFIERS, "profile", f"{PROFILE_POINTER}/attributes")
    candidates = {"id": profile_data.get("id")} | identifiers
    present = {name: value for name, value in candidates.items() if value is not None}
    if len(present) != 1:
        raise invalid("Exactly one of id, email and phone_number is required.", PROFILE_POINTER)
    [(name, value)] = present.items()
    _text(value, f"{PROFILE_POINTER}/attributes")

    async def erase() -> None:
        store = account.profiles
        profile = store.by_id.get(value) if name == "id" else store.owner(name, value)
        if profile is not None:
            account.erase(profile)

    request.app[JOBS].schedule(erase)
    return web.Response(status=202)


def _text(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not value:
        raise invalid("An identifier must be a string.", pointer)
    return value
