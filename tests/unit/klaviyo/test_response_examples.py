"""The outcome of example responses: status, content type and body."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kustomer_klaviyo.cleaning import MAX_LENGTH
from kustomer_klaviyo.klaviyo import klaviyo_responses
from kustomer_klaviyo.klaviyo.klaviyo_responses import (
    ACCEPTED_EMPTY,
    CREATED,
    JOB_STARTED,
    READ,
    UPDATED,
    WRITTEN,
    ExpectedResponse,
    classify,
)
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable

JSON_API = "application/vnd.api+json"
HTML = "text/html; charset=utf-8"
PAGE = b"<!DOCTYPE html><html><body>nginx</body></html>"
PROFILE = b'{"data":{"type":"profile","id":"01H","attributes":{"email":"ada@lanternpost.example"}}}'
LISTED = b'{"data":[],"links":{"next":null}}'
AT_EMAIL = {"pointer": "/data/attributes/profile/data/attributes/email"}
HALF_EMOJI = rb'{"data":{"type":"profile","id":"01H","attributes":{"first_name":"Ada \ud83d"}}}'


def error_document(*errors: dict[str, Any], **members: Any) -> bytes:
    """Return an error document of Klaviyo."""
    return msgspec.json.encode({"errors": [{"code": "invalid", "detail": "No."} | error for error in errors]} | members)


def error_at(**source: str) -> bytes:
    return error_document({"source": source})


CONTENT = error_at(**AT_EMAIL)
HEADER = error_at(header="revision")
PARAMETER = error_at(parameter="filter")
UNSPECIFIC = error_document({})
DEFAULT = error_at(pointer="/data/")

Case = tuple[ExpectedResponse, int, str | None, bytes, type]

ACCEPTED: list[Case] = [
    (ACCEPTED_EMPTY, 202, None, b"", Accepted),
    (ACCEPTED_EMPTY, 202, "text/plain", b"", Accepted),
    (ACCEPTED_EMPTY, 202, None, b" \r\n", Accepted),
    (ACCEPTED_EMPTY, 202, JSON_API, b'{"data":{"type":"event-bulk-create-job","id":"1"}}', Accepted),
    (ACCEPTED_EMPTY, 202, JSON_API, b'{"data":null,"errors":[]}', Accepted),
    (READ, 200, JSON_API, LISTED, Accepted),
    (READ, 200, "application/json", LISTED, Accepted),
    (READ, 200, "Application/JSON; charset=utf-8", LISTED, Accepted),
    (READ, 200, None, LISTED, Accepted),
    (READ, 200, JSON_API, PROFILE, Accepted),
    (READ, 200, JSON_API, HALF_EMOJI, Accepted),
    (READ, 200, JSON_API, HALF_EMOJI.replace(b"\\ud83d", b"\\u0000"), Accepted),
    (WRITTEN, 200, JSON_API, PROFILE, Accepted),
    (WRITTEN, 201, JSON_API, PROFILE, Accepted),
    (UPDATED, 200, JSON_API, PROFILE, Accepted),
    (CREATED, 201, JSON_API, PROFILE, Accepted),
    (JOB_STARTED, 202, JSON_API, b'{"data":{"type":"profile-bulk-import-job","id":"j1"}}', Accepted),
]

NO_ACCEPTANCE: list[Case] = [
    # Another status than the documented one.
    (ACCEPTED_EMPTY, 200, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 201, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 203, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 204, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 206, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 200, JSON_API, b'{"data":{}}', Unreadable),
    (ACCEPTED_EMPTY, 299, JSON_API, b'{"data":{}}', Unreadable),
    (READ, 202, JSON_API, LISTED, Unreadable),
    (READ, 204, None, b"", Unreadable),
    (READ, 206, JSON_API, LISTED, Unreadable),
    (WRITTEN, 202, JSON_API, PROFILE, Unreadable),
    (WRITTEN, 204, None, b"", Unreadable),
    (UPDATED, 201, JSON_API, PROFILE, Unreadable),
    (CREATED, 200, JSON_API, PROFILE, Unreadable),
    (JOB_STARTED, 200, JSON_API, PROFILE, Unreadable),
    # Errors inside.
    (ACCEPTED_EMPTY, 200, JSON_API, CONTENT, Unreadable),
    (ACCEPTED_EMPTY, 202, JSON_API, CONTENT, Unreadable),
    (ACCEPTED_EMPTY, 202, JSON_API, error_document({}, data={}), Unreadable),
    (READ, 200, JSON_API, error_document({}, data=[]), Unreadable),
    (WRITTEN, 200, JSON_API, error_document({}), Unreadable),
    (READ, 200, JSON_API, b'{"data":[],"errors":"no"}', Unreadable),
    # A page of somebody else's.
    (ACCEPTED_EMPTY, 200, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 202, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 202, JSON_API, b"\n" + PAGE, Unreadable),
    (ACCEPTED_EMPTY, 202, None, b"\xef\xbb\xbf" + PAGE, Unreadable),
    (ACCEPTED_EMPTY, 202, HTML, b"Sign in to the guest network", Unreadable),
    (ACCEPTED_EMPTY, 202, "text/plain", b"OK", Unreadable),
    (ACCEPTED_EMPTY, 202, "text/plain", b'{"data":{}}', Unreadable),
    (READ, 200, HTML, PAGE, Unreadable),
    (READ, 200, HTML, LISTED, Unreadable),
    (READ, 200, "text/plain", LISTED, Unreadable),
    (READ, 200, "application/octet-stream", LISTED, Unreadable),
    # Nothing, half, or no JSON where a document was expected.
    (READ, 200, JSON_API, b"", Unreadable),
    (READ, 200, JSON_API, b"  ", Unreadable),
    (WRITTEN, 200, JSON_API, b"", Unreadable),
    (JOB_STARTED, 202, JSON_API, b"", Unreadable),
    (READ, 200, JSON_API, b'{"data":[{"id":"1"},', Unreadable),
    (READ, 200, JSON_API, LISTED[:-1], Unreadable),
    (READ, 200, JSON_API, LISTED + LISTED, Unreadable),
    (READ, 200, JSON_API, b"null", Unreadable),
    (READ, 200, JSON_API, b"[]", Unreadable),
    (READ, 200, JSON_API, b"{}", Unreadable),
    (READ, 200, JSON_API, b'"data"', Unreadable),
    (READ, 200, JSON_API, b'{"data":[NaN]}', Unreadable),
    (READ, 200, JSON_API, b'{"data":"\xe9"}', Unreadable),
    (READ, 200, JSON_API, b'{"data":"\xed\xa0\xbd"}', Unreadable),
    (READ, 200, JSON_API, LISTED.decode().encode("utf-16"), Unreadable),
    (READ, 200, JSON_API, b'{"data":' + b"[" * 9000 + b"]" * 9000 + b"}", Unreadable),
    (ACCEPTED_EMPTY, 202, JSON_API, b"{}", Unreadable),
    (ACCEPTED_EMPTY, 202, JSON_API, b'{"ok":true}', Unreadable),
    (ACCEPTED_EMPTY, 202, JSON_API, b"\x1f\x8b\x08\x00", Unreadable),
    # A redirect, and what is no answer at all.
    (ACCEPTED_EMPTY, 101, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 301, HTML, PAGE, Unreachable),
    (ACCEPTED_EMPTY, 302, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 304, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 307, None, b"", Unreachable),
    (READ, 308, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 408, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 425, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 500, HTML, PAGE, Unreachable),
    (ACCEPTED_EMPTY, 500, JSON_API, CONTENT, Unreachable),
    (ACCEPTED_EMPTY, 502, HTML, PAGE, Unreachable),
    (ACCEPTED_EMPTY, 503, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 504, None, b"", Unreachable),
    (ACCEPTED_EMPTY, 520, HTML, PAGE, Unreachable),
    (ACCEPTED_EMPTY, 524, HTML, PAGE, Unreachable),
    (READ, 500, JSON_API, UNSPECIFIC, Unreachable),
    (ACCEPTED_EMPTY, 999, None, b"", Unreachable),
]

REFUSALS: list[Case] = [
    # Klaviyo blames what was sent.
    (ACCEPTED_EMPTY, 400, JSON_API, CONTENT, Refused),
    (ACCEPTED_EMPTY, 400, "application/json", CONTENT, Refused),
    (ACCEPTED_EMPTY, 400, None, CONTENT, Refused),
    (ACCEPTED_EMPTY, 400, JSON_API, b"\xef\xbb\xbf" + CONTENT, Refused),
    (
        ACCEPTED_EMPTY,
        400,
        JSON_API,
        error_at(pointer="/data/attributes/events-bulk-create/data/3/attributes/email"),
        Refused,
    ),
    (ACCEPTED_EMPTY, 400, JSON_API, error_at(pointer="/data/type"), Refused),
    (ACCEPTED_EMPTY, 400, JSON_API, error_at(pointer="/data"), Refused),
    (ACCEPTED_EMPTY, 400, JSON_API, DEFAULT, Refused),
    (ACCEPTED_EMPTY, 400, JSON_API, error_document({}, {"source": AT_EMAIL}), Refused),
    (ACCEPTED_EMPTY, 413, JSON_API, CONTENT, Refused),
    (ACCEPTED_EMPTY, 422, JSON_API, CONTENT, Refused),
    (WRITTEN, 400, JSON_API, error_at(pointer="/data/attributes/phone_number"), Refused),
    (WRITTEN, 409, JSON_API, error_document({"code": "duplicate_profile"}), Refused),
    (UPDATED, 409, JSON_API, error_at(pointer="/data/attributes"), Refused),
    (CREATED, 400, JSON_API, error_at(pointer="/data/id"), Refused),
    # A query is all that a read sends.
    (READ, 400, JSON_API, error_at(parameter="filter"), Refused),
    (READ, 400, JSON_API, error_at(parameter="page[size]"), LockedOut),
    (READ, 400, JSON_API, error_at(parameter="include"), LockedOut),
    (READ, 400, JSON_API, UNSPECIFIC, Refused),
    (READ, 400, JSON_API, DEFAULT, Refused),
    # Words of Klaviyo's that no reader could make out were once reason enough to blame the event.
    (ACCEPTED_EMPTY, 400, JSON_API, CONTENT.replace(b"No.", rb"Not \ud83d"), Refused),
    (ACCEPTED_EMPTY, 400, JSON_API, CONTENT.replace(b"No.", rb"Not \u0000"), Refused),
    (ACCEPTED_EMPTY, 400, JSON_API, CONTENT.replace(b"No.", b"Not caf\xe9"), Refused),
]

SYSTEMIC: list[Case] = [
    # Klaviyo blames how we ask, or refuses every request alike.
    (ACCEPTED_EMPTY, 400, JSON_API, HEADER, LockedOut),
    (ACCEPTED_EMPTY, 400, JSON_API, PARAMETER, LockedOut),
    (
        ACCEPTED_EMPTY,
        400,
        JSON_API,
        error_document({"source": AT_EMAIL}, {"source": {"header": "revision"}}),
        LockedOut,
    ),
    (READ, 400, JSON_API, HEADER, LockedOut),
    (WRITTEN, 422, JSON_API, HEADER, LockedOut),
    (ACCEPTED_EMPTY, 401, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 401, None, b"", LockedOut),
    (ACCEPTED_EMPTY, 402, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 403, JSON_API, DEFAULT, LockedOut),
    (ACCEPTED_EMPTY, 404, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 405, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 406, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 410, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 410, None, b"", LockedOut),
    (ACCEPTED_EMPTY, 410, HTML, PAGE, LockedOut),
    (ACCEPTED_EMPTY, 414, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 415, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 415, JSON_API, CONTENT, LockedOut),
    (ACCEPTED_EMPTY, 431, JSON_API, UNSPECIFIC, LockedOut),
    (ACCEPTED_EMPTY, 451, JSON_API, UNSPECIFIC, LockedOut),
    (READ, 404, JSON_API, UNSPECIFIC, LockedOut),
    # It blames nobody in particular.
    (ACCEPTED_EMPTY, 400, JSON_API, UNSPECIFIC, Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, error_at(pointer=""), Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, error_at(pointer="/database"), Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, error_at(pointer="/meta/data/x"), Unreadable),
    (ACCEPTED_EMPTY, 413, JSON_API, UNSPECIFIC, Unreadable),
    (ACCEPTED_EMPTY, 422, JSON_API, error_document({"source": "email"}), Unreadable),
    # Whoever wrote this is not Klaviyo.
    (ACCEPTED_EMPTY, 400, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 400, HTML, CONTENT, Unreadable),
    (ACCEPTED_EMPTY, 400, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 400, "text/plain", b"upstream error", Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, b'{"message":"Bad Request"}', Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, b'{"errors":[]}', Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, b'{"errors":null}', Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, b'{"errors":["x",1]}', Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, CONTENT[:-9], Unreadable),
    (ACCEPTED_EMPTY, 400, JSON_API, b"\xff", Unreadable),
    (READ, 400, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 401, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 403, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 403, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 404, HTML, PAGE, Unreadable),
    (UPDATED, 404, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 405, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 406, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 407, HTML, PAGE, Unreadable),
    (WRITTEN, 409, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 413, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 413, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 414, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 415, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 418, None, b"", Unreadable),
    (ACCEPTED_EMPTY, 422, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 431, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 451, HTML, PAGE, Unreadable),
    (ACCEPTED_EMPTY, 495, HTML, PAGE, Unreadable),
    # A limit is a limit, whoever puts it into words.
    (ACCEPTED_EMPTY, 429, HTML, PAGE, Throttled),
    (ACCEPTED_EMPTY, 429, JSON_API, UNSPECIFIC, Throttled),
    (READ, 429, None, b"", Throttled),
]

CASES = ACCEPTED + NO_ACCEPTANCE + REFUSALS + SYSTEMIC


def classified(documented: ExpectedResponse, status: int, content_type: str | None, body: bytes) -> Outcome:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return classify(status, CIMultiDict(headers), body, documented)


def case_name(value: Any) -> str:
    if isinstance(value, ExpectedResponse):
        return next(key for key, one in vars(klaviyo_responses).items() if one is value)
    return value.decode("latin-1")[:60] if isinstance(value, bytes) else str(getattr(value, "__name__", value))


@pytest.mark.parametrize(("documented", "status", "content_type", "body", "expected"), CASES, ids=case_name)
def test_each_response_is_classified(
    documented: ExpectedResponse, status: int, content_type: str | None, body: bytes, expected: type
) -> None:
    outcome = classified(documented, status, content_type, body)
    assert type(outcome) is expected
    assert outcome.status == status


def test_an_error_text_with_a_broken_emoji_keeps_the_rest() -> None:
    body = error_document({"detail": "'Ada ?' is no case_name", "source": AT_EMAIL}).replace(b"?", rb"\ud83d")
    at = AT_EMAIL["pointer"]
    assert classified(ACCEPTED_EMPTY, 400, JSON_API, body) == Refused(
        400, "'Ada \ufffd' is no case_name", pointer=at, pointers=(at,)
    )


@pytest.mark.parametrize(
    ("sent", "kept"), [(rb"\ud83d\ude00", "\U0001f600"), (rb"\\u0000", r"\u0000"), (rb"\\\u0000", "\\\ufffd")]
)
def test_complete_characters_and_escaped_escapes_are_unchanged(sent: bytes, kept: str) -> None:
    outcome = classified(READ, 200, JSON_API, b'{"data":"' + sent + rb'","half":"\ud83d"}')
    assert isinstance(outcome, Accepted)
    assert msgspec.json.decode(outcome.body) == {"data": kept, "half": "\ufffd"}


def test_vendor_texts_can_be_stored() -> None:
    error = {"id": "r\0\ud83d", "detail": "d\0\ud83d" * 900, "source": {"pointer": "/data/\0\ud83d"}}
    outcome = classified(ACCEPTED_EMPTY, 400, JSON_API, json.dumps({"errors": [error]}).encode())
    assert isinstance(outcome, Refused)
    for text in (outcome.detail, outcome.request_id or "", outcome.pointer or ""):
        assert "\0" not in text
        assert text.encode().decode() == text
        assert 0 < len(text) <= MAX_LENGTH


BODIES = st.one_of(
    st.binary(max_size=80),
    st.sampled_from([case[3] for case in CASES]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["data", "errors", "source", "pointer", "detail", "meta", "id"]), inner)
        ),
        max_leaves=8,
    ).map(msgspec.json.encode),
)
HEADERS = st.dictionaries(
    st.sampled_from(["Content-Type", "Retry-After", "Date", "X-Klaviyo-Req-Id", "X-Klaviyo-Partial-Failure"]),
    st.text(st.characters(), max_size=30) | st.sampled_from([JSON_API, HTML, "0", "-1", "nan", "inf", "1e999"]),
)


@given(
    st.sampled_from([ACCEPTED_EMPTY, READ, WRITTEN, UPDATED, CREATED, JOB_STARTED]),
    st.integers(0, 999),
    HEADERS,
    BODIES,
)
@example(READ, 200, {}, base64.b64decode("eyJkYXRhIjoi7aC9In0="))
def test_no_response_raises_and_only_the_documented_form_is_accepted(
    documented: ExpectedResponse, status: int, headers: dict[str, str], body: bytes
) -> None:
    outcome = classify(status, CIMultiDict(headers), body, documented)
    assert outcome.status == status
    if isinstance(outcome, Accepted):
        assert status in documented.statuses
        assert outcome.body or not documented.has_document
        document = msgspec.json.decode(outcome.body or b'{"data":null}')
        assert "data" in document
        assert not document.get("errors")
    if isinstance(outcome, Throttled | Unreachable) and outcome.retry_after is not None:
        assert 0 <= outcome.retry_after < float("inf")
