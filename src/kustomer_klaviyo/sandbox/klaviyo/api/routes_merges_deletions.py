"""Two profiles made one, and people forgotten on request; both for good, and both in Klaviyo's own time."""

from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT, JOBS, json_body
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, invalid, not_found
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import (
    as_object,
    attributes_of,
    refuse_unknown,
    resource,
    resource_type,
)

SOURCES = "/data/relationships/profiles/data"
PERSON = "/data/attributes/profile/data"
ERASABLE = frozenset({"email", "phone_number"})


async def merge_profiles(request: web.Request) -> web.Response:
    """``POST /api/profile-merge``: one source, which is deleted."""
    account = request.app[ACCOUNT]
    data = resource(await json_body(request), "profile-merge")
    into, source = _text(data.get("id"), "/data/id"), _source(data)
    if into == source:
        raise invalid("A profile cannot be merged into itself.", SOURCES)
    for one in (into, source):
        if one not in account.people.profiles:
            raise not_found(f"A profile with id {one} does not exist.")

    async def merge() -> None:
        held = account.people.profiles
        if into in held and source in held:
            account.merge(held[into], held[source])

    request.app[JOBS].begin(merge)
    url = f"{request.url.origin()}/api/profiles/{into}/"
    return document(
        {"data": {"type": "profile", "id": into, "links": {"self": url}}, "links": {"self": str(request.url)}},
        status=201,
    )


def _source(data: dict[str, Any]) -> str:
    relationships = as_object(data.get("relationships"), "/data/relationships", "relationships")
    sources = as_object(relationships.get("profiles"), "/data/relationships/profiles", "profiles").get("data")
    if not isinstance(sources, list) or len(sources) != 1:
        raise invalid("Exactly one source profile is merged at a time.", SOURCES)
    source = as_object(sources[0], f"{SOURCES}/0", "profile")
    resource_type(source, "profile", f"{SOURCES}/0")
    return _text(source.get("id"), f"{SOURCES}/0/id")


async def request_deletion(request: web.Request) -> web.Response:
    """``POST /api/data-privacy-deletion-jobs``: everyone whom the one identifier names is forgotten."""
    account = request.app[ACCOUNT]
    attributes = attributes_of(resource(await json_body(request), "data-privacy-deletion-job"), "/data")
    person = as_object(
        as_object(attributes.get("profile"), "/data/attributes/profile", "profile").get("data"), PERSON, "data"
    )
    resource_type(person, "profile", PERSON)
    given = as_object(person.get("attributes", {}), f"{PERSON}/attributes", "attributes")
    refuse_unknown(given, ERASABLE, "profile", f"{PERSON}/attributes")
    named = {name: value for name, value in ({"id": person.get("id")} | given).items() if value is not None}
    if len(named) != 1:
        raise invalid("Exactly one of id, email and phone_number is required.", PERSON)
    [(name, value)] = named.items()
    _text(value, f"{PERSON}/attributes")

    async def erase() -> None:
        people = account.people
        found = people.profiles.get(value) if name == "id" else people.holder(name, value)
        if found is not None:
            account.erase(found)

    request.app[JOBS].begin(erase)
    return web.Response(status=202)


def _text(value: Any, pointer: str) -> str:
    if not isinstance(value, str) or not value:
        raise invalid("An identifier must be a string.", pointer)
    return value
