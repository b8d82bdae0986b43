"""What an answer of Klaviyo's API means: the only place that says so. Pure.

Statuses and errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from kustomer_klaviyo.cleaning import clean
from kustomer_klaviyo.klaviyo.event_wire import Problem, decode_problems, read_success, retry_after
from kustomer_klaviyo.outcomes import (
    LONGEST_POINTER,
    Accepted,
    LockedOut,
    Outcome,
    Refused,
    Throttled,
    Unreachable,
    Unreadable,
)

PASSING = (408, 425)
RETIRED, TOO_LARGE = 410, 413
ABOUT_CONTENT = (400, 409, TOO_LARGE, 422)
"""Statuses by which Klaviyo may blame what a request carries; any other concerns how we ask."""

CONFLICT = 409
"""Says by itself that the content is the matter: the profile is a duplicate."""

ASKED_FOR = "filter"
"""The parameter of a read that holds values of ours, such as an address; any other is the way we ask."""

_EXPECTED = re.compile(r"available in ([0-9]{1,5}) second")
_ENTRY = re.compile(r"/data/attributes/events-bulk-create/data/([0-9]{1,6})(/|\Z)")
_IN_THE_BODY = re.compile(r"/data(/|\Z)")


@dataclass(frozen=True, slots=True)
class Documented:
    """How Klaviyo's API reference says that an operation is accepted."""

    statuses: tuple[int, ...]
    has_document: bool
    """Whether the answer is a document with ``data``; otherwise it is empty, though a document does no harm."""
    is_read: bool = False
    """Nothing is sent but a query: a refusal that blames the filter blames whom or what it asks for."""


READ = Documented((200,), has_document=True, is_read=True)
TAKEN = Documented((202,), has_document=False)
"""Events, one or many, and deletions: taken in, with an empty body."""
BEGUN = Documented((202,), has_document=True)
CREATED = Documented((201,), has_document=True)
UPDATED = Documented((200,), has_document=True)
WRITTEN = Documented((200, 201), has_document=True)
NEVER = Documented((), has_document=False, is_read=True)
"""What is sent only to be refused, to find out what a key may do."""


def classify(status: int, headers: Mapping[str, str], body: bytes, documented: Documented = TAKEN) -> Outcome:
    """Say what an answer to a request of ours means. ``headers`` must ignore case."""
    request_id = headers.get("X-Klaviyo-Req-Id")
    is_page = _is_page(headers, body)
    if 200 <= status < 300:
        return _success(status, headers, body, documented, request_id=request_id)
    problems = [] if is_page else decode_problems(body)
    request_id = request_id or next((one.id for one in problems if isinstance(one.id, str)), None)
    detail, asked = _detail(status, problems), retry_after(headers)
    if status == 429:
        return Throttled(asked if asked is not None else _expected(detail), detail, request_id)
    if status in PASSING or status >= 500 or status < 400:
        return Unreachable(detail, status, request_id, asked)
    if status == 403 and "cf-mitigated" in headers:
        # A bot challenge of the network in front of Klaviyo, not Klaviyo's own word.
        return Unreadable("a challenge page instead of Klaviyo's answer (403)", status, request_id, asked)
    if not problems:
        return _wordless(status, request_id, asked, is_page=is_page)
    if status in ABOUT_CONTENT:
        return _blaming(status, detail, request_id, problems, documented)
    return LockedOut(status, detail if status in (401, 403) else f"{_WAY}: {detail}", request_id)


_WAY = "Klaviyo refuses the way we ask, whatever is sent; the API address or revision may not be served"


def _success(
    status: int, headers: Mapping[str, str], body: bytes, documented: Documented, *, request_id: str | None
) -> Outcome:
    """Take an acceptance for one only in the form that is documented: anything else may have been carried out."""
    if _is_page(headers, body):
        # A proxy's page: taken for Klaviyo's word, an event would be lost unseen.
        return Unreadable(f"a web page instead of Klaviyo's answer ({status})", status, request_id)
    if status not in documented.statuses:
        return Unreadable(_unexpected(status, body), status, request_id)
    if not body.strip():
        if documented.has_document:
            return Unreadable(f"an empty answer where a document was expected ({status})", status, request_id)
        return Accepted(status, request_id, b"", _note(headers), _lacks_phone(headers))
    document = read_success(body) if _may_be_json(headers) else None
    if document is None:
        return Unreadable(_unexpected(status, body), status, request_id)
    return Accepted(status, request_id, document, _note(headers), _lacks_phone(headers))


