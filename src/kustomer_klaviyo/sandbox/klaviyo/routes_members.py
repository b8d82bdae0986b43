"""Who is on a list or in a segment: the other way around than a person's own lists and segments, and less limited."""

from collections.abc import Callable
from datetime import datetime

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.filters import TIMES, Condition, text_test, time_test
from kustomer_klaviyo.sandbox.klaviyo.query import Page, additional, conditions, listed, page, sort_order, sparse
from kustomer_klaviyo.sandbox.klaviyo.records import Audience, Profile
from kustomer_klaviyo.sandbox.klaviyo.resources import moment, profile_resource

BY_VALUE = frozenset({"any[]", "equals[]"})
OF_LISTS = {"email": BY_VALUE, "phone_number": BY_VALUE, "joined_group_at": TIMES}
OF_SEGMENTS = OF_LISTS | {"profile_id": BY_VALUE}


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
    tests = [_test(one) for one in conditions(request, OF_LISTS if audience.meets is None else OF_SEGMENTS)]
    everybody = request.app[ACCOUNT].people.profiles.values()
    found = [one for one in everybody if _is_member(one, audience) and all(test(one) for test in tests)]
    _, is_descending = sort_order(request, ("joined_group_at",), "joined_group_at")
    found.sort(key=_joined_at, reverse=is_descending)
    return found, page(request, default=20, most=100)


def _is_member(profile: Profile, audience: Audience) -> bool:
    return audience.id in profile.lists if audience.meets is None else audience.meets(profile)


def _joined_at(profile: Profile) -> datetime:
    """Return since when: everybody here came to what they belong to with the day they came."""
    return profile.created


def _test(condition: Condition) -> Callable[[Profile], bool]:
    if condition.field == "joined_group_at":
        is_then = time_test(condition)
        return lambda profile: is_then(_joined_at(profile))
    is_met = text_test(condition)
    if condition.field == "profile_id":
        return lambda profile: is_met(profile.id)
    return lambda profile: is_met(profile.attributes.get(condition.field))


def _shown(request: web.Request, found: list[Profile], at: Page) -> web.Response:
    part, links = listed(request, found, at)
    base, more = str(request.url.origin()), additional(request)
    data = []
    for one in part:
        resource = profile_resource(one, base, more)
        resource["attributes"]["joined_group_at"] = moment(_joined_at(one))
        data.append(sparse(request, resource))
    return document({"data": data, "links": links})


def _named(request: web.Request, found: list[Profile], at: Page) -> web.Response:
    part, links = listed(request, found, at)
    return document({"data": [{"type": "profile", "id": one.id} for one in part], "links": links})
