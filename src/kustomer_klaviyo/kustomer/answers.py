"""What an answer of Kustomer's API means. Pure.

Its error bodies come in several shapes (developer.kustomer.com/api), so the status decides and the body only explains.
"""

from collections.abc import Mapping
from dataclasses import replace

from kustomer_klaviyo.kustomer.mending import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_list, as_object, read_json, strict
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable

TRANSIENT = (408, 425, 500, 502, 503, 504)
LOCKED = (401, 402, 403)


def readable(outcome: Outcome, *, is_cut: bool) -> Outcome:
    """Return an acceptance whose body is a strict JSON object, mended where need be; unreadable for any other one.

    ``is_cut`` says that there was more of the body than is read. A document with nothing but errors is no acceptance.
    """
    if not isinstance(outcome, Accepted):
        return outcome
    if is_cut:
        return _unreadable(outcome, "it is larger than what is read")
    try:
        document = read_json(outcome.body)
    except MalformedJSON as error:
        return _unreadable(outcome, f"{error}. Is the address right?")
    if not isinstance(document, dict):
        return _unreadable(outcome, "no JSON object. Is the address right?")
    if document.get("errors") and "data" not in document:
        return _unreadable(outcome, explain(outcome.status, outcome.body))
    return replace(outcome, body=strict(outcome.body))


def _unreadable(outcome: Accepted, why: str) -> Unreadable:
    return Unreadable(f"Kustomer's answer cannot be read ({outcome.status}): {why}", outcome.status)


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
        document = as_object(read_json(body))
    except MalformedJSON:
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
