"""The shapes of Kustomer's documents and how bytes become them. Knows nothing of what they mean to us.

Kustomer adds fields without notice and leaves out documented ones, so every field may be missing, null or of
another type: what is unreadable counts as missing (developer.kustomer.com/docs/events/event-catalog).
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.kustomer.json_repair import MalformedJSON, mend

MASK = "********"
"""What stands in place of a value that the API key may not read."""

EARLIEST_YEAR, LATEST_YEAR = 1990, 2200
LONGEST_TEXT = 2000
LARGEST_COUNT = 2**31 - 1
"""What the database holds in a whole number."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Attributes(msgspec.Struct, rename="camel"):
    """The attributes we read of a conversation or a customer; everything else is skipped unread."""

    status: Any = None
    name: Any = None
    channels: Any = None
    first_message_in: Any = None
    last_message_in: Any = None
    first_done: Any = None
    last_done: Any = None
    modification_history: Any = None
    satisfaction_level: Any = None
    spam: Any = None
    imported_at: Any = None
    created_at: Any = None
    updated_at: Any = None
    rev: Any = None
    emails: Any = None
    shared_emails: Any = None
    phones: Any = None
    shared_phones: Any = None
    whatsapps: Any = None
    first_name: Any = None
    last_name: Any = None
    username: Any = None
    company_name: Any = None
    avatar_url: Any = None
    external_id: Any = None
    locale: Any = None
    time_zone: Any = None
    default_lang: Any = None
    birthday_at: Any = None
    gender: Any = None
    signed_up_at: Any = None
    tags: Any = None
    locations: Any = None
    recent_location: Any = None
    custom: Any = None
    conversation_counts: Any = None
    deleted: Any = None


PROFILE_ATTRIBUTES = {
    "name": "name", "firstName": "first_name", "lastName": "last_name", "username": "username",
    "companyName": "company_name", "avatarUrl": "avatar_url", "externalId": "external_id", "locale": "locale",
    "timeZone": "time_zone", "defaultLang": "default_lang", "birthdayAt": "birthday_at", "gender": "gender",
    "signedUpAt": "signed_up_at", "createdAt": "created_at", "tags": "tags", "locations": "locations",
    "recentLocation": "recent_location", "custom": "custom",
}  # fmt: skip
"""A customer's attributes that may be mapped: Kustomer's names, and what they are called here. ``displayName`` is not
among them: Kustomer invents it."""


class Relationships(msgspec.Struct):
    """The neighbours of a resource that matter here."""

    customer: Any = None
    brand: Any = None


class Resource(msgspec.Struct):
    """One JSON:API resource as Kustomer's API and webhooks show it."""

    type: Any = None
    id: Any = None
    attributes: Attributes | None = None
    relationships: Relationships | None = None


class Envelope(msgspec.Struct, rename="camel"):
    """One webhook as received."""

    id: Any = None
    name: Any = None
    data: Resource | None = None
    data_id: Any = None
    created_at: Any = None
    changes: msgspec.Raw = msgspec.Raw(b"")


class _Wrapped(msgspec.Struct):
    data: Envelope


class _Document(msgspec.Struct):
    data: Resource


class _AnyShape(msgspec.Struct):
    data: Any = None


