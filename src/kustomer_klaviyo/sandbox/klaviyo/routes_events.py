"""Events: creating one, creating many, reading them back."""

from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT, OPTIONS, json_body
from kustomer_klaviyo.sandbox.klaviyo.filters import TIMES, Condition, text_test, time_test
from kustomer_klaviyo.sandbox.klaviyo.profile_rules import FIELDS_IN_SINGLE_EVENT, ProfileIn, read_profile_of_event
from kustomer_klaviyo.sandbox.klaviyo.query import conditions, included, listed, page, sort_order, sparse
from kustomer_klaviyo.sandbox.klaviyo.read_bulk import read_bulk
from kustomer_klaviyo.sandbox.klaviyo.records import Event
from kustomer_klaviyo.sandbox.klaviyo.resources import event_resource, metric_resource, profile_resource
from kustomer_klaviyo.sandbox.klaviyo.routes_metrics import show_metric
from kustomer_klaviyo.sandbox.klaviyo.routes_profiles import show_profile
from kustomer_klaviyo.sandbox.klaviyo.validate import as_object, attributes_of, read_event, resource

EVENT_FILTERS = {
    "metric_id": frozenset({"equals", "equals[]"}),
    "profile_id": frozenset({"equals"}),
    "profile": frozenset({"has"}),
    "metric": frozenset({"has"}),
    "datetime": TIMES,
    "timestamp": TIMES,
}
INCLUDES = ("metric", "profile", "attributions")
PROFILE_AT = "/data/attributes/profile"


async def create_event(request: web.Request) -> web.Response:
    """``POST /api/events``."""
    account = request.app[ACCOUNT]
    data = resource(await json_body(request), "event")
    attributes = attributes_of(data, "/data")
    event = read_event(attributes, "/data/attributes", account.now())
    person = as_object(attributes.get("profile"), PROFILE_AT, "profile").get("data")
    profile = read_profile_of_event(person, f"{PROFILE_AT}/data", known=FIELDS_IN_SINGLE_EVENT)
    account.refusals.check("profile", profile.given, f"{PROFILE_AT}/data/attributes")
    account.refusals.check("event", attributes, "/data/attributes")
    account.record(event, profile, request="single")
    return _accepted([profile])


async def create_events(request: web.Request) -> web.Response:
    """``POST /api/event-bulk-create-jobs``: every event, or none."""
    account = request.app[ACCOUNT]
    read = read_bulk(resource(await json_body(request), "event-bulk-create-job"), account.now(), account.refusals)
    for event, profile in read:
        account.record(event, profile, request="bulk")
    return _accepted([profile for _, profile in read])


def _accepted(profiles: Sequence[ProfileIn]) -> web.Response:
    partly = any(profile.without_phone for profile in profiles)
    return web.Response(status=202, headers={"X-Klaviyo-Partial-Failure": "phone_number"} if partly else None)


async def list_events(request: web.Request) -> web.Response:
    """``GET /api/events``."""
    names = included(request, INCLUDES)
    is_plain = not request.app[OPTIONS].metric_lists
    wanted = conditions(request, EVENT_FILTERS | ({"metric_id": frozenset({"equals"})} if is_plain else {}))
    tests = [_test(one) for one in wanted]
    found = [event for event in _candidates(request, wanted) if all(test(event) for test in tests)]
    _, is_descending = sort_order(request, ("datetime", "timestamp"), "-datetime")
    found.sort(key=lambda event: (event.time, event.n), reverse=is_descending)
    part, links = listed(request, found, page(request, default=200, most=1000))
    base = str(request.url.origin())
    answer: dict[str, Any] = {"data": [sparse(request, event_resource(event, base)) for event in part]}
    if names:
        answer["included"] = [sparse(request, one) for one in _neighbours(part, names, base)]
    return document(answer | {"links": links})


def _candidates(request: web.Request, wanted: Sequence[Condition]) -> Sequence[Event]:
    """Return the events to look through: one profile's, when one is asked for."""
    account = request.app[ACCOUNT]
    for condition in wanted:
        if condition.field == "profile_id":
            return account.events_by_profile.get(condition.values[0], [])
    return list(account.events_by_id.values())


def _test(condition: Condition) -> Callable[[Event], bool]:
    if condition.field in ("datetime", "timestamp"):
        is_then = time_test(condition)
        return lambda event: is_then(event.time)
    is_met = text_test(condition)
    if condition.field in ("metric_id", "metric"):
        return lambda event: is_met(event.metric.id)
    return lambda event: is_met(event.profile.id)


def _neighbours(events: Sequence[Event], names: Sequence[str], base: str) -> list[dict[str, Any]]:
    """Return the included resources, each once. No event here is attributed to a message."""
    neighbours = []
    if "metric" in names:
        metrics = {event.metric.id: event.metric for event in events}
        neighbours += [metric_resource(one, base) for one in metrics.values()]
    if "profile" in names:
        people = {event.profile.id: event.profile for event in events}
        neighbours += [profile_resource(one, base) for one in people.values()]
    return neighbours


async def get_event(request: web.Request) -> web.Response:
    """``GET /api/events/{id}``."""
    event = _event(request)
    base = str(request.url.origin())
    names = included(request, INCLUDES)
    answer: dict[str, Any] = {"data": sparse(request, event_resource(event, base))}
    if names:
        answer["included"] = [sparse(request, one) for one in _neighbours([event], names, base)]
    return document(answer | {"links": {"self": str(request.url)}})


async def get_event_profile(request: web.Request) -> web.Response:
    """``GET /api/events/{id}/profile``."""
    return show_profile(request, _event(request).profile)


async def get_event_metric(request: web.Request) -> web.Response:
    """``GET /api/events/{id}/metric``."""
    return show_metric(request, _event(request).metric)


def _event(request: web.Request) -> Event:
    event = request.app[ACCOUNT].events_by_id.get(request.match_info["id"])
    if event is None:
        raise not_found(f"An event with id {request.match_info['id']} does not exist.")
    return event
