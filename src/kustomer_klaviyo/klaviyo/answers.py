"""What an answer of Klaviyo's API means: the only place that says so. Pure.

Statuses and errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import re
from collections.abc import Mapping

from kustomer_klaviyo.klaviyo.wire import Problem, decode_problems, retry_after
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable

LONGEST_DETAIL = 1000
PASSING = (408, 425)
ADDRESS_OR_REVISION = (404, 405, 410)

_EXPECTED = re.compile(r"available in ([0-9]{1,5}) second")
_ENTRY = re.compile(r"/data/attributes/events-bulk-create/data/([0-9]{1,6})(/|\Z)")


def classify(status: int, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Say what an answer to a request of ours means. ``headers`` must ignore case."""
    request_id = headers.get("X-Klaviyo-Req-Id")
    if 200 <= status < 300 and body.lstrip().startswith(b"<"):
        # A proxy's page: Klaviyo's own acceptance is empty or JSON. Taken for one, an event would be lost unseen.
        return Unreachable(f"a web page instead of Klaviyo's answer ({status})", status, request_id)
    if 200 <= status < 300:
        return Accepted(status, request_id, body, _note(headers))
    problems = decode_problems(body)
    request_id = request_id or next((problem.id for problem in problems if isinstance(problem.id, str)), None)
    detail = _detail(status, problems)
    asked = retry_after(headers)
    if status == 429:
        return Throttled(asked if asked is not None else _expected(detail), detail, request_id)
    if status in PASSING or status >= 500 or status < 400:
        return Unreachable(detail, status, request_id, asked)
    if status == 403 and (not problems or "cf-mitigated" in headers):
        # A bot challenge of the network in front of Klaviyo, not Klaviyo's own word.
        return Unreachable("a challenge page instead of Klaviyo's answer (403)", status, request_id, asked)
    if status in (401, 403):
        return LockedOut(status, detail, request_id)
    if status in ADDRESS_OR_REVISION:
        return LockedOut(status, f"the API address or revision is not served: {detail}", request_id)
    return Refused(status, detail, request_id, _pointer(problems), _duplicate(problems))


def _note(headers: Mapping[str, str]) -> str | None:
    failed = headers.get("X-Klaviyo-Partial-Failure")
    return f"Klaviyo accepted it without: {failed}" if failed else None


def _detail(status: int, problems: list[Problem]) -> str:
    texts = [str(problem.detail or problem.title or problem.code or "") for problem in problems]
    return "; ".join(dict.fromkeys(filter(None, texts)))[:LONGEST_DETAIL] or f"status {status}"


def _expected(detail: str) -> float | None:
    """Read the wait out of the words of a 429 whose header is missing."""
    found = _EXPECTED.search(detail)
    return float(found.group(1)) if found else None


def _pointer(problems: list[Problem]) -> str | None:
    for problem in problems:
        pointer = problem.source.get("pointer") if isinstance(problem.source, dict) else None
        if isinstance(pointer, str):
            return pointer
    return None


def _duplicate(problems: list[Problem]) -> str | None:
    for problem in problems:
        found = problem.meta.get("duplicate_profile_id") if isinstance(problem.meta, dict) else None
        if isinstance(found, str):
            return found
    return None


def blamed_entry(pointer: str | None) -> int | None:
    """Return which entry of a bulk request a pointer blames; None when it blames none in particular."""
    found = _ENTRY.match(pointer) if pointer else None
    return int(found.group(1)) if found else None
