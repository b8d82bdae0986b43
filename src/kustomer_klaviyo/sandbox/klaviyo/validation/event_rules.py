"""Validation of events in request bodies. Independent of profiles and of stored data.

Rules: developers.klaviyo.com/en/reference/events_api_overview
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import (
    as_object,
    attributes_of,
    check_type,
    refuse_unknown,
)

MAX_METRIC_LENGTH = 127
MAX_UNIQUE_ID_LENGTH = 255
MAX_STRING_BYTES = 100_000
MAX_PROPERTIES = 400
MAX_ITEMS = 4000
MAX_DEPTH = 10
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)

EVENT_FIELDS = frozenset(
    {"properties", "time", "value", "value_currency", "unique_id", "backfill", "metric", "profile"}
)
METRIC_FIELDS = frozenset({"name", "service"})

_DATETIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?\Z")


@dataclass(slots=True)
class EventInput:
    """An event in a request."""

    metric: str
    properties: dict[str, Any]
    time: datetime | None
    unique_id: str | None
    value: float | None
    backfill: bool


def parse_event(attributes: dict[str, Any], pointer: str, now: datetime) -> EventInput:
    """Validate an event's attributes, except its profile. Raises KlaviyoRefusal."""
    refuse_unknown(attributes, EVENT_FIELDS, "event", pointer)
    if not isinstance(attributes.get("value_currency"), str | None):
        raise invalid("'value_currency' must be a string.", f"{pointer}/value_currency")
    properties = as_object(attributes.get("properties"), f"{pointer}/properties", "properties")
    check_properties(properties, f"{pointer}/properties")
    return EventInput(
        metric=_metric(attributes.get("metric"), f"{pointer}/metric"),
        properties=properties,
        time=_time(attributes.get("time"), f"{pointer}/time", now),
        unique_id=_unique_id(attributes.get("unique_id"), f"{pointer}/unique_id"),
        value=_value(attributes.get("value"), f"{pointer}/value"),
        backfill=parse_backfill(attributes.get("backfill"), f"{pointer}/backfill"),
    )


def check_properties(properties: dict[str, Any], pointer: str) -> None:
    """Raise KlaviyoRefusal when an event has too many properties, or one that is too large or too deep."""
    if len(properties) > MAX_PROPERTIES:
        raise invalid(f"An event may have at most {MAX_PROPERTIES} properties.", pointer)
    check_values(properties, pointer)


def check_values(properties: dict[str, Any], pointer: str) -> None:
    """Raise KlaviyoRefusal when a property is too large or too deep."""
    for name, value in properties.items():
        if value is not None and value is not True and value is not False:
            _check_value(value, f"{pointer}/{name}", MAX_DEPTH)


def _check_value(value: Any, pointer: str, depth: int) -> None:
    if isinstance(value, str):
        if len(value) * 4 > MAX_STRING_BYTES and len(value.encode()) > MAX_STRING_BYTES:
            raise invalid("A string may have at most 100 KB.", pointer)
    elif isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise invalid("An integer may have at most 64 bits.", pointer)
    elif isinstance(value, list | dict):
        if depth == 0:
            raise invalid(f"Objects may be nested {MAX_DEPTH} levels deep.", pointer)
        if isinstance(value, list) and len(value) > MAX_ITEMS:
            raise invalid(f"An array may have at most {MAX_ITEMS} items.", pointer)
        for item in value.values() if isinstance(value, dict) else value:
            _check_value(item, pointer, depth - 1)


def _metric(value: Any, pointer: str) -> str:
    data = as_object(as_object(value, pointer, "metric").get("data"), f"{pointer}/data", "data")
    check_type(data, "metric", f"{pointer}/data")
    attributes = attributes_of(data, f"{pointer}/data")
    pointer = f"{pointer}/data/attributes"
    refuse_unknown(attributes, METRIC_FIELDS, "metric", pointer)
    name = attributes.get("name")
    if not isinstance(name, str) or not name.strip():
        raise invalid("'name' is a required field for the resource 'metric'.", f"{pointer}/name")
    if len(name) > MAX_METRIC_LENGTH:
        raise invalid("A metric's name must have fewer than 128 characters.", f"{pointer}/name")
    return name


def _time(value: Any, pointer: str, now: datetime) -> datetime | None:
    if value is None:
        return None
    try:
        time = datetime.fromisoformat(value) if isinstance(value, str) and _DATETIME.match(value) else None
    except ValueError:
        time = None
    if time is None:
        raise invalid("Invalid datetime: it must be in RFC 3339.", pointer)
    # Klaviyo's guides contain times without a time zone; they are UTC.
    time = time.replace(tzinfo=UTC) if time.tzinfo is None else time
    if time < EARLIEST or time > now + timedelta(days=366):
        raise invalid("The time must be after 1990 and at most one year ahead.", pointer)
    return time.astimezone(UTC).replace(microsecond=0)


def _unique_id(value: Any, pointer: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_UNIQUE_ID_LENGTH:
        raise invalid("'unique_id' must be a string of 1 to 255 characters.", pointer)
    return value


def _value(value: Any, pointer: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise invalid("'value' must be a number.", pointer)
    return float(value)


def parse_backfill(value: Any, pointer: str) -> bool:
    """Return ``backfill``; the default is false. Raises KlaviyoRefusal."""
    if not isinstance(value, bool | None):
        raise invalid("'backfill' must be a boolean.", pointer)
    return bool(value)
