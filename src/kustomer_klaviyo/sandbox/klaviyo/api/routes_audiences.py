"""API operations on lists and segments: all of them, and those of one profile."""

from collections.abc import Iterable, Sequence

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    VALUE_LISTS,
    VALUE_OR_LIST,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
    boolean_field,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.marketing_resources import audience_resource
from kustomer_klaviyo.sandbox.klaviyo.api.query import page_of, requested_page, sparse_fields, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import profile_of
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience

AFTER = frozenset({"greater-than"})
LIST_FILTERS: FilterFields[Audience] = {
    "name": FilterField(VALUE_LISTS, lambda audience: audience.name),
    "id": FilterField(VALUE_OR_LIST, lambda audience: audience.id),
    "created": time_field(lambda audience: audience.created, AFTER),
    "updated": time_field(lambda audience: audience.created, AFTER),
}
SEGMENT_FILTERS: FilterFields[Audience] = {
    **LIST_FILTERS,
    "is_active": boolean_field(lambda audience: audience.is_active, VALUE_OR_LIST),
    "is_starred": boolean_field(lambda audience: audience.is_starred),
}
SORTS: SortKeys[Audience] = {
    "created": lambda audience: audience.created,
    "updated": lambda audience: audience.created,
    "id": lambda audience: audience.id,
    "name": lambda audience: audience.name,
}
MAX_PAGE_SIZE = 10


async def list_lists(request: web.Request) -> web.Response:
    """``GET /api/lists``."""
    return _page_response(request, request.app[ACCOUNT].marketing.lists.values(), LIST_FILTERS)


async def list_segments(request: web.Request) -> web.Response:
    """``GET /api/segments``."""
    return _page_response(request, request.app[ACCOUNT].marketing.segments.values(), SEGMENT_FILTERS)


async def get_list(request: web.Request) -> web.Response:
    """``GET /api/lists/{id}``."""
    return _resource_response(request, request.app[ACCOUNT].marketing.lists.get(request.match_info["id"]))


async def get_segment(request: web.Request) -> web.Response:
    """``GET /api/segments/{id}``."""
    return _resource_response(request, request.app[ACCOUNT].marketing.segments.get(request.match_info["id"]))


async def lists_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/lists``; it has no pages."""
    return _list_response(request, request.app[ACCOUNT].marketing.lists_of(profile_of(request)))


async def segments_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/segments``; it has no pages."""
    return _list_response(request, request.app[ACCOUNT].marketing.segments_of(profile_of(request)))


async def list_ids_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/relationships/lists``."""
    return _id_list_response(request, request.app[ACCOUNT].marketing.lists_of(profile_of(request)), "list")


async def segment_ids_of_profile(request: web.Request) -> web.Response:
    """``GET /api/profiles/{id}/relationships/segments``."""
    return _id_list_response(request, request.app[ACCOUNT].marketing.segments_of(profile_of(request)), "segment")


def _page_response(request: web.Request, audiences: Iterable[Audience], fields: FilterFields[Audience]) -> web.Response:
    matches = apply_sort(request, apply_filter(request, audiences, fields), SORTS, "created")
    items, links = page_of(request, matches, requested_page(request, default=MAX_PAGE_SIZE, max_size=MAX_PAGE_SIZE))
    base = str(request.url.origin())
    data = [sparse_fields(request, audience_resource(audience, base)) for audience in items]
    return document_response(with_included(request, {"data": data, "links": links}))


def _resource_response(request: web.Request, audience: Audience | None) -> web.Response:
    if audience is None:
        raise not_found(f"No such list or segment: {request.match_info['id']}")
    resource = audience_resource(audience, str(request.url.origin()))
    if f"additional-fields[{resource['type']}]" in request.query:
        profiles = request.app[ACCOUNT].profiles.by_id.values()
        resource["attributes"]["profile_count"] = sum(audience.has(profile) for profile in profiles)
    content = {"data": sparse_fields(request, resource), "links": {"self": str(request.url)}}
    return document_response(with_included(request, content))


def _list_response(request: web.Request, audiences: Sequence[Audience]) -> web.Response:
    base = str(request.url.origin())
    data = [sparse_fields(request, audience_resource(audience, base)) for audience in audiences]
    return document_response({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})


def _id_list_response(request: web.Request, audiences: Sequence[Audience], kind: str) -> web.Response:
    data = [{"type": kind, "id": audience.id} for audience in audiences]
    return document_response({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})
