"""Classifying Kustomer's responses, by status, content type and body."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kustomer_klaviyo.kustomer.kustomer_responses import classify
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable

JSON, HTML = "application/json; charset=utf-8", "text/html"
CUSTOMER = b'{"data":{"type":"customer","id":"c1","attributes":{}}}'
ERROR = b'{"errors":[{"status":404,"code":"notfound","title":"Not Found"}]}'
PAGE = b"<html><body>nginx</body></html>"

READS: list[tuple[int, str | None, bytes, type]] = [
    (200, JSON, CUSTOMER, Accepted),
    (200, None, CUSTOMER, Accepted),
    (200, JSON, b'{"data":[]}', Accepted),
    (200, JSON, CUSTOMER.replace(b"c1", rb"c\ud83d"), Accepted),
    (200, JSON, CUSTOMER.replace(b"c1", rb"c\u0000"), Accepted),
    (200, JSON, b"", Unreadable),
    (200, JSON, b"{}", Unreadable),
    (200, JSON, b"[]", Unreadable),
    (200, JSON, b"null", Unreadable),
    (200, JSON, CUSTOMER[:-1], Unreadable),
    (200, JSON, CUSTOMER.replace(b"c1", b"\xe9"), Accepted),
    (200, JSON, b'{"data":NaN}', Accepted),
    (200, JSON, b'{"data":' + b"[" * 9000 + b"]" * 9000 + b"}", Accepted),
    (200, JSON, ERROR, Unreadable),
    (200, JSON, b'{"data":{},"errors":[{"title":"No"}]}', Unreadable),
    (200, HTML, PAGE, Unreadable),
    (200, HTML, CUSTOMER, Unreadable),
    (200, JSON, PAGE, Unreadable),
    (204, None, b"", Unreadable),
    (206, JSON, CUSTOMER, Unreadable),
    (302, None, b"", Unreachable),
    (304, None, b"", Unreachable),
    (400, JSON, ERROR, Refused),
    (404, JSON, ERROR, Refused),
    (404, JSON, b'{"message":"no"}', Refused),
    (404, HTML, PAGE, Unreadable),
    (404, JSON, PAGE, Unreadable),
    (404, None, b"", Unreadable),
    (410, HTML, PAGE, Unreadable),
    (400, HTML, PAGE, Unreadable),
    (401, JSON, ERROR, LockedOut),
    (401, HTML, PAGE, Unreadable),
    (403, JSON, ERROR, LockedOut),
    (403, HTML, PAGE, Unreadable),
    (408, None, b"", Unreachable),
    (413, HTML, PAGE, Unreadable),
    (429, JSON, ERROR, Throttled),
    (429, HTML, PAGE, Throttled),
    (429, None, b"", Throttled),
    (500, JSON, ERROR, Unreachable),
    (501, None, b"", Unreachable),
    (503, HTML, PAGE, Unreachable),
]
WRITES: list[tuple[int, str | None, bytes, type]] = [
    (200, None, b"", Accepted),
    (204, None, b"", Accepted),
    (201, JSON, CUSTOMER, Accepted),
    (200, JSON, b"{}", Accepted),
    (200, HTML, PAGE, Unreadable),
    (200, JSON, ERROR, Unreadable),
    (201, JSON, CUSTOMER[:-1], Unreadable),
]


def classify_response(status: int, content_type: str | None, body: bytes, *, is_read: bool) -> Outcome:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return classify(status, CIMultiDict(headers), body, now=0.0, is_read=is_read)


@pytest.mark.parametrize(("status", "content_type", "body", "expected"), READS)
def test_reads_are_classified(status: int, content_type: str | None, body: bytes, expected: type) -> None:
    outcome = classify_response(status, content_type, body, is_read=True)
    assert (type(outcome), outcome.status) == (expected, status)


@pytest.mark.parametrize(("status", "content_type", "body", "expected"), WRITES)
def test_writes_are_classified(status: int, content_type: str | None, body: bytes, expected: type) -> None:
    assert type(classify_response(status, content_type, body, is_read=False)) is expected


@given(st.integers(0, 999), st.text(max_size=20), st.binary(max_size=60) | st.sampled_from([row[2] for row in READS]))
def test_any_response_is_classified_and_an_accepted_read_has_data(status: int, text: str, body: bytes) -> None:
    headers = CIMultiDict({"Content-Type": text or JSON, "Retry-After": text, "x-ratelimit-reset": text})
    outcome = classify(status, headers, body, now=0.0)
    assert outcome.status == status
    if isinstance(outcome, Accepted):
        assert "data" in msgspec.json.decode(outcome.body)
