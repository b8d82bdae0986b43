"""Events and metrics: creating one, creating many, reading them back."""

from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.account import Account, Event
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, invalid, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT, json_body
from kustomer_klaviyo.sandbox.klaviyo.filters import Condition, holds, holds_for_time, parse
from kustomer_klaviyo.sandbox.klaviyo.query import included, listed, page, sort_order, sparse
from kustomer_klaviyo.sandbox.klaviyo.resources import event_resource, metric_resource, profile_resource
from kustomer_klaviyo.sandbox.klaviyo.validate import (
    EventIn,
    ProfileIn,
    as_object,
    attributes_of,
    read_event,
    read_profile,
    refuse_unknown,
    require_identifier,
    resource,
)

MOST_EVENTS = 1000
TIMES = frozenset({"greater-than", "greater-or-equal", "less-than", "less-or-equal"})
EVENT_FILTERS = {
    "metric_id": frozenset({"equals"}),
    "profile_id": frozenset({"equals"}),
    "profile": frozenset({"has"}),
    "metric": frozenset({"has"}),
    "datetime": TIMES,
    "timestamp": TIMES,
}
METRIC_FILTERS = {"integration.name": frozenset({"equals"}), "integration.category": frozenset({"equals"})}
EXTRA = frozenset({"meta"})
"""Where revisions up to 2026-07-15 have the profile's patches."""

BULK = "/data/attributes/events-bulk-create/data"


async def create_event(request: web.Request) -> web.Response:
    """``POST /api/events``."""
    account = request.app[ACCOUNT]
    data = resource(await json_body(request), "event")
    attributes = attributes_of(data, "/data")
    event = read_event(attributes, "/data/attributes", account.now())
    profile = _profile(attributes.get("profile"), "/data/attributes/profile")
    account.record(event, profile, request="single")
    return _accepted([profile])


async def create_events(request: web.Request) -> web.Response:
    """``POST /api/event-bulk-create-jobs``: every event, or none."""
    account = request.app[ACCOUNT]
    data = resource(await json_body(request), "event-bulk-create-job")
    attributes = attributes_of(data, "/data")
    refuse_unknown(attributes, frozenset({"events-bulk-create"}), "event-bulk-create-job", "/data/attributes")
    bulk = as_object(attributes.get("events-bulk-create"), BULK.rsplit("/", 1)[0], "events-bulk-create")
    entries = bulk.get("data")
    if not isinstance(entries, list) or not entries:
        raise invalid("'data' must be a list of event-bulk-create.", BULK)
    read = [pair for index, entry in enumerate(entries) for pair in _entry(entry, f"{BULK}/{index}", account)]
    if len(read) > MOST_EVENTS:
        raise invalid(f"A request may hold at most {MOST_EVENTS} events.", BULK)
    _refuse_repeats(read)
    for event, profile in read:
        account.record(event, profile, request="bulk")
    return _accepted([profile for _, profile in read])


def _entry(entry: Any, pointer: str, account: Account) -> list[tuple[EventIn, ProfileIn]]:
    entry = as_object(entry, pointer, "event-bulk-create")
    if entry.get("type") != "event-bulk-create":
        raise invalid("Invalid resource type: expected 'event-bulk-create'.", f"{pointer}/type")
    attributes = attributes_of(entry, pointer)
    pointer = f"{pointer}/attributes"
    refuse_unknown(attributes, frozenset({"backfill", "profile", "events"}), "event-bulk-create", pointer)
    # The vendor blames a bad identifier of an entry directly below its attributes.
    profile = read_profile(
        as_object(attributes.get("profile"), f"{pointer}/profile", "profile").get("data"),
        pointer.removesuffix("/attributes"),
        extra=EXTRA,
    )
    require_identifier(profile, f"{pointer}/profile")
    events = as_object(attributes.get("events"), f"{pointer}/events", "events").get("data")
    if not isinstance(events, list) or not events:
        raise invalid("'data' must be a list of events.", f"{pointer}/events/data")
    read = []
    for index, one in enumerate(events):
        at = f"{pointer}/events/data/{index}"
        event = read_event(attributes_of(as_object(one, at, "event"), at), f"{at}/attributes", account.now())
        event.backfill = event.backfill or attributes.get("backfill") is True
        read.append((event, profile))
    return read


