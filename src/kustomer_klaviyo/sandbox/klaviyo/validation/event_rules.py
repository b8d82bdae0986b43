"""What Klaviyo takes as an event in request bodies. Knows nothing of profiles and of what is stored.

Rules: developers.klaviyo.com/en/reference/events_api_overview
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.envelope import invalid

LONGEST_METRIC = 127
LONGEST_UNIQUE_ID = 255
LONGEST_STRING = 100_000
"""Bytes."""
MOST_PROPERTIES = 400
MOST_ITEMS = 4000
DEEPEST = 10
LOWEST_INTEGER, HIGHEST_INTEGER = -(2**63), 2**63 - 1
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)

EVENT_FIELDS = frozenset(
    {"properties", "time", "value", "value_currency", "unique_id", "backfill", "metric", "profile"}
)
METRIC_FIELDS = frozenset({"name", "service"})

_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)?\Z")


@dataclass(slots=True)
class EventIn:
    """An event as a request states it."""

    metric: str
    properties: dict[str, Any]
    time: datetime | None
    unique_id: str | None
    value: float | None
    backfill: bool


def as_object(value: Any, pointer: str, name: str) -> dict[str, Any]:
    """Return a JSON object. Raises Refusal."""
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object.", pointer)
    return value


def resource(body: Any, kind: str, pointer: str = "/data") -> dict[str, Any]:
    """Return the resource of a request, checked for its type. Raises Refusal."""
    data = as_object(as_object(body, pointer, "body").get("data"), pointer, "data")
    resource_type(data, kind, pointer)
    return data


def resource_type(data: Mapping[str, Any], kind: str, pointer: str) -> None:
    """Raise Refusal when a resource is not of the type expected."""
    if data.get("type") != kind:
        raise invalid(f"Invalid resource type: expected '{kind}'.", f"{pointer}/type")


def attributes_of(data: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return a resource's attributes. Raises Refusal."""
    return as_object(data.get("attributes"), f"{pointer}/attributes", "attributes")


def refuse_unknown(found: Mapping[str, Any], known: frozenset[str], kind: str, pointer: str) -> None:
    """Raise Refusal at the first attribute that the resource does not have."""
    for name in found:
        if name not in known:
            raise invalid(f"'{name}' is not a valid field for the resource '{kind}'.", f"{pointer}/{name}")


def read_event(attributes: dict[str, Any], pointer: str, now: datetime) -> EventIn:
    """Check an event's attributes but its profile. Raises Refusal."""
    refuse_unknown(attributes, EVENT_FIELDS, "event", pointer)
    if not isinstance(attributes.get("value_currency"), str | None):
        raise invalid("'value_currency' must be a string.", f"{pointer}/value_currency")
    properties = as_object(attributes.get("properties"), f"{pointer}/properties", "properties")
    check_properties(properties, f"{pointer}/properties")
    return EventIn(
        metric=_metric(attributes.get("metric"), f"{pointer}/metric"),
        properties=properties,
        time=_time(attributes.get("time"), f"{pointer}/time", now),
        unique_id=_unique_id(attributes.get("unique_id"), f"{pointer}/unique_id"),
        value=_value(attributes.get("value"), f"{pointer}/value"),
        backfill=flag(attributes.get("backfill"), f"{pointer}/backfill"),
    )


def check_properties(properties: dict[str, Any], pointer: str) -> None:
    """Raise Refusal when an event has too many properties, or one too large or too deep."""
    if len(properties) > MOST_PROPERTIES:
        raise invalid(f"An event may have at most {MOST_PROPERTIES} properties.", pointer)
    check_values(properties, pointer)


def check_values(properties: dict[str, Any], pointer: str) -> None:
    """Raise Refusal when a property is too large or too deep."""
    for name, value in properties.items():
        if value is not None and value is not True and value is not False:
            _check_value(value, f"{pointer}/{name}", DEEPEST)


def _check_value(value: Any, pointer: str, depth: int) -> None:
    if isinstance(value, str):
        if len(value) * 4 > LONGEST_STRING and len(value.encode()) > LONGEST_STRING:
            raise invalid("A string may have at most 100 KB.", pointer)
    elif isinstance(value, int):
        if not LOWEST_INTEGER <= value <= HIGHEST_INTEGER:
            raise invalid("An integer may have at most 64 bits.", pointer)
    elif isinstance(value, list | dict):
        if depth == 0:
            raise invalid(f"Objects may be nested {DEEPEST} levels deep.", pointer)
        if isinstance(value, list) and len(value) > MOST_ITEMS:
            raise invalid(f"An array may have at most {MOST_ITEMS} items.", pointer)
        for one in value.values() if isinstance(value, dict) else value:
            _check_value(one, pointer, depth - 1)


def _metric(found: Any, pointer: str) -> str:
    data = as_object(as_object(found, pointer, "metric").get("data"), f"{pointer}/data", "data")
    resource_type(data, "metric", f"{pointer}/data")
    attributes = attributes_of(data, f"{pointer}/data")
    pointer = f"{pointer}/data/attributes"
    refuse_unknown(attributes, METRIC_FIELDS, "metric", pointer)
    name = attributes.get("name")
    if not isinstance(name, str) or not name.strip():
        raise invalid("'name' is a required field for the resource 'metric'.", f"{pointer}/name")
    if len(name) > LONGEST_METRIC:
        raise invalid("A metric's name must have fewer than 128 characters.", f"{pointer}/name")
    return name


def _time(found: Any, pointer: str, now: datetime) -> datetime | None:
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found) if isinstance(found, str) and _MOMENT.match(found) else None
    except ValueError:
        at = None
    if at is None:
        raise invalid("Invalid datetime: it must be in RFC 3339.", pointer)
    # The vendor's own guides show times without a zone; they are UTC.
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at
    if at < EARLIEST or at > now + timedelta(days=366):
        raise invalid("The time must be after 1990 and at most one year ahead.", pointer)
    return at.astimezone(UTC).replace(microsecond=0)


def _unique_id(found: Any, pointer: str) -> str | None:
    if found is None:
        return None
    if not isinstance(found, str) or not 1 <= len(found) <= LONGEST_UNIQUE_ID:
        raise invalid("'unique_id' must be a string of 1 to 255 characters.", pointer)
    return found


def _value(found: Any, pointer: str) -> float | None:
    if found is None:
        return None
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise invalid("'value' must be a number.", pointer)
    return float(found)


def flag(found: Any, pointer: str) -> bool:
    """Return ``backfill``; absent is no. Raises Refusal."""
    if not isinstance(found, bool | None):
        raise invalid("'backfill' must be a boolean.", pointer)
    return bool(found)