def _unexpected(status: int, body: bytes) -> str:
    problems = decode_problems(body)
    said = f": {_detail(status, problems)}" if problems else ""
    return f"an answer that is no acceptance in Klaviyo's documented form ({status}){said}"


def _wordless(status: int, request_id: str | None, asked: float | None, *, is_page: bool) -> Outcome:
    """Judge a refusal that is not Klaviyo's JSON:API: whoever wrote it did not judge what was sent."""
    if status == RETIRED or (status == 401 and not is_page):
        return LockedOut(status, f"status {status}" if status == 401 else f"{_WAY}: status {status}", request_id)
    what = "a web page" if is_page else "no error document"
    return Unreadable(f"{what} instead of Klaviyo's answer ({status})", status, request_id, asked)


def _blaming(
    status: int, detail: str, request_id: str | None, problems: list[Problem], documented: Documented
) -> Outcome:
    """Find out whom a refusal blames: what was sent, how we ask, or nobody in particular."""
    pointer = _source(problems, "pointer")
    parameter = _source(problems, "parameter")
    asks_wrongly = _source(problems, "header") or (parameter and not (documented.is_read and parameter == ASKED_FOR))
    is_own = documented.is_read or status == CONFLICT or (pointer is not None and _IN_THE_BODY.match(pointer))
    if asks_wrongly:
        return LockedOut(status, f"{_WAY}: {detail}", request_id)
    if is_own:
        return Refused(status, detail, request_id, pointer, _duplicate(problems), _pointers(problems))
    return Unreadable(
        f"Klaviyo refused it ({status}) without saying what is wrong with it: {detail}", status, request_id
    )


def _is_page(headers: Mapping[str, str], body: bytes) -> bool:
    return body.lstrip(b"\xef\xbb\xbf \t\r\n\f\v\0").startswith(b"<") or (
        bool(body.strip()) and "html" in headers.get("Content-Type", "").lower()
    )


def _may_be_json(headers: Mapping[str, str]) -> bool:
    said = headers.get("Content-Type", "")
    return not said or "json" in said.lower()


def _note(headers: Mapping[str, str]) -> str | None:
    failed = headers.get("X-Klaviyo-Partial-Failure")
    return f"Klaviyo accepted it without: {failed}" if failed else None


def _detail(status: int, problems: list[Problem]) -> str:
    texts = [str(one.detail or one.title or one.code or "") for one in problems]
    return "; ".join(dict.fromkeys(filter(None, texts))) or f"status {status}"


def _expected(detail: str) -> float | None:
    """Read the wait out of the words of a 429 whose header is missing."""
    found = _EXPECTED.search(detail)
    return float(found.group(1)) if found else None


def _source(problems: list[Problem], kind: str) -> str | None:
    """Return the first thing of a kind that is blamed: a pointer into the body, a parameter or a header."""
    for problem in problems:
        found = problem.source.get(kind) if isinstance(problem.source, dict) else None
        if isinstance(found, str) and found:
            return found
    return None


def _pointers(problems: list[Problem]) -> tuple[str, ...]:
    found = [one.source.get("pointer") for one in problems if isinstance(one.source, dict)]
    return tuple(dict.fromkeys(clean(one, LONGEST_POINTER) for one in found if isinstance(one, str)))


def _lacks_phone(headers: Mapping[str, str]) -> bool:
    return "phone_number" in headers.get("X-Klaviyo-Partial-Failure", "")


def _duplicate(problems: list[Problem]) -> str | None:
    for problem in problems:
        found = problem.meta.get("duplicate_profile_id") if isinstance(problem.meta, dict) else None
        if isinstance(found, str):
            return found
    return None


def blamed_entries(outcome: Outcome, number: int) -> list[int]:
    """Return which of so many entries of a bulk request an answer blames, in their order."""
    pointers = outcome.pointers if isinstance(outcome, Refused) else ()
    found = {int(match.group(1)) for pointer in pointers if (match := _ENTRY.match(pointer))}
    return sorted(entry for entry in found if entry < number)