BROKEN = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What strict reading raises."""

_envelope = msgspec.json.Decoder(Envelope)
_document = msgspec.json.Decoder(_Document)
_anything = msgspec.json.Decoder()


def decode_webhook(body: bytes) -> Envelope:
    """Read a webhook's body; an extra outer ``data`` is taken off. What strict reading refuses is mended.

    Raises MalformedJSON when the body cannot be mended, or is no object. An object that is no event gives an empty
    envelope.
    """
    try:
        envelope = _envelope.decode(body)
    except BROKEN:
        return _lenient_envelope(read_json(body))
    if envelope.name is None and envelope.data is not None and envelope.data.attributes is None:
        return _lenient_envelope(read_json(body))
    return envelope


def decode_resource(body: bytes) -> Resource:
    """Read the resource out of an API answer ``{"data": {...}}``. Raises MalformedJSON."""
    try:
        return _document.decode(body).data
    except BROKEN:
        return _lenient_resource(as_object(read_json(body)).get("data"))


def read_json(body: bytes) -> Any:
    """Return what the bytes say, mended where need be. Raises MalformedJSON."""
    try:
        return _anything.decode(body)
    except BROKEN:
        return _read_mended(mend(body))


def strict(body: bytes) -> bytes:
    """Return a document that can be read as one that strict reading takes. Raises MalformedJSON."""
    try:
        _anything.decode(body)
    except BROKEN:
        return mend(body)
    return body


def _read_mended(body: bytes) -> Any:
    try:
        return _anything.decode(body)
    except BROKEN as error:
        raise MalformedJSON(str(error)) from error


def _lenient_envelope(document: Any) -> Envelope:
    if not isinstance(document, dict):
        raise MalformedJSON("the body is not a JSON object")
    inner = document.get("data")
    if isinstance(inner, dict) and "name" in inner and "data" in inner:
        document = inner
    changes = document.get("changes")
    return Envelope(
        id=document.get("id"),
        name=document.get("name"),
        data=_lenient_resource(document.get("data")),
        data_id=document.get("dataId"),
        created_at=document.get("createdAt"),
        changes=msgspec.Raw(msgspec.json.encode(changes)),
    )


def _lenient_resource(document: Any) -> Resource:
    resource = as_object(document)
    return Resource(
        type=resource.get("type"),
        id=resource.get("id"),
        attributes=msgspec.convert(as_object(resource.get("attributes")), Attributes),
        relationships=msgspec.convert(as_object(resource.get("relationships")), Relationships),
    )


def changed(changes: msgspec.Raw, attribute: str) -> dict[str, Any]:
    """Return what the webhook says of an attribute's change, ``before`` and ``after``; empty when it says nothing."""
    if not bytes(changes):
        return {}
    try:
        attributes = as_object(as_object(read_json(bytes(changes))).get("attributes"))
    except MalformedJSON:
        return {}
    return as_object(attributes.get(attribute))


def as_object(value: Any) -> dict[str, Any]:
    """Return the value if it is a JSON object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """Return the value if it is a JSON array, else an empty one."""
    return value if isinstance(value, list) else []


def as_id(value: Any) -> str | None:
    """Return an identifier that is safe in keys, links and look-ups; None for anything else."""
    return value if isinstance(value, str) and _ID.match(value) else None


def is_masked(value: Any) -> bool:
    """Say whether a value is hidden from the API key.

    See developer.kustomer.com/kustomer-apps-platform/docs/data-masking
    """
    return value == MASK or (isinstance(value, dict) and value.get("isMasked") is True)


def as_text(value: Any) -> str | None:
    """Return readable text, shortened and without control characters; None when empty, masked or no text."""
    if not isinstance(value, str) or value == MASK:
        return None
    text = value[:LONGEST_TEXT]
    return (text if text.isprintable() else _CONTROL.sub(" ", text)).strip() or None


def as_time(value: Any) -> datetime | None:
    """Return the moment an ISO 8601 text names, in UTC; None when it names none or a senseless year."""
    if not isinstance(value, str):
        return None
    try:
        at = datetime.fromisoformat(value)
        if at.tzinfo is not UTC:
            at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return at if EARLIEST_YEAR < at.year < LATEST_YEAR else None


def as_number(value: Any) -> float | None:
    """Return a finite number, also from its text; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e15 else None


def as_count(value: Any) -> int | None:
    """Return a whole number that counts something; None for what counts nothing, or more than can be held."""
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() and 0 <= number <= LARGEST_COUNT else None


def as_rev(value: Any) -> int:
    """Return a revision; 0 when there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT else 0


def related_id(relationship: Any) -> str | None:
    """Return the id a relationship points at, from its data, a bare id, or its link."""
    if isinstance(relationship, str):
        return as_id(relationship)
    relation = as_object(relationship)
    data = relation.get("data")
    by_data = as_id(data) if isinstance(data, str) else as_id(as_object(data).get("id"))
    if by_data:
        return by_data
    link = as_object(relation.get("links")).get("self")
    return as_id(link.rsplit("/", 1)[-1]) if isinstance(link, str) else None
