"""Classifies responses of Klaviyo's API. No other module interprets their statuses. Pure.

Statuses and errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kustomer_klaviyo.cleaning import clean
from kustomer_klaviyo.klaviyo.event_wire import ApiError, read_api_errors, read_data_document, read_retry_after
from kustomer_klaviyo.outcomes import (
    MAX_POINTER_LENGTH,
    Accepted,
    LockedOut,
    Outcome,
    Refused,
    Throttled,
    Unreachable,
    Unreadable,
)

TRANSIENT_STATUSES = (408, 425)
GONE, TOO_LARGE = 410, 413
CONTENT_STATUSES = (400, 409, TOO_LARGE, 422)
"""Statuses that may reject the content of a request. Any other rejects the form of every request."""

CONFLICT = 409
"""Always rejects the content: the profile is a duplicate."""

CONTENT_PARAMETER = "filter"
"""The query parameter that contains variable values, such as an address. Any other is the same in every request."""

_AVAILABLE_IN = re.compile(r"available in ([0-9]{1,5}) second")
_ENTRY = re.compile(r"/data/attributes/events-bulk-create/data/([0-9]{1,6})(/|\Z)")
_IN_BODY = re.compile(r"/data(/|\Z)")
_INVALID_REQUEST_FORM = "Klaviyo rejects every request; the API address or revision may not be supported"


@dataclass(frozen=True, slots=True)
class ExpectedResponse:
    """The documented success response of an operation."""

    statuses: tuple[int, ...]
    has_document: bool
    """Whether the body is a document with ``data``. Otherwise it is empty, but a document is accepted, too."""
    is_query: bool = False
    """Only a query is sent: a rejected filter means that the value searched for is invalid."""


READ = ExpectedResponse((200,), has_document=True, is_query=True)
ACCEPTED_EMPTY = ExpectedResponse((202,), has_document=False)
"""Events, bulk events and deletions: accepted, with an empty body."""
JOB_STARTED = ExpectedResponse((202,), has_document=True)
CREATED = ExpectedResponse((201,), has_document=True)
UPDATED = ExpectedResponse((200,), has_document=True)
WRITTEN = ExpectedResponse((200, 201), has_document=True)
SCOPE_PROBE = ExpectedResponse((), has_document=False, is_query=True)
"""An invalid request, sent to find out whether the key has a scope."""


def classify(
    status: int, headers: Mapping[str, str], body: bytes, expected: ExpectedResponse = ACCEPTED_EMPTY
) -> Outcome:
    """Classify a response. ``headers`` must be case-insensitive."""
    request_id = headers.get("X-Klaviyo-Req-Id")
    is_html = _is_html(headers, body)
    if 200 <= status < 300:
        return _classify_success(status, headers, body, expected, request_id=request_id)
    errors = [] if is_html else read_api_errors(body)
    request_id = request_id or next((error.id for error in errors if isinstance(error.id, str)), None)
    detail, retry_after = _detail(status, errors), read_retry_after(headers)
    if status == 429:
        return Throttled(retry_after if retry_after is not None else _wait_in_text(detail), detail, request_id)
    if status in TRANSIENT_STATUSES or status >= 500 or status < 400:
        return Unreachable(detail, status, request_id, retry_after)
    if status == 403 and "cf-mitigated" in headers:
        # A bot challenge of the network in front of Klaviyo.
        return Unreadable("a challenge page instead of Klaviyo's response (403)", status, request_id, retry_after)
    if not errors:
        return _classify_without_errors(status, request_id, retry_after, is_html=is_html)
    if status in CONTENT_STATUSES:
        return _classify_content_error(status, detail, request_id, errors, expected)
    is_key_error = status in (401, 403)
    return LockedOut(status, detail if is_key_error else f"{_INVALID_REQUEST_FORM}: {detail}", request_id)


def _classify_success(
    status: int, headers: Mapping[str, str], body: bytes, expected: ExpectedResponse, *, request_id: str | None
) -> Outcome:
    """Accept a success only in the documented form. Otherwise it is unknown whether the request was processed."""
    if _is_html(headers, body):
        # A proxy's page. If it counted as a success, an event would be lost unnoticed.
        return Unreadable(f"a web page instead of Klaviyo's response ({status})", status, request_id)
    if status not in expected.statuses:
        return Unreadable(_describe_undocumented(status, body), status, request_id)
    if not body.strip():
        if expected.has_document:
            return Unreadable(f"an empty response where a document was expected ({status})", status, request_id)
        return Accepted(status, request_id, b"", _partial_failure_note(headers), _is_phone_dropped(headers))
    document = read_data_document(body) if _may_be_json(headers) else None
    if document is None:
        return Unreadable(_describe_undocumented(status, body), status, request_id)
    return Accepted(status, request_id, document, _partial_failure_note(headers), _is_phone_dropped(headers))


def _describe_undocumented(status: int, body: bytes) -> str:
    errors = read_api_errors(body)
    detail = f": {_detail(status, errors)}" if errors else ""
    return f"a response that is no acceptance in Klaviyo's documented form ({status}){detail}"


def _classify_without_errors(
    status: int, request_id: str | None, retry_after: float | None, *, is_html: bool
) -> Outcome:
    """Classify an error without a JSON:API document. Its author did not check the content of the request."""
    if status == GONE:
        return LockedOut(status, f"{_INVALID_REQUEST_FORM}: status {status}", request_id)
    if status == 401 and not is_html:
        return LockedOut(status, f"status {status}", request_id)
    body_kind = "a web page" if is_html else "no error document"
    return Unreadable(f"{body_kind} instead of Klaviyo's response ({status})", status, request_id, retry_after)


def _classify_content_error(
    status: int, detail: str, request_id: str | None, errors: list[ApiError], expected: ExpectedResponse
) -> Outcome:
    """Find out what an error rejects: the content, the form of every request, or nothing in particular."""
    pointer = _source(errors, "pointer")
    parameter = _source(errors, "parameter")
    is_content_parameter = expected.is_query and parameter == CONTENT_PARAMETER
    is_form_rejected = _source(errors, "header") or (parameter and not is_content_parameter)
    is_content_rejected = expected.is_query or status == CONFLICT or (pointer is not None and _IN_BODY.match(pointer))
    if is_form_rejected:
        return LockedOut(status, f"{_INVALID_REQUEST_FORM}: {detail}", request_id)
    if is_content_rejected:
        return Refused(status, detail, request_id, pointer, _duplicate_profile_id(errors), _pointers(errors))
    return Unreadable(
        f"Klaviyo refused it ({status}) without saying what is wrong with it: {detail}", status, request_id
    )


def _is_html(headers: Mapping[str, str], body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n\f\v\0").startswith(b"<") or (
        bool(body.strip()) and "html" in headers.get("Content-Type", "").lower()
    )


def _may_be_json(headers: Mapping[str, str]) -> bool:
    content_type = headers.get("Content-Type", "")
    return not content_type or "json" in content_type.lower()


def _partial_failure_note(headers: Mapping[str, str]) -> str | None:
    dropped = headers.get("X-Klaviyo-Partial-Failure")
    return f"Klaviyo accepted it without: {dropped}" if dropped else None


def _detail(status: int, errors: list[ApiError]) -> str:
    texts = [str(error.detail or error.title or error.code or "") for error in errors]
    return "; ".join(dict.fromkeys(filter(None, texts))) or f"status {status}"


def _wait_in_text(detail: str) -> float | None:
    """Read the wait from the text of a 429 without a ``Retry-After`` header."""
    match = _AVAILABLE_IN.search(detail)
    return float(match.group(1)) if match else None


def _source(errors: list[ApiError], kind: str) -> str | None:
    """Return the first rejected source of a kind: a pointer into the body, a parameter or a header."""
    for error in errors:
        source = error.source.get(kind) if isinstance(error.source, dict) else None
        if isinstance(source, str) and source:
            return source
    return None


def _pointers(errors: list[ApiError]) -> tuple[str, ...]:
    pointers = [error.source.get("pointer") for error in errors if isinstance(error.source, dict)]
    texts = [clean(pointer, MAX_POINTER_LENGTH) for pointer in pointers if isinstance(pointer, str)]
    return tuple(dict.fromkeys(texts))


def _is_phone_dropped(headers: Mapping[str, str]) -> bool:
    return "phone_number" in headers.get("X-Klaviyo-Partial-Failure", "")


def _duplicate_profile_id(errors: list[ApiError]) -> str | None:
    for error in errors:
        profile_id = error.meta.get("duplicate_profile_id") if isinstance(error.meta, dict) else None
        if isinstance(profile_id, str):
            return profile_id
    return None


def rejected_entries(outcome: Outcome, entry_count: int) -> list[int]:
    """Return the indexes of the entries of a bulk request that a response rejects, in ascending order."""
    pointers = outcome.pointers if isinstance(outcome, Refused) else ()
    indexes = {int(match.group(1)) for pointer in pointers if (match := _ENTRY.match(pointer))}
    return sorted(index for index in indexes if index < entry_count)
