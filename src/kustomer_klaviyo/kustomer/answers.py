"""What an answer of Kustomer's API means. Pure.

Its error bodies come in several shapes (developer.kustomer.com/api), so the status decides and the body only explains.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_list, as_object, read_json, strict
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable

LONGEST_SKEW_SECONDS = 366 * 86_400.0
"""A clock further off than that is a broken answer, not a clock."""

READ = (200, 201)
PASSING = (408, 425)
LOCKED = (401, 402, 403)


def classify(status: int, headers: Mapping[str, str], body: bytes, *, now: float, is_read: bool = True) -> Outcome:
    """Say what an answer means; ``now`` is the epoch time in seconds, for limits that name the moment they end."""
    document = _document(headers, body)
    detail = explain(status, document)
    if 200 <= status < 300:
        return _success(status, body, document, detail, is_read=is_read)
    if status == 429:
        return Throttled(_seconds_to_wait(headers, now), detail)
    if status in PASSING or status >= 500 or status < 400:
        return Unreachable(detail, status, retry_after=_seconds_to_wait(headers, now))
    if document is None:
        # A page of a proxy's or a firewall's, not Kustomer's word: nobody is missing because of it.
        return Unreadable(f"no answer of Kustomer's ({status})", status)
    if status in LOCKED:
        return LockedOut(status, detail)
    return Refused(status, detail)


def is_away(outcome: Outcome) -> bool:
    """Say whether an answer, or none, concerns whatever is asked; one that cannot be read may concern one document."""
    if isinstance(outcome, Unreadable):
        return outcome.status is None or outcome.status >= 300
    return isinstance(outcome, Throttled | Unreachable | LockedOut)


def _success(status: int, body: bytes, document: dict[str, Any] | None, detail: str, *, is_read: bool) -> Outcome:
    """Take a read for answered only where there is a document with ``data``; a change may be taken in silence."""
    if not is_read and not body.strip():
        return Accepted(status)
    if document is None or (is_read and (status not in READ or "data" not in document)):
        return Unreadable(
            f"Kustomer's answer cannot be read ({status}): no JSON document. Is the address right?", status
        )
    if document.get("errors"):
        return Unreadable(f"Kustomer's answer cannot be read ({status}): it tells of errors: {detail}", status)
    return Accepted(status, body=strict(body))


def explain(status: int, document: dict[str, Any] | None) -> str:
    """Return the vendor's own words on an error, whichever of its shapes they came in."""
    said = document or {}
    errors = [as_object(error) for error in as_list(said.get("errors"))] or [said]
    texts = [
        str(text)[:300]
        for error in errors
        for text in (error.get("title"), error.get("detail"), error.get("message"), error.get("error"))
        if text
    ]
    return "; ".join(dict.fromkeys(texts)) or f"status {status}"


def _document(headers: Mapping[str, str], body: bytes) -> dict[str, Any] | None:
    """Return the JSON object that an answer is; None for anything else: a page, half a document, nothing."""
    said = headers.get("Content-Type", "")
    try:
        document = read_json(body) if not said or "json" in said.lower() else None
    except MalformedJSON:
        return None
    return document if isinstance(document, dict) else None


def _seconds_to_wait(headers: Mapping[str, str], now: float) -> float | None:
    """Read ``Retry-After``, else ``x-ratelimit-reset`` (epoch seconds); None when neither says anything sensible."""
    for name, start in (("Retry-After", 0.0), ("x-ratelimit-reset", now)):
        try:
            seconds = float(headers[name]) - start
        except (KeyError, ValueError):
            continue
        if 0 <= seconds <= 3600:
            return seconds
    return None


def ahead_by(date: str | None, *, now: float) -> float | None:
    """Return by how many seconds a ``Date`` header is ahead of ``now``; None where it says nothing sensible."""
    try:
        seconds = parsedate_to_datetime(date or "").timestamp() - now
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return seconds if abs(seconds) <= LONGEST_SKEW_SECONDS else None
