"""Validation of many events in one request: all are accepted, or none. Independent of stored data.

Rules: developers.klaviyo.com/en/reference/bulk_create_events
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.configured_refusals import ConfiguredRefusals
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import (
    EVENT_FIELDS,
    EventInput,
    parse_backfill,
    parse_event,
)
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import IDENTIFIERS, ProfileInput, parse_event_profile
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import (
    as_object,
    attributes_of,
    check_type,
    refuse_unknown,
)

MAX_EVENTS = 1000
ENTRY_FIELDS = frozenset({"backfill", "profile", "events"})
EVENT_FIELDS_IN_ENTRY = EVENT_FIELDS - {"profile"}
BULK_POINTER = "/data/attributes/events-bulk-create"


def parse_bulk_events(
    data: dict[str, Any], now: datetime, refusals: ConfiguredRefusals
) -> list[tuple[EventInput, ProfileInput]]:
    """Return the events of an ``event-bulk-create-job`` with their profiles. Raises KlaviyoRefusal."""
    attributes = attributes_of(data, "/data")
    refuse_unknown(attributes, frozenset({"events-bulk-create"}), "event-bulk-create-job", "/data/attributes")
    bulk = as_object(attributes.get("events-bulk-create"), BULK_POINTER, "events-bulk-create")
    entries = _list(bulk.get("data"), f"{BULK_POINTER}/data")
    events = [
        pair
        for index, entry in enumerate(entries)
        for pair in _entry(entry, f"{BULK_POINTER}/data/{index}", now, refusals)
    ]
    if len(events) > MAX_EVENTS:
        raise invalid(f"A request may hold at most {MAX_EVENTS} events.", f"{BULK_POINTER}/data")
    _refuse_duplicates(events)
    return events


def _list(value: Any, pointer: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise invalid("'data' must be a list that is not empty.", pointer)
    return value


def _entry(
    entry: Any, pointer: str, now: datetime, refusals: ConfiguredRefusals
) -> list[tuple[EventInput, ProfileInput]]:
    entry = as_object(entry, pointer, "event-bulk-create")
    check_type(entry, "event-bulk-create", pointer)
    attributes = attributes_of(entry, pointer)
    at = f"{pointer}/attributes"
    refuse_unknown(attributes, ENTRY_FIELDS, "event-bulk-create", at)
    is_backfill = parse_backfill(attributes.get("backfill"), f"{at}/backfill")
    # In Klaviyo's errors, the pointer of an invalid profile is that of its entry.
    profile_data = as_object(attributes.get("profile"), f"{at}/profile", "profile").get("data")
    profile = parse_event_profile(profile_data, pointer)
    refusals.check_profile(profile, at)
    events = _list(as_object(attributes.get("events"), f"{at}/events", "events").get("data"), f"{at}/events/data")
    pairs = []
    for index, item in enumerate(events):
        event = _event(item, f"{at}/events/data/{index}", now, refusals)
        event.backfill = event.backfill or is_backfill
        pairs.append((event, profile))
    return pairs


def _event(value: Any, pointer: str, now: datetime, refusals: ConfiguredRefusals) -> EventInput:
    data = as_object(value, pointer, "event")
    check_type(data, "event", pointer)
    attributes = attributes_of(data, pointer)
    if "profile" in attributes:
        refuse_unknown(attributes, EVENT_FIELDS_IN_ENTRY, "event", f"{pointer}/attributes")
    refusals.check("event", attributes, f"{pointer}/attributes")
    return parse_event(attributes, f"{pointer}/attributes", now)


def _refuse_duplicates(events: list[tuple[EventInput, ProfileInput]]) -> None:
    seen: set[tuple[str, str, str, str | None]] = set()
    for event, profile in events:
        if event.unique_id is None:
            continue
        keys = {(name, value, event.metric, event.unique_id) for name, value in _identifiers(profile)}
        if not seen.isdisjoint(keys):
            raise invalid("A unique_id may be used once per profile and metric in a request.", f"{BULK_POINTER}/data")
        seen |= keys


def _identifiers(profile: ProfileInput) -> Iterator[tuple[str, str]]:
    if profile.id is not None:
        yield "id", profile.id
    for name in IDENTIFIERS:
        value = profile.attributes.get(name)
        if value and isinstance(value, str):
            yield name, value.lower() if name == "email" else value
