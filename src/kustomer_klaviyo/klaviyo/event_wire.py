"""Encodes Klaviyo's event requests, and decodes responses and headers. Pure.

API reference: developers.klaviyo.com/en/reference/api_overview
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.lenient_json import decode_leniently, repair_characters
from kustomer_klaviyo.rate_limits import Limits

REVISION = "2026-07-15"
"""The API revision in use.

Everything used here is unchanged in 2026-10-15, the newest, except campaigns (see ``campaigns``).
"""

NO_FALL_FORWARD = {"X-Klaviyo-Revision-Fall-Forward-Opt-Out": "1"}
"""Makes Klaviyo respond to a retired revision with 410, which pauses the connection, instead of using a newer one.

Page: developers.klaviyo.com/en/docs/api_versioning_and_deprecation_policy
"""

MEDIA_TYPE = "application/vnd.api+json"

BULK_START = b'{"data":{"type":"event-bulk-create-job","attributes":{"events-bulk-create":{"data":['
BULK_END = b"]}}}}"

MAX_RETRY_AFTER = 86_400.0
"""Seconds; a longer wait counts as a mistake."""

_POLICY = re.compile(r"\b([0-9]{1,9})\s*;\s*w=([0-9]{1,9})\b")
_encoder = msgspec.json.Encoder()


class ApiError(msgspec.Struct):
    """One error of an error document. Every part may be missing."""

    code: Any = None
    title: Any = None
    detail: Any = None
    source: Any = None
    id: Any = None
    meta: Any = None


class _Document(msgspec.Struct):
    data: msgspec.Raw
    errors: Any = None


_documents = msgspec.json.Decoder(_Document)


def encode_event(request: EventRequest) -> bytes:
    """Return the body of ``POST /api/events``."""
    attributes = _event(request) | {"profile": {"data": _profile(request)}}
    return _encoder.encode({"data": {"type": "event", "attributes": attributes}})


def encode_bulk_entry(request: EventRequest) -> bytes:
    """Return one entry of a bulk request: one profile with one event."""
    attributes = {
        "profile": {"data": _profile(request)},
        "events": {"data": [{"type": "event", "attributes": _event(request)}]},
    }
    return _encoder.encode({"type": "event-bulk-create", "attributes": attributes})


def join_bulk_entries(entries: Sequence[bytes]) -> bytes:
    """Return the body of ``POST /api/event-bulk-create-jobs``, made of encoded entries."""
    return BULK_START + b",".join(entries) + BULK_END


def _event(request: EventRequest) -> dict[str, Any]:
    event: dict[str, Any] = {
        "metric": {"data": {"type": "metric", "attributes": {"name": request.metric}}},
        "properties": request.properties,
        "time": request.time,
        "unique_id": request.unique_id,
    }
    return event | {"backfill": True} if request.backfill else event


def _profile(request: EventRequest) -> dict[str, Any]:
    identifier = {"email": request.email} if request.email else {"phone_number": request.phone}
    return {"type": "profile", "attributes": identifier}


def read_api_errors(body: bytes) -> list[ApiError]:
    """Return the errors of an error document, without unreadable ones; empty for any other body."""
    document = decode_leniently(body)
    errors = document.get("errors") if isinstance(document, dict) else None
    entries = errors if isinstance(errors, list) else [errors]
    return [msgspec.convert(entry, ApiError) for entry in entries if isinstance(entry, dict)]


def read_data_document(body: bytes) -> bytes | None:
    """Return a document with invalid characters replaced; None when it has no ``data``, or has errors."""
    repaired = repair_characters(body)
    try:
        document = None if repaired is None else _documents.decode(repaired)
    except msgspec.DecodeError:
        return None
    return None if document is None or document.errors else repaired


def read_document(body: bytes) -> Any:
    """Parse a JSON body; None when it is invalid. Broken characters, as of a truncated emoji, are replaced."""
    return decode_leniently(body)


def next_cursor(document: Any) -> str | None:
    """Return the cursor of the next page of a list; None on the last page, or when the link has no cursor."""
    links = document.get("links") if isinstance(document, dict) else None
    next_url = links.get("next") if isinstance(links, dict) else None
    try:
        cursors = parse_qs(urlsplit(next_url).query).get("page[cursor]") if isinstance(next_url, str) else None
    except ValueError:
        return None
    return cursors[0] if cursors else None


def read_limits(headers: Mapping[str, str]) -> Limits | None:
    """Read the limits of ``RateLimit-Limit: 350, 350;w=1, 3500;w=60``; None without them."""
    counts = {int(window): int(count) for count, window in _POLICY.findall(headers.get("RateLimit-Limit", ""))}
    if 60 not in counts or counts[60] < 1:
        return None
    return Limits(counts.get(1), counts[60])


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` in seconds; None when it is neither a number nor a date, or out of range.

    A date is relative to the response's own ``Date``, so that clock differences do not matter.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        sent_at, retry_at = _epoch(headers.get("Date", "")), _epoch(text)
        if sent_at is None or retry_at is None:
            return None
        seconds = max(0.0, retry_at - sent_at)
    return seconds if 0 <= seconds <= MAX_RETRY_AFTER else None


def _epoch(text: str) -> float | None:
    """Return the epoch seconds of an HTTP date; None when it is invalid."""
    try:
        at = parsedate_to_datetime(text)
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp()
    except (ValueError, OverflowError):
        return None
