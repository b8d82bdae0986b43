"""Who is on a list or in a segment: the other way around than a person's own lists and segments, and less limited."""

from datetime import datetime

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import (
    BY_VALUE,
    EQUALS,
    Field,
    Fields,
    Keys,
    matching,
    ordered,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.query import Page, listed, page
from kustomer_klaviyo.sandbox.klaviyo.api.resources import moment
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import shown_profile
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience, Profile


def _joined_at(profile: Profile) -> datetime:
    """Return since when: everybody here came to what they belong to with the day they came."""
    return profile.created.replace(microsecond=0)


OF_LISTS: Fields[Profile] = {
    "email": Field(BY_VALUE, lambda profile: profile.attributes.get("email")),
    "phone_number": Field(BY_VALUE, lambda profile: profile.attributes.get("phone_number")),
    "push_token": Field(BY_VALUE, lambda _: None),
    "_kx": Field(EQUALS, lambda profile: profile.attributes.get("_kx")),
    "joined_group_at": time_field(_joined_at),
}
OF_SEGMENTS: Fields[Profile] = {**OF_LISTS, "profile_id": Field(BY_VALUE, lambda profile: profile.id)}
SORTS: Keys[Profile] = {"joined_group_at": _joined_at}


async def profiles_of_list(request: web.Request) -> web.Response:
    """``GET /api/lists/{id}/profiles``."""
    return _shown(request, *_members(request, _list(request)))


async def profiles_of_segment(request: web.Request) -> web.Response:
    """``GET /api/segments/{id}/profiles``."""
    return _shown(request, *_members(request, _segment(request)))


async def profile_ids_of_list(request: web.Request) -> web.Response:
    """``GET /api/lists/{id}/relationships/profiles``."""
    return _named(request, *_members(request, _list(request)))


async def profile_ids_of_segment(request: web.Request) -> web.Response:
    """``GET /api/segments/{id}/relationships/profiles``."""
    return _named(request, *_members(request, _segment(request)))


def _list(request: web.Request) -> Audience:
    return _found(request, request.app[ACCOUNT].marketing.lists.get(request.match_info["id"]))


def _segment(request: web.Request) -> Audience:
    return _found(request, request.app[ACCOUNT].marketing.segments.get(request.match_info["id"]))


def _found(request: web.Request, audience: Audience | None) -> Audience:
    if audience is None:
        raise not_found(f"No such list or segment: {request.match_info['id']}")
    return audience


def _members(request: web.Request, audience: Audience) -> tuple[list[Profile], Page]:
    """Return the members that the filter lets through, and which part of them is asked for."""
    members = [one for one in request.app[ACCOUNT].people.profiles.values() if audience.has(one)]
    found = matching(request, members, OF_LISTS if audience.meets is None else OF_SEGMENTS)
    return ordered(request, found, SORTS, "joined_group_at"), page(request, default=20, most=100)


def _shown(request: web.Request, found: list[Profile], at: Page) -> web.Response:
    part, links = listed(request, found, at)
    data = [shown_profile(request, one, joined_group_at=moment(_joined_at(one))) for one in part]
    return document({"data": data, "links": links})


def _named(request: web.Request, found: list[Profile], at: Page) -> web.Response:
    part, links = listed(request, found, at)
    return document({"data": [{"type": "profile", "id": one.id} for one in part], "links": links})
