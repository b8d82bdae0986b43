"""Decodes Kustomer's documents. Knows nothing of their meaning.

Kustomer adds fields without notice and leaves out documented ones, so every field may be missing, null or of another
type: an invalid value counts as missing (developer.kustomer.com/docs/events/event-catalog).
"""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.jsonapi import as_object
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON, repair

MASKED_VALUE = "********"
"""Stands in place of a value that the API key may not read."""

EARLIEST_YEAR, LATEST_YEAR = 1990, 2200
LONGEST_TEXT = 2000
LARGEST_COUNT = 2**31 - 1
"""The largest value of an integer column."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Attributes(msgspec.Struct, rename="camel"):
    """The used attributes of a conversation or a customer; all others are skipped."""

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
"""The attributes of a customer that may be mapped: Kustomer's names, and the fields of ``Attributes``.

``displayName`` is not among them, since Kustomer generates it."""


class Relationships(msgspec.Struct):
    """The used relationships of a resource."""

    customer: Any = None
    brand: Any = None


class Resource(msgspec.Struct):
    """A JSON:API resource of Kustomer's API and webhooks."""

    type: Any = None
    id: Any = None
    attributes: Attributes | None = None
    relationships: Relationships | None = None


class Envelope(msgspec.Struct, rename="camel"):
    """The body of a webhook."""

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


DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The errors of the strict decoder."""

_envelope = msgspec.json.Decoder(Envelope)
_document = msgspec.json.Decoder(_Document)
_anything = msgspec.json.Decoder()


def decode_webhook(body: bytes) -> Envelope:
    """Decode a webhook's body, without an extra outer ``data``; what the strict decoder rejects is repaired.

    Raises MalformedJSON if the body cannot be repaired, or is no object. An object that is not an event gives an empty
    envelope.
    """
    try:
        envelope = _envelope.decode(body)
    except DECODE_ERRORS:
        return _lenient_envelope(read_json(body))
    if envelope.name is None and envelope.data is not None and envelope.data.attributes is None:
        return _lenient_envelope(read_json(body))
    return envelope


def decode_resource(body: bytes) -> Resource:
    """Decode the resource of an API response ``{"data": {...}}``. Raises MalformedJSON."""
    try:
        return _document.decode(body).data
    except DECODE_ERRORS:
        return _lenient_resource(as_object(read_json(body)).get("data"))


def read_json(body: bytes) -> Any:
    """Decode a document, and repair it if necessary. Raises MalformedJSON."""
    try:
        return _anything.decode(body)
    except DECODE_ERRORS:
        return _decode_repaired(repair(body))


def as_strict_json(body: bytes) -> bytes:
    """Return a document that the strict decoder accepts, repaired if necessary. Raises MalformedJSON."""
    try:
        _anything.decode(body)
    except DECODE_ERRORS:
        return repair(body)
    return body


def _decode_repaired(body: bytes) -> Any:
    try:
        return _anything.decode(body)
    except DECODE_ERRORS as error:
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


def read_change(changes: msgspec.Raw, attribute: str) -> dict[str, Any]:
    """Return an attribute's change in a webhook, with ``before`` and ``after``; empty if there is none."""
    if not bytes(changes):
        return {}
    try:
        attributes = as_object(as_object(read_json(bytes(changes))).get("attributes"))
    except MalformedJSON:
        return {}
    return as_object(attributes.get(attribute))


def as_id(value: Any) -> str | None:
    """Return an id that is safe in keys, links and lookups; None for anything else."""
    return value if isinstance(value, str) and _ID.match(value) else None


def is_masked(value: Any) -> bool:
    """Return whether a value is masked, since the API key may not read it.

    See developer.kustomer.com/kustomer-apps-platform/docs/data-masking
    """
    return value == MASKED_VALUE or (isinstance(value, dict) and value.get("isMasked") is True)


def as_text(value: Any) -> str | None:
    """Return text, shortened and without control characters; None if empty, masked or not a string."""
    if not isinstance(value, str) or value == MASKED_VALUE:
        return None
    text = value[:LONGEST_TEXT]
    return (text if text.isprintable() else _CONTROL.sub(" ", text)).strip() or None


def as_time(value: Any) -> datetime | None:
    """Return an ISO 8601 time in UTC; None if the value is not one, or its year is implausible."""
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
    """Return a finite number, also from a string; None for anything else, booleans included."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < 1e15 else None


def as_count(value: Any) -> int | None:
    """Return a count that an integer column can hold; None for anything else."""
    number = as_number(value)
    return int(number) if number is not None and number.is_integer() and 0 <= number <= LARGEST_COUNT else None


def as_rev(value: Any) -> int:
    """Return a revision; 0 if there is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT else 0


def related_id(relationship: Any) -> str | None:
    """Return the id of a relationship's target, from its data, a bare id, or its link."""
    if isinstance(relationship, str):
        return as_id(relationship)
    relation = as_object(relationship)
    data = relation.get("data")
    data_id = as_id(data) if isinstance(data, str) else as_id(as_object(data).get("id"))
    if data_id:
        return data_id
    link = as_object(relation.get("links")).get("self")
    return as_id(link.rsplit("/", 1)[-1]) if isinstance(link, str) else None
