"""What Klaviyo takes as many events in one request: all of them, or none. Knows nothing of what is stored.

Rules: developers.klaviyo.com/en/reference/bulk_create_events
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.envelope import invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import (
    EVENT_FIELDS,
    EventIn,
    as_object,
    attributes_of,
    flag,
    read_event,
    refuse_unknown,
    resource_type,
)
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import IDENTIFIERS, ProfileIn, read_profile_of_event
from kustomer_klaviyo.sandbox.klaviyo.validation.refused_on_request import Refusals

MOST_EVENTS = 1000
ENTRY_FIELDS = frozenset({"backfill", "profile", "events"})
EVENT_FIELDS_IN_ENTRY = EVENT_FIELDS - {"profile"}
BULK = "/data/attributes/events-bulk-create"


def read_bulk(data: dict[str, Any], now: datetime, refusals: Refusals) -> list[tuple[EventIn, ProfileIn]]:
    """Return every event of an ``event-bulk-create-job`` with its profile. Raises Refusal."""
    attributes = attributes_of(data, "/data")
    refuse_unknown(attributes, frozenset({"events-bulk-create"}), "event-bulk-create-job", "/data/attributes")
    bulk = as_object(attributes.get("events-bulk-create"), BULK, "events-bulk-create")
    entries = _list(bulk.get("data"), f"{BULK}/data")
    read = [
        pair for index, entry in enumerate(entries) for pair in _entry(entry, f"{BULK}/data/{index}", now, refusals)
    ]
    if len(read) > MOST_EVENTS:
        raise invalid(f"A request may hold at most {MOST_EVENTS} events.", f"{BULK}/data")
    _refuse_repeats(read)
    return read


def _list(found: Any, pointer: str) -> list[Any]:
    if not isinstance(found, list) or not found:
        raise invalid("'data' must be a list that is not empty.", pointer)
    return found


def _entry(entry: Any, pointer: str, now: datetime, refusals: Refusals) -> list[tuple[EventIn, ProfileIn]]:
    entry = as_object(entry, pointer, "event-bulk-create")
    resource_type(entry, "event-bulk-create", pointer)
    attributes = attributes_of(entry, pointer)
    at = f"{pointer}/attributes"
    refuse_unknown(attributes, ENTRY_FIELDS, "event-bulk-create", at)
    is_backfill = flag(attributes.get("backfill"), f"{at}/backfill")
    # The vendor blames what is wrong with an entry's profile directly on the entry.
    person = as_object(attributes.get("profile"), f"{at}/profile", "profile").get("data")
    profile = read_profile_of_event(person, pointer)
    refusals.judge(profile, at)
    events = _list(as_object(attributes.get("events"), f"{at}/events", "events").get("data"), f"{at}/events/data")
    read = []
    for index, one in enumerate(events):
        event = _event(one, f"{at}/events/data/{index}", now, refusals)
        event.backfill = event.backfill or is_backfill
        read.append((event, profile))
    return read


def _event(found: Any, pointer: str, now: datetime, refusals: Refusals) -> EventIn:
    one = as_object(found, pointer, "event")
    resource_type(one, "event", pointer)
    attributes = attributes_of(one, pointer)
    if "profile" in attributes:
        refuse_unknown(attributes, EVENT_FIELDS_IN_ENTRY, "event", f"{pointer}/attributes")
    refusals.check("event", attributes, f"{pointer}/attributes")
    return read_event(attributes, f"{pointer}/attributes", now)


def _refuse_repeats(read: list[tuple[EventIn, ProfileIn]]) -> None:
    seen: set[tuple[str, str, str, str | None]] = set()
    for event, profile in read:
        if event.unique_id is None:
            continue
        marks = {(name, value, event.metric, event.unique_id) for name, value in _named(profile)}
        if not seen.isdisjoint(marks):
            raise invalid("A unique_id may be used once per profile and metric in a request.", f"{BULK}/data")
        seen |= marks


def _named(profile: ProfileIn) -> Iterator[tuple[str, str]]:
    if profile.id is not None:
        yield "id", profile.id
    for name in IDENTIFIERS:
        value = profile.attributes.get(name)
        if value and isinstance(value, str):
            yield name, value.lower() if name == "email" else value
