"""Events: creating one, creating many, reading them back."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import (
    EQUALS,
    Field,
    Fields,
    Keys,
    conditions,
    matching,
    ordered,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.filters import Condition
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT, OPTIONS, json_body, revision_of
from kustomer_klaviyo.sandbox.klaviyo.api.query import included, listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.resources import event_resource, metric_resource, profile_resource
from kustomer_klaviyo.sandbox.klaviyo.api.routes_metrics import show_metric
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import show_profile
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event
from kustomer_klaviyo.sandbox.klaviyo.validation.bulk_event_rules import read_bulk
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import as_object, attributes_of, read_event, resource
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import (
    FIELDS_IN_SINGLE_EVENT,
    ProfileIn,
    read_profile_of_event,
)

HAS = frozenset({"has"})
EVENT_FILTERS: Fields[Event] = {
    "metric_id": Field(frozenset({"equals", "equals[]"}), lambda event: event.metric.id),
    "profile_id": Field(EQUALS, lambda event: event.profile.id),
    "profile": Field(HAS, lambda event: event.profile.id),
    "metric": Field(HAS, lambda event: event.metric.id),
    "datetime": time_field(lambda event: event.time),
    "timestamp": time_field(lambda event: event.time),
}
ONE_METRIC: Fields[Event] = {**EVENT_FILTERS, "metric_id": Field(EQUALS, lambda event: event.metric.id)}
EVENT_SORTS: Keys[Event] = dict.fromkeys(("datetime", "timestamp"), lambda event: (event.time, event.n))
PROFILE_AT = "/data/attributes/profile"


async def create_event(request: web.Request) -> web.Response:
    """``POST /api/events``."""
    account = request.app[ACCOUNT]
    data = resource(await json_body(request), "event")
    attributes = attributes_of(data, "/data")
    event = read_event(attributes, "/data/attributes", account.now())
    person = as_object(attributes.get("profile"), PROFILE_AT, "profile").get("data")
    profile = read_profile_of_event(person, f"{PROFILE_AT}/data", known=FIELDS_IN_SINGLE_EVENT)
    account.refusals.judge(profile, f"{PROFILE_AT}/data/attributes")
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
    fields = EVENT_FILTERS if request.app[OPTIONS].metric_lists else ONE_METRIC
    found = matching(request, _candidates(request, conditions(request, fields)), fields)
    found = ordered(request, found, EVENT_SORTS, "-datetime")
    part, links = listed(request, found, page(request, default=200, most=1000))
    base = str(request.url.origin())
    answer: dict[str, Any] = {"data": [sparse(request, event_resource(event, base)) for event in part], "links": links}
    return document(with_included(request, answer, _neighbours(request, part)))


def _candidates(request: web.Request, wanted: Sequence[Condition]) -> Sequence[Event]:
    """Return the events to look through: one profile's, when one is asked for."""
    account = request.app[ACCOUNT]
    for condition in wanted:
        if condition.field == "profile_id":
            return account.events_by_profile.get(condition.values[0], [])
    return list(account.events_by_id.values())


def _neighbours(request: web.Request, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the included resources, each once. No event here is attributed to a message."""
    names, base, neighbours = included(request), str(request.url.origin()), []
    if "metric" in names:
        metrics = {event.metric.id: event.metric for event in events}
        neighbours += [metric_resource(one, base) for one in metrics.values()]
    if "profile" in names:
        people = {event.profile.id: event.profile for event in events}
        neighbours += [profile_resource(one, base, revision_of(request)) for one in people.values()]
    return neighbours


async def get_event(request: web.Request) -> web.Response:
    """``GET /api/events/{id}``."""
    event = _event(request)
    shown = sparse(request, event_resource(event, str(request.url.origin())))
    answer = {"data": shown, "links": {"self": str(request.url)}}
    return document(with_included(request, answer, _neighbours(request, [event])))


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
