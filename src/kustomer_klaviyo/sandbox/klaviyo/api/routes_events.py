"""API operations on events: create one, create many, read."""

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT, OPTIONS
from kustomer_klaviyo.sandbox.klaviyo.api.filter_parser import Condition
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    EQUALS,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
    filter_conditions,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.query import (
    page_of,
    requested_includes,
    requested_page,
    sparse_fields,
    with_included,
)
from kustomer_klaviyo.sandbox.klaviyo.api.request_pipeline import json_body, revision_of
from kustomer_klaviyo.sandbox.klaviyo.api.resources import event_resource, metric_resource, profile_resource
from kustomer_klaviyo.sandbox.klaviyo.api.routes_metrics import metric_response
from kustomer_klaviyo.sandbox.klaviyo.api.routes_profiles import profile_response
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event
from kustomer_klaviyo.sandbox.klaviyo.validation.bulk_event_rules import parse_bulk_events
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import parse_event
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import (
    EVENT_PROFILE_FIELDS,
    ProfileInput,
    parse_event_profile,
)
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import as_object, attributes_of, request_resource

HAS = frozenset({"has"})
EVENT_FILTERS: FilterFields[Event] = {
    "metric_id": FilterField(frozenset({"equals", "equals[]"}), lambda event: event.metric.id),
    "profile_id": FilterField(EQUALS, lambda event: event.profile.id),
    "profile": FilterField(HAS, lambda event: event.profile.id),
    "metric": FilterField(HAS, lambda event: event.metric.id),
    "datetime": time_field(lambda event: event.time),
    "timestamp": time_field(lambda event: event.time),
}
ONE_METRIC: FilterFields[Event] = {**EVENT_FILTERS, "metric_id": FilterField(EQUALS, lambda event: event.metric.id)}
EVENT_SORTS: SortKeys[Event] = dict.fromkeys(("datetime", "timestamp"), lambda event: (event.time, event.number))
PROFILE_POINTER = "/data/attributes/profile"


async def create_event(request: web.Request) -> web.Response:
    """``POST /api/events``."""
    account = request.app[ACCOUNT]
    data = request_resource(await json_body(request), "event")
    attributes = attributes_of(data, "/data")
    event = parse_event(attributes, "/data/attributes", account.now())
    profile_data = as_object(attributes.get("profile"), PROFILE_POINTER, "profile").get("data")
    profile = parse_event_profile(profile_data, f"{PROFILE_POINTER}/data", known=EVENT_PROFILE_FIELDS)
    account.refusals.check_profile(profile, f"{PROFILE_POINTER}/data/attributes")
    account.refusals.check("event", attributes, "/data/attributes")
    account.record_event(event, profile, request="single")
    return _accepted([profile])


async def create_events(request: web.Request) -> web.Response:
    """``POST /api/event-bulk-create-jobs``: creates all events, or none."""
    account = request.app[ACCOUNT]
    data = request_resource(await json_body(request), "event-bulk-create-job")
    events = parse_bulk_events(data, account.now(), account.refusals)
    for event, profile in events:
        account.record_event(event, profile, request="bulk")
    return _accepted([profile for _, profile in events])


def _accepted(profiles: Sequence[ProfileInput]) -> web.Response:
    is_partial = any(profile.dropped_phone for profile in profiles)
    return web.Response(status=202, headers={"X-Klaviyo-Partial-Failure": "phone_number"} if is_partial else None)


async def list_events(request: web.Request) -> web.Response:
    """``GET /api/events``."""
    fields = EVENT_FILTERS if request.app[OPTIONS].metric_lists else ONE_METRIC
    matches = apply_filter(request, _candidates(request, filter_conditions(request, fields)), fields)
    matches = apply_sort(request, matches, EVENT_SORTS, "-datetime")
    items, links = page_of(request, matches, requested_page(request, default=200, max_size=1000))
    base = str(request.url.origin())
    data = [sparse_fields(request, event_resource(event, base)) for event in items]
    content = {"data": data, "links": links}
    return document_response(with_included(request, content, _included_resources(request, items)))


def _candidates(request: web.Request, conditions: Sequence[Condition]) -> Sequence[Event]:
    """Return the events to filter: only those of one profile, when the filter names it."""
    account = request.app[ACCOUNT]
    for condition in conditions:
        if condition.field == "profile_id":
            return account.events_by_profile.get(condition.values[0], [])
    return list(account.events_by_id.values())


def _included_resources(request: web.Request, events: Sequence[Event]) -> list[dict[str, Any]]:
    """Return the included resources, each once. Events in the sandbox have no attributions."""
    names, base, resources = requested_includes(request), str(request.url.origin()), []
    if "metric" in names:
        metrics = {event.metric.id: event.metric for event in events}
        resources += [metric_resource(metric, base) for metric in metrics.values()]
    if "profile" in names:
        profiles = {event.profile.id: event.profile for event in events}
        resources += [profile_resource(profile, base, revision_of(request)) for profile in profiles.values()]
    return resources


async def get_event(request: web.Request) -> web.Response:
    """``GET /api/events/{id}``."""
    event = _event(request)
    data = sparse_fields(request, event_resource(event, str(request.url.origin())))
    content = {"data": data, "links": {"self": str(request.url)}}
    return document_response(with_included(request, content, _included_resources(request, [event])))


async def get_event_profile(request: web.Request) -> web.Response:
    """``GET /api/events/{id}/profile``."""
    return profile_response(request, _event(request).profile)


async def get_event_metric(request: web.Request) -> web.Response:
    """``GET /api/events/{id}/metric``."""
    return metric_response(request, _event(request).metric)


def _event(request: web.Request) -> Event:
    event = request.app[ACCOUNT].events_by_id.get(request.match_info["id"])
    if event is None:
        raise not_found(f"An event with id {request.match_info['id']} does not exist.")
    return event
