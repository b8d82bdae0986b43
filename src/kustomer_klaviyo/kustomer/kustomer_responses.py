"""Classifies the responses of Kustomer's API. Pure.

Error bodies have several shapes (developer.kustomer.com/api), so the status decides and the body only explains.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_strict_json, read_json
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable

MAX_SKEW_SECONDS = 366 * 86_400.0
"""A ``Date`` header that is further off is ignored."""

READ_STATUSES = (200, 201)
RETRYABLE_STATUSES = (408, 425)
LOCKED_OUT_STATUSES = (401, 402, 403)


def classify(status: int, headers: Mapping[str, str], body: bytes, *, now: float, is_read: bool = True) -> Outcome:
    """Classify a response; ``now`` is the epoch time in seconds, for rate limits that name the time they end."""
    document = _document(headers, body)
    detail = explain(status, document)
    if 200 <= status < 300:
        return _success(status, body, document, detail, is_read=is_read)
    if status == 429:
        return Throttled(_seconds_to_wait(headers, now), detail)
    if status in RETRYABLE_STATUSES or status >= 500 or status < 400:
        return Unreachable(detail, status, retry_after=_seconds_to_wait(headers, now))
    if document is None:
        # A proxy or firewall responded, not Kustomer: its 404 does not mean that a customer is missing.
        return Unreadable(f"not a response of Kustomer ({status})", status)
    if status in LOCKED_OUT_STATUSES:
        return LockedOut(status, detail)
    return Refused(status, detail)


def is_unavailable(outcome: Outcome) -> bool:
    """Return whether the outcome concerns every request; an unreadable response may concern one document only."""
    if isinstance(outcome, Unreadable):
        return outcome.status is None or outcome.status >= 300
    return isinstance(outcome, Throttled | Unreachable | LockedOut)


def _success(status: int, body: bytes, document: dict[str, Any] | None, detail: str, *, is_read: bool) -> Outcome:
    """Accept a read only with a document that has ``data``; the response to a write may have no body."""
    if not is_read and not body.strip():
        return Accepted(status)
    if document is None or (is_read and (status not in READ_STATUSES or "data" not in document)):
        return Unreadable(f"Kustomer's response is unreadable ({status}): no JSON document. Check the address", status)
    if document.get("errors"):
        return Unreadable(f"Kustomer's response is unreadable ({status}): it contains errors: {detail}", status)
    return Accepted(status, body=as_strict_json(body))


def explain(status: int, document: dict[str, Any] | None) -> str:
    """Return the vendor's error message, in whichever shape it came."""
    body = document or {}
    errors = [as_object(error) for error in as_list(body.get("errors"))] or [body]
    texts = [
        str(text)[:300]
        for error in errors
        for text in (error.get("title"), error.get("detail"), error.get("message"), error.get("error"))
        if text
    ]
    return "; ".join(dict.fromkeys(texts)) or f"status {status}"


def _document(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Return the response's JSON object; None for anything else, such as a web page or a truncated document."""
    content_type = headers.get("Content-Type", "")
    try:
        document = read_json(body) if not content_type or "json" in content_type.lower() else None
    except MalformedJSON:
        return None
    return document if isinstance(document, dict) else None


def _seconds_to_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``Retry-After``, else ``x-ratelimit-reset`` (epoch seconds); None if neither is valid."""
    for name, start in (("Retry-After", 0.0), ("x-ratelimit-reset", now)):
        try:
            seconds = float(headers[name]) - start
        except (KeyError, ValueError):
            continue
        if 0 <= seconds <= 3600:
            return seconds
    return None


def clock_skew(date: str | None, *, now: float) -> float | None:
    """Return by how many seconds a ``Date`` header is ahead of ``now``; None if it is invalid."""
    try:
        seconds = parsedate_to_datetime(date or "").timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if abs(seconds) <= MAX_SKEW_SECONDS else None
