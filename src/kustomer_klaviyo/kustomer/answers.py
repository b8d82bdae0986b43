"""What an answer of Kustomer's API means. Pure.

Its error bodies come in several shapes (developer.kustomer.com/api), so the status decides and the body only explains.
"""

from collections.abc import Mapping

import msgspec

from kustomer_klaviyo.kustomer.wire import as_list, as_object
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable

TRANSIENT = (408, 425, 500, 502, 503, 504)
LOCKED = (401, 402, 403)


def classify(status: int, headers: Mapping[str, str], body: bytes, *, now: float) -> Outcome:
    """Say what an answer means; ``now`` is the epoch time in seconds, for limits that name the moment they end."""
    detail = explain(status, body)
    if 200 <= status < 300:
        return Accepted(status, body=body)
    if status == 429:
        return Throttled(_seconds_to_wait(headers, now), detail)
    if status in LOCKED and _is_json(headers):
        return LockedOut(status, detail)
    if status in TRANSIENT or status > 500 or status in LOCKED or 300 <= status < 400:
        return Unreachable(detail, status)
    return Refused(status, detail)


def explain(status: int, body: bytes) -> str:
    """Return the vendor's own words on an error, whichever of its shapes they came in."""
    try:
        document = as_object(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        document = {}
    errors = [as_object(error) for error in as_list(document.get("errors"))] or [document]
    texts = [
        str(text)[:300]
        for error in errors
        for text in (error.get("title"), error.get("detail"), error.get("message"), error.get("error"))
        if text
    ]
    return "; ".join(dict.fromkeys(texts)) or f"status {status}"


def _is_json(headers: Mapping[str, str]) -> bool:
    return "json" in headers.get("Content-Type", "")


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
