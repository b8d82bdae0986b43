"""The shapes of Klaviyo's requests and answers, and how values become bytes and back. Pure.

API reference: developers.klaviyo.com/en/reference/api_overview
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.lenient_json import mended, read_leniently
from kustomer_klaviyo.rate_limits import Limits

REVISION = "2026-07-15"
"""The API revision we speak, pinned here alone.

All that we use is the same in 2026-10-15, the newest, but for the shape of campaigns (``campaigns``).
"""

NO_FALL_FORWARD = {"X-Klaviyo-Revision-Fall-Forward-Opt-Out": "1"}
"""A retired revision is answered with 410, which pauses the connection, not silently by another.

Page: developers.klaviyo.com/en/docs/api_versioning_and_deprecation_policy
"""

MEDIA_TYPE = "application/vnd.api+json"

BULK_START = b'{"data":{"type":"event-bulk-create-job","attributes":{"events-bulk-create":{"data":['
BULK_END = b"]}}}}"

LONGEST_RETRY_AFTER = 86_400.0
"""Seconds; a longer wish is taken for a mistake."""

_POLICY = re.compile(r"\b([0-9]{1,9})\s*;\s*w=([0-9]{1,9})\b")
_encoder = msgspec.json.Encoder()


class Problem(msgspec.Struct):
    """One entry of an error answer; every part may be missing."""

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


def encode_event(call: EventCall) -> bytes:
    """Return the body of ``POST /api/events``."""
    attributes = _event(call) | {"profile": {"data": _profile(call)}}
    return _encoder.encode({"data": {"type": "event", "attributes": attributes}})


def encode_bulk_entry(call: EventCall) -> bytes:
    """Return one entry of a bulk request: one profile with one event."""
    attributes = {
        "profile": {"data": _profile(call)},
        "events": {"data": [{"type": "event", "attributes": _event(call)}]},
    }
    return _encoder.encode({"type": "event-bulk-create", "attributes": attributes})


def join_bulk(entries: Sequence[bytes]) -> bytes:
    """Return the body of ``POST /api/event-bulk-create-jobs`` made of encoded entries."""
    return BULK_START + b",".join(entries) + BULK_END


def _event(call: EventCall) -> dict[str, Any]:
    event: dict[str, Any] = {
        "metric": {"data": {"type": "metric", "attributes": {"name": call.metric}}},
        "properties": call.properties,
        "time": call.time,
        "unique_id": call.unique_id,
    }
    return event | {"backfill": True} if call.backfill else event


def _profile(call: EventCall) -> dict[str, Any]:
    identifier = {"email": call.email} if call.email else {"phone_number": call.phone}
    return {"type": "profile", "attributes": identifier}


def decode_problems(body: bytes) -> list[Problem]:
    """Return what an error answer says; nothing when it is no error document. Unreadable entries are passed over."""
    document = read_leniently(body)
    errors = document.get("errors") if isinstance(document, dict) else None
    entries = errors if isinstance(errors, list) else [errors]
    return [msgspec.convert(entry, Problem) for entry in entries if isinstance(entry, dict)]


def read_success(body: bytes) -> bytes | None:
    """Return an answer's document, mended; None when it is none with ``data``, or one that tells of errors."""
    found = mended(body)
    try:
        document = None if found is None else _documents.decode(found)
    except msgspec.DecodeError:
        return None
    return None if document is None or document.errors else found


def read_document(body: bytes) -> Any:
    """Read an answer's JSON; None for what is none. Half a character, as a cut emoji leaves, spoils nothing else."""
    return read_leniently(body)


def next_cursor(document: Any) -> str | None:
    """Return the cursor of the page after a list's document; None when it is the last, or its link leads nowhere."""
    links = document.get("links") if isinstance(document, dict) else None
    following = links.get("next") if isinstance(links, dict) else None
    try:
        cursors = parse_qs(urlsplit(following).query).get("page[cursor]") if isinstance(following, str) else None
    except ValueError:
        return None
    return cursors[0] if cursors else None


def limits(headers: Mapping[str, str]) -> Limits | None:
    """Read the policies of ``RateLimit-Limit: 350, 350;w=1, 3500;w=60``; None when they are not there."""
    windows = {int(window): int(count) for count, window in _POLICY.findall(headers.get("RateLimit-Limit", ""))}
    if 60 not in windows or windows[60] < 1:
        return None
    return Limits(windows.get(1), windows[60])


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read ``Retry-After`` in seconds; None when it is neither a number nor a date, or senseless.

    A date counts from the answer's own ``Date``, so that the clocks of both sides need not agree.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        begins, ends = _epoch(headers.get("Date", "")), _epoch(text)
        if begins is None or ends is None:
            return None
        seconds = max(0.0, ends - begins)
    return seconds if 0 <= seconds <= LONGEST_RETRY_AFTER else None


def _epoch(text: str) -> float | None:
    """Return the epoch seconds of an HTTP date; None when it is none."""
    try:
        at = parsedate_to_datetime(text)
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at).timestamp()
    except (ValueError, OverflowError):
        return None