def _refuse_repeats(read: list[tuple[EventIn, ProfileIn]]) -> None:
    seen = set()
    for event, profile in read:
        if event.unique_id is None:
            continue
        person = (profile.id, *(profile.attributes.get(name) for name in ("email", "phone_number", "external_id")))
        mark = (person, event.metric, event.unique_id)
        if mark in seen:
            raise invalid("A unique_id may be used once per profile and metric in a request.", BULK)
        seen.add(mark)


def _profile(found: Any, pointer: str) -> ProfileIn:
    data = as_object(found, pointer, "profile").get("data")
    profile = read_profile(data, f"{pointer}/data", extra=EXTRA)
    require_identifier(profile, f"{pointer}/data/attributes")
    return profile


def _accepted(profiles: list[ProfileIn]) -> web.Response:
    partly = any(profile.without_phone for profile in profiles)
    return web.Response(status=202, headers={"X-Klaviyo-Partial-Failure": "phone_number"} if partly else None)


async def list_events(request: web.Request) -> web.Response:
    """``GET /api/events``."""
    account = request.app[ACCOUNT]
    names = included(request, ("metric", "profile", "attributions"))
    conditions = parse(request.query["filter"], EVENT_FILTERS) if request.query.get("filter") else []
    found = [event for event in account.events if all(_matches(event, one) for one in conditions)]
    _, is_descending = sort_order(request, ("datetime", "timestamp"), "-datetime")
    found.sort(key=lambda event: (event.time, event.n), reverse=is_descending)
    part, links = listed(request, found, page(request, default=200, most=1000))
    base = str(request.url.origin())
    answer: dict[str, Any] = {"data": [sparse(request, event_resource(event, base)) for event in part]}
    if names:
        answer["included"] = [sparse(request, one) for one in _neighbours(part, names, base)]
    return document(answer | {"links": links})


def _matches(event: Event, condition: Condition) -> bool:
    if condition.field in ("datetime", "timestamp"):
        return holds_for_time(condition, event.time)
    if condition.field in ("metric_id", "metric"):
        return holds(condition, event.metric.id)
    return holds(condition, event.profile.id)


def _neighbours(events: Any, names: list[str], base: str) -> list[dict[str, Any]]:
    neighbours = []
    if "metric" in names:
        neighbours += [
            metric_resource(one, base) for one in {event.metric.id: event.metric for event in events}.values()
        ]
    if "profile" in names:
        people = {event.profile.id: event.profile for event in events}
        neighbours += [profile_resource(one, base) for one in people.values()]
    return neighbours


async def get_event(request: web.Request) -> web.Response:
    """``GET /api/events/{id}``."""
    event = _event(request)
    base = str(request.url.origin())
    names = included(request, ("metric", "profile", "attributions"))
    answer: dict[str, Any] = {"data": sparse(request, event_resource(event, base))}
    if names:
        answer["included"] = [sparse(request, one) for one in _neighbours([event], names, base)]
    return document(answer)


async def get_event_profile(request: web.Request) -> web.Response:
    """``GET /api/events/{id}/profile``."""
    return document({"data": sparse(request, profile_resource(_event(request).profile, str(request.url.origin())))})


async def get_event_metric(request: web.Request) -> web.Response:
    """``GET /api/events/{id}/metric``."""
    return document({"data": sparse(request, metric_resource(_event(request).metric, str(request.url.origin())))})


def _event(request: web.Request) -> Event:
    event = request.app[ACCOUNT].events_by_id.get(request.match_info["id"])
    if event is None:
        raise not_found(f"An event with id {request.match_info['id']} does not exist.")
    return event


async def list_metrics(request: web.Request) -> web.Response:
    """``GET /api/metrics``."""
    conditions = parse(request.query["filter"], METRIC_FILTERS) if request.query.get("filter") else []
    found = [
        metric
        for metric in request.app[ACCOUNT].metrics.values()
        if all(holds(one, metric.integration if one.field.endswith("name") else "API") for one in conditions)
    ]
    part, links = listed(request, found, page(request, default=200, most=200))
    base = str(request.url.origin())
    return document({"data": [sparse(request, metric_resource(one, base)) for one in part], "links": links})


async def get_metric(request: web.Request) -> web.Response:
    """``GET /api/metrics/{id}``."""
    metric = request.app[ACCOUNT].metrics.get(request.match_info["id"])
    if metric is None:
        raise not_found(f"A metric with id {request.match_info['id']} does not exist.")
    return document({"data": sparse(request, metric_resource(metric, str(request.url.origin())))})
