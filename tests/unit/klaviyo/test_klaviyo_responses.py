"""The outcome of each kind of response by Klaviyo."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kustomer_klaviyo.klaviyo.event_wire import read_limits
from kustomer_klaviyo.klaviyo.klaviyo_responses import classify, rejected_entries
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable
from kustomer_klaviyo.rate_limits import Limits

BULK = "/data/attributes/events-bulk-create/data"
BULK_POINTER = f"{BULK}/3/attributes/email"


def classified(status: int, error: dict[str, Any] | bytes | None = None, **headers: str) -> Outcome:
    body = error if isinstance(error, bytes) else b"" if error is None else msgspec.json.encode({"errors": [error]})
    return classify(status, CIMultiDict({name.replace("_", "-"): value for name, value in headers.items()}), body)


def test_2xx_is_accepted_with_the_request_id() -> None:
    assert classified(202, X_Klaviyo_Req_Id="r1") == Accepted(202, "r1")


def test_a_partial_failure_is_accepted_with_a_note() -> None:
    outcome = classified(202, x_klaviyo_partial_failure="phone_number")
    assert isinstance(outcome, Accepted)
    assert outcome.note is not None
    assert "phone_number" in outcome.note


def test_400_is_refused_with_detail_pointer_and_request_id() -> None:
    error = {"id": "r2", "code": "invalid", "title": "Invalid input.", "detail": "Invalid email address"}
    outcome = classified(400, error | {"source": {"pointer": BULK_POINTER}})
    assert outcome == Refused(400, "Invalid email address", "r2", BULK_POINTER, pointers=(BULK_POINTER,))


def test_a_missing_scope_or_an_invalid_key_is_locked_out() -> None:
    assert isinstance(classified(401, {"code": "not_authenticated", "detail": "Missing key."}), LockedOut)
    assert isinstance(classified(403, {"code": "permission_denied", "detail": "No permission."}), LockedOut)


def test_all_details_are_joined_without_duplicates_and_unreadable_errors() -> None:
    errors = [{"detail": "No metric."}, "?", {"title": "Invalid."}, {"detail": "No metric."}, {}]
    outcome = classify(409, {}, msgspec.json.encode({"errors": errors}))
    assert outcome == Refused(409, "No metric.; Invalid.")


@pytest.mark.parametrize("status", [404, 405, 410])
def test_a_wrong_path_or_a_retired_revision_is_locked_out(status: int) -> None:
    outcome = classified(status, {"detail": "Gone."})
    assert isinstance(outcome, LockedOut)
    assert "revision" in outcome.detail


@pytest.mark.parametrize("status", [302, 408, 425, 500, 502, 503, 504, 524])
def test_a_response_unrelated_to_the_request_is_unreachable(status: int) -> None:
    assert isinstance(classified(status, b"upstream"), Unreachable)


@pytest.mark.parametrize(
    ("headers", "detail", "seconds"),
    [
        ({"Retry_After": "7"}, "", 7.0),
        ({"Retry_After": "1.5"}, "", 1.5),
        ({"Retry_After": "soon"}, "", None),
        ({"Retry_After": "-3"}, "", None),
        ({}, "Request was throttled. Expected available in 4 seconds.", 4.0),
        ({}, "Request was throttled.", None),
    ],
)
def test_429_is_throttled_for_the_seconds_of_the_header_or_the_detail(
    headers: dict[str, str], detail: str, seconds: float | None
) -> None:
    outcome = classified(429, {"code": "throttled", "detail": detail}, **headers)
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == seconds


DATE = "Fri, 01 Jan 2016 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "Fri, 01 Jan 2016 00:00:30 GMT", "Date": DATE}, 30.0),
        ({"Retry_After": "Thu, 31 Dec 2015 00:00:00 GMT", "Date": DATE}, 0.0),
        ({"Retry_After": DATE}, None),
        ({"Retry_After": "Fri, 01 Jan 2038 00:00:00 GMT", "Date": DATE}, None),
        ({"Retry_After": "Fri, 01 Jan 2016 00:00:00 +99999999999999999999", "Date": DATE}, None),
    ],
)
def test_a_retry_after_date_is_relative_to_the_date_of_the_response(
    headers: dict[str, str], seconds: float | None
) -> None:
    outcome = classified(503, None, **headers)
    assert isinstance(outcome, Unreachable)
    assert outcome.retry_after == seconds


@given(st.integers(100, 599), st.binary(max_size=200), st.text(max_size=60), st.text(max_size=60))
def test_no_response_raises_an_exception(status: int, body: bytes, retry_after: str, date: str) -> None:
    outcome = classify(
        status, {"Retry-After": retry_after, "Date": date, "X-Klaviyo-Partial-Failure": retry_after}, body
    )
    assert outcome.status == status
    assert not isinstance(outcome, Throttled | Unreachable) or outcome.retry_after is None or outcome.retry_after >= 0


@pytest.mark.parametrize(
    ("pointers", "entries"),
    [
        ((BULK_POINTER,), [3]),
        ((BULK_POINTER, f"{BULK}/0/attributes", f"{BULK}/0", f"{BULK}/5/attributes/email"), [0, 3]),
        ((BULK, f"{BULK}/3x", f"{BULK}/{'9' * 5000}", "/data"), []),
        ((), []),
    ],
)
def test_pointers_name_the_rejected_entries_of_a_bulk_request(pointers: tuple[str, ...], entries: list[int]) -> None:
    assert rejected_entries(Refused(400, "Invalid.", pointers=pointers), 5) == entries
    assert rejected_entries(Accepted(202), 5) == []


def test_limits_are_read_from_the_policies_of_the_header() -> None:
    assert read_limits({"RateLimit-Limit": "350, 350;w=1, 3500;w=60"}) == Limits(350, 3500)
    assert read_limits({"RateLimit-Limit": "350"}) is None
    assert read_limits({}) is None
