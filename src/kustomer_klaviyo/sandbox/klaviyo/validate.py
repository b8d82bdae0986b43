"""What Klaviyo takes in request bodies, and with which words it refuses the rest.

Rules: developers.klaviyo.com/en/reference/events_api_overview and .../profiles_api_overview
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import phonenumbers

from kustomer_klaviyo.sandbox.klaviyo.envelope import invalid

LONGEST_EMAIL = 99
LONGEST_METRIC = 127
LONGEST_UNIQUE_ID = 255
LONGEST_STRING = 100_000
MOST_PROPERTIES = 400
MOST_ITEMS = 4000
DEEPEST = 10
EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)

EVENT_FIELDS = frozenset(
    {"properties", "time", "value", "value_currency", "unique_id", "backfill", "metric", "profile"}
)
IDENTIFIERS = ("email", "phone_number", "external_id", "anonymous_id", "_kx")
TEXTS = ("first_name", "last_name", "organization", "locale", "title", "image")
PROFILE_FIELDS = frozenset({*IDENTIFIERS, *TEXTS, "location", "properties"})
LOCATION_FIELDS = frozenset(
    {"address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip"}
)

_EMAIL = re.compile(r"[^@\s,;<>()\"]+@[^@\s.,;<>()\"]+(\.[^@\s.,;<>()\"]+)+\Z")


@dataclass(slots=True)
class ProfileIn:
    """A profile as a request names it."""

    id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    without_phone: bool = False
    """The phone was invalid and is left out, since another identifier is there."""


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
    if data.get("type") != kind:
        raise invalid(f"Invalid resource type: expected '{kind}'.", f"{pointer}/type")
    return data


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
    properties = as_object(attributes.get("properties"), f"{pointer}/properties", "properties")
    check_properties(properties, f"{pointer}/properties")
    return EventIn(
        metric=_metric(attributes.get("metric"), f"{pointer}/metric"),
        properties=properties,
        time=_time(attributes.get("time"), f"{pointer}/time", now),
        unique_id=_unique_id(attributes.get("unique_id"), f"{pointer}/unique_id"),
        value=_value(attributes.get("value"), f"{pointer}/value"),
        backfill=_flag(attributes.get("backfill"), f"{pointer}/backfill"),
    )


def check_properties(properties: dict[str, Any], pointer: str) -> None:
    """Raise Refusal when there are too many properties, or one too large or too deep."""
    if len(properties) > MOST_PROPERTIES:
        raise invalid(f"An event may have at most {MOST_PROPERTIES} properties.", pointer)
    for name, value in properties.items():
        if value is None or isinstance(value, bool | int | float):
            continue
        _check_value(value, f"{pointer}/{name}", DEEPEST)


def _check_value(value: Any, pointer: str, depth: int) -> None:
    if isinstance(value, str) and len(value) > LONGEST_STRING:
        raise invalid("A string may have at most 100 KB.", pointer)
    if isinstance(value, list | dict):
        if depth == 0:
            raise invalid(f"Objects may be nested {DEEPEST} levels deep.", pointer)
        if len(value) > MOST_ITEMS:
            raise invalid(f"An array may have at most {MOST_ITEMS} items.", pointer)
        for one in value.values() if isinstance(value, dict) else value:
            _check_value(one, pointer, depth - 1)


def _metric(found: Any, pointer: str) -> str:
    data = as_object(as_object(found, pointer, "metric").get("data"), f"{pointer}/data", "data")
    if data.get("type") != "metric":
        raise invalid("Invalid resource type: expected 'metric'.", f"{pointer}/data/type")
    attributes = attributes_of(data, f"{pointer}/data")
    pointer = f"{pointer}/data/attributes"
    refuse_unknown(attributes, frozenset({"name", "service"}), "metric", pointer)
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
        at = datetime.fromisoformat(found) if isinstance(found, str) else None
    except ValueError:
        at = None
    if at is None or "T" not in str(found):
        raise invalid("Invalid datetime: it must be in RFC 3339.", pointer)
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


def _flag(found: Any, pointer: str) -> bool:
    if not isinstance(found, bool | None):
        raise invalid("'backfill' must be a boolean.", pointer)
    return bool(found)


def read_profile(data: Any, pointer: str, *, extra: frozenset[str] = frozenset()) -> ProfileIn:
    """Check a profile resource. Raises Refusal; an invalid phone beside another identifier is only left out."""
    data = as_object(data, pointer, "data")
    if data.get("type") != "profile":
        raise invalid("Invalid resource type: expected 'profile'.", f"{pointer}/type")
    attributes = dict(as_object(data.get("attributes", {}), f"{pointer}/attributes", "attributes"))
    pointer = f"{pointer}/attributes"
    refuse_unknown(attributes, PROFILE_FIELDS | extra, "profile", pointer)
    attributes.pop("meta", None)
    _check_email(attributes.get("email"), f"{pointer}/email")
    _check_texts(attributes, pointer)
    profile_id = data.get("id") if isinstance(data.get("id"), str) and data.get("id") else None
    without_phone = _drop_bad_phone(attributes, profile_id, f"{pointer}/phone_number")
    return ProfileIn(profile_id, attributes, without_phone)


def require_identifier(profile: ProfileIn, pointer: str) -> None:
    """Raise Refusal when nothing names the person."""
    if profile.id is None and not any(profile.attributes.get(name) for name in IDENTIFIERS):
        raise invalid("One of id, email, phone_number, external_id, anonymous_id or _kx is required.", pointer)


def _check_email(email: Any, pointer: str) -> None:
    if email is None:
        return
    if not isinstance(email, str) or len(email) > LONGEST_EMAIL or not _EMAIL.match(email):
        raise invalid("Invalid email address", pointer)


def _check_texts(attributes: dict[str, Any], pointer: str) -> None:
    for name in TEXTS:
        if attributes.get(name) is not None and not isinstance(attributes[name], str):
            raise invalid(f"'{name}' must be a string.", f"{pointer}/{name}")
    external_id = attributes.get("external_id")
    if external_id is not None and len(str(external_id)) > LONGEST_UNIQUE_ID:
        raise invalid("'external_id' may have at most 255 characters.", f"{pointer}/external_id")
    for name, known in (("location", LOCATION_FIELDS), ("properties", None)):
        if attributes.get(name) is None:
            continue
        found = as_object(attributes[name], f"{pointer}/{name}", name)
        if known is not None:
            refuse_unknown(found, known, name, f"{pointer}/{name}")


def _drop_bad_phone(attributes: dict[str, Any], profile_id: str | None, pointer: str) -> bool:
    phone = attributes.get("phone_number")
    if phone is None or _is_phone(phone):
        return False
    others = [name for name in IDENTIFIERS if name != "phone_number" and attributes.get(name)]
    if not others and profile_id is None:
        raise invalid("Invalid phone number format (Example of a valid format: +12345678901)", pointer)
    del attributes["phone_number"]
    return True


def _is_phone(phone: Any) -> bool:
    if not isinstance(phone, str) or not phone.startswith("+"):
        return False
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(phone, None))
    except phonenumbers.NumberParseException:
        return False
