"""Lists and segments: all of them, and those one person belongs to."""

from collections.abc import Callable, Iterable, Sequence

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.filters import Condition, text_test, time_test
from kustomer_klaviyo.sandbox.klaviyo.marketing_resources import audience_resource
from kustomer_klaviyo.sandbox.klaviyo.query import conditions, listed, page, sort_order, sparse
from kustomer_klaviyo.sandbox.klaviyo.records import Audience
from kustomer_klaviyo.sandbox.klaviyo.routes_profiles import profile_of

FILTERS = {
    "name": frozenset({"any[]", "equals[]", "equals"}),
    "id": frozenset({"any[]", "equals[]", "equals"}),
    "created": frozenset({"greater-than"}),
    "updated": frozenset({"greater-than"}),
}
LARGEST_PAGE = 10


async def list_lists(request: web.Request) -> web.Response:
    """``GET /api/lists``."""
    return _all(request, request.app[ACCOUNT].marketing.lists.values())


async def list_segments(request: web.Request) -> web.Response:
    """``GET /api/segments``."""
    return _all(request, request.app[ACCOUNT].marketing.segments.values())


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


def _all(request: web.Request, audiences: Iterable[Audience]) -> web.Response:
    tests = [_test(one) for one in conditions(request, FILTERS)]
    found = [one for one in audiences if all(test(one) for test in tests)]
    name, is_descending = sort_order(request, ("created", "id", "name", "updated"), "created")
    found.sort(key=lambda one: str(getattr(one, "created" if name == "updated" else name)), reverse=is_descending)
    part, links = listed(request, found, page(request, default=LARGEST_PAGE, most=LARGEST_PAGE))
    base = str(request.url.origin())
    return document({"data": [sparse(request, audience_resource(one, base)) for one in part], "links": links})


def _test(condition: Condition) -> Callable[[Audience], bool]:
    if condition.field in ("created", "updated"):
        is_then = time_test(condition)
        return lambda one: is_then(one.created)
    is_met = text_test(condition)
    return lambda one: is_met(one.id if condition.field == "id" else one.name)


def _one(request: web.Request, found: Audience | None) -> web.Response:
    if found is None:
        raise not_found(f"No such list or segment: {request.match_info['id']}")
    shown = sparse(request, audience_resource(found, str(request.url.origin())))
    return document({"data": shown, "links": {"self": str(request.url)}})


def _shown(request: web.Request, found: Sequence[Audience]) -> web.Response:
    base = str(request.url.origin())
    data = [sparse(request, audience_resource(one, base)) for one in found]
    return document({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})


def _named(request: web.Request, found: Sequence[Audience], kind: str) -> web.Response:
    data = [{"type": kind, "id": one.id} for one in found]
    return document({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})
