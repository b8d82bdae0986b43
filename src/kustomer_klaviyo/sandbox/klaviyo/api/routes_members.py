"""API operations on the members of a list or segment. Their rate limits are higher than those of a profile's lists."""

from datetime import datetime

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    EQUALS,
    VALUE_LISTS,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.query import Page, page_of, requested_page
from kustomer_klaviyo.sandbox.klaviyo.api.resources import format_time
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import requested_profile
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience, Profile


def _joined_at(profile: Profile) -> datetime:
    """Return when a profile was added to its lists and segments: in the sandbox, when it was created."""
    return profile.created.replace(microsecond=0)


LIST_FILTERS: FilterFields[Profile] = {
    "email": FilterField(VALUE_LISTS, lambda profile: profile.attributes.get("email")),
    "phone_number": FilterField(VALUE_LISTS, lambda profile: profile.attributes.get("phone_number")),
    "push_token": FilterField(VALUE_LISTS, lambda _: None),
    "_kx": FilterField(EQUALS, lambda profile: profile.attributes.get("_kx")),
    "joined_group_at": time_field(_joined_at),
}
SEGMENT_FILTERS: FilterFields[Profile] = {
    **LIST_FILTERS,
    "profile_id": FilterField(VALUE_LISTS, lambda profile: profile.id),
}
SORTS: SortKeys[Profile] = {"joined_group_at": _joined_at}


async def profiles_of_list(request: web.Request) -> web.Response:
    """``GET /api/lists/{id}/profiles``."""
    return _profiles_response(request, *_members(request, _list(request)))


async def profiles_of_segment(request: web.Request) -> web.Response:
    """``GET /api/segments/{id}/profiles``."""
    return _profiles_response(request, *_members(request, _segment(request)))


async def profile_ids_of_list(request: web.Request) -> web.Response:
    """``GET /api/lists/{id}/relationships/profiles``."""
    return _ids_response(request, *_members(request, _list(request)))


async def profile_ids_of_segment(request: web.Request) -> web.Response:
    """``GET /api/segments/{id}/relationships/profiles``."""
    return _ids_response(request, *_members(request, _segment(request)))


def _list(request: web.Request) -> Audience:
    return _require(request, request.app[ACCOUNT].marketing.lists.get(request.match_info["id"]))


def _segment(request: web.Request) -> Audience:
    return _require(request, request.app[ACCOUNT].marketing.segments.get(request.match_info["id"]))


def _require(request: web.Request, audience: Audience | None) -> Audience:
    if audience is None:
        raise not_found(f"No such list or segment: {request.match_info['id']}")
    return audience


def _members(request: web.Request, audience: Audience) -> tuple[list[Profile], Page]:
    """Return the members that match the filter, and the requested page."""
    members = [profile for profile in request.app[ACCOUNT].profiles.by_id.values() if audience.has(profile)]
    matches = apply_filter(request, members, LIST_FILTERS if audience.condition is None else SEGMENT_FILTERS)
    return apply_sort(request, matches, SORTS, "joined_group_at"), requested_page(request, default=20, max_size=100)


def _profiles_response(request: web.Request, matches: list[Profile], page: Page) -> web.Response:
    items, links = page_of(request, matches, page)
    data = [requested_profile(request, profile, joined_group_at=format_time(_joined_at(profile))) for profile in items]
    return document_response({"data": data, "links": links})


def _ids_response(request: web.Request, matches: list[Profile], page: Page) -> web.Response:
    items, links = page_of(request, matches, page)
    return document_response({"data": [{"type": "profile", "id": profile.id} for profile in items], "links": links})
