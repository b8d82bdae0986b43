"""Lists and segments: all of them, and those one person belongs to."""

from collections.abc import Iterable, Sequence

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import (
    BY_ANY_VALUE,
    BY_VALUE,
    Field,
    Fields,
    Keys,
    flag_field,
    matching,
    ordered,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.marketing_resources import audience_resource
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.query import listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import profile_of
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience

AFTER = frozenset({"greater-than"})
LIST_FILTERS: Fields[Audience] = {
    "name": Field(BY_VALUE, lambda one: one.name),
    "id": Field(BY_ANY_VALUE, lambda one: one.id),
    "created": time_field(lambda one: one.created, AFTER),
    "updated": time_field(lambda one: one.created, AFTER),
}
SEGMENT_FILTERS: Fields[Audience] = {
    **LIST_FILTERS,
    "is_active": flag_field(lambda one: one.is_active, BY_ANY_VALUE),
    "is_starred": flag_field(lambda one: one.is_starred),
}
SORTS: Keys[Audience] = {
    "created": lambda one: one.created,
    "updated": lambda one: one.created,
    "id": lambda one: one.id,
    "name": lambda one: one.name,
}
LARGEST_PAGE = 10


async def list_lists(request: web.Request) -> web.Response:
    """``GET /api/lists``."""
    return _all(request, request.app[ACCOUNT].marketing.lists.values(), LIST_FILTERS)


async def list_segments(request: web.Request) -> web.Response:
    """``GET /api/segments``."""
    return _all(request, request.app[ACCOUNT].marketing.segments.values(), SEGMENT_FILTERS)


async def get_list(request: web.Request) -> web.Response:
    """``GET /api/lists/{id}``."""
    return _one(request, request.app[ACCOUNT].marketing.lists.get(request.match_info["id"]))


async def get_segment(request: web.Request) -> web.Response:
    """``GET /api/segments/{id}``."""
    return _one(request, request.app[ACCOUNT].marketing.segments.get(request.match_info["id"]))


async def lists_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/lists``: no pages."""
    return _shown(request, request.app[ACCOUNT].marketing.lists_of(profile_of(request)))


async def segments_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/segments``: no pages."""
    return _shown(request, request.app[ACCOUNT].marketing.segments_of(profile_of(request)))


async def list_ids_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/relationships/lists``."""
    return _named(request, request.app[ACCOUNT].marketing.lists_of(profile_of(request)), "list")


async def segment_ids_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/relationships/segments``."""
    return _named(request, request.app[ACCOUNT].marketing.segments_of(profile_of(request)), "segment")


def _all(request: web.Request, audiences: Iterable[Audience], fields: Fields[Audience]) -> web.Response:
    found = ordered(request, matching(request, audiences, fields), SORTS, "created")
    part, links = listed(request, found, page(request, default=LARGEST_PAGE, most=LARGEST_PAGE))
    base = str(request.url.origin())
    answer = {"data": [sparse(request, audience_resource(one, base)) for one in part], "links": links}
    return document(with_included(request, answer))


def _one(request: web.Request, found: Audience | None) -> web.Response:
    if found is None:
        raise not_found(f"No such list or segment: {request.match_info['id']}")
    shown = audience_resource(found, str(request.url.origin()))
    if f"additional-fields[{shown['type']}]" in request.query:
        everybody = request.app[ACCOUNT].people.profiles.values()
        shown["attributes"]["profile_count"] = sum(found.has(one) for one in everybody)
    answer = {"data": sparse(request, shown), "links": {"self": str(request.url)}}
    return document(with_included(request, answer))


def _shown(request: web.Request, found: Sequence[Audience]) -> web.Response:
    base = str(request.url.origin())
    data = [sparse(request, audience_resource(one, base)) for one in found]
    return document({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})


def _named(request: web.Request, found: Sequence[Audience], kind: str) -> web.Response:
    data = [{"type": kind, "id": one.id} for one in found]
    return document({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})
