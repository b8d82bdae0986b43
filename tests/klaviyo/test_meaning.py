"""What each answer of Klaviyo's means: status, content type and body, one example a line."""

import base64
import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kustomer_klaviyo.cleaning import LONGEST
from kustomer_klaviyo.klaviyo import answers
from kustomer_klaviyo.klaviyo.answers import BEGUN, CREATED, READ, TAKEN, UPDATED, WRITTEN, Documented, classify
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable

JSON_API = "application/vnd.api+json"
HTML = "text/html; charset=utf-8"
PAGE = b"<!DOCTYPE html><html><body>nginx</body></html>"
PROFILE = b'{"data":{"type":"profile","id":"01H","attributes":{"email":"ada@lanternpost.example"}}}'
LISTED = b'{"data":[],"links":{"next":null}}'
AT_EMAIL = {"pointer": "/data/attributes/profile/data/attributes/email"}
HALF_EMOJI = rb'{"data":{"type":"profile","id":"01H","attributes":{"first_name":"Ada \ud83d"}}}'


def errors(*found: dict[str, Any], **more: Any) -> bytes:
    """Write Klaviyo's error document."""
    return msgspec.json.encode({"errors": [{"code": "invalid", "detail": "No."} | one for one in found]} | more)


def blaming(**source: str) -> bytes:
    return errors({"source": source})


CONTENT = blaming(**AT_EMAIL)
HEADER = blaming(header="revision")
PARAMETER = blaming(parameter="filter")
NOBODY = errors({})
DEFAULT = blaming(pointer="/data/")

Case = tuple[Documented, int, str | None, bytes, type]

ACCEPTED: list[Case] = [
    (TAKEN, 202, None, b"", Accepted),
    (TAKEN, 202, "text/plain", b"", Accepted),
    (TAKEN, 202, None, b" \r\n", Accepted),
    (TAKEN, 202, JSON_API, b'{"data":{"type":"event-bulk-create-job","id":"1"}}', Accepted),
    (TAKEN, 202, JSON_API, b'{"data":null,"errors":[]}', Accepted),
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
    (BEGUN, 202, JSON_API, b'{"data":{"type":"profile-bulk-import-job","id":"j1"}}', Accepted),
]

NO_ACCEPTANCE: list[Case] = [
    # Another status than the documented one.
    (TAKEN, 200, None, b"", Unreadable),
    (TAKEN, 201, None, b"", Unreadable),
    (TAKEN, 203, None, b"", Unreadable),
    (TAKEN, 204, None, b"", Unreadable),
    (TAKEN, 206, None, b"", Unreadable),
    (TAKEN, 200, JSON_API, b'{"data":{}}', Unreadable),
    (TAKEN, 299, JSON_API, b'{"data":{}}', Unreadable),
    (READ, 202, JSON_API, LISTED, Unreadable),
    (READ, 204, None, b"", Unreadable),
    (READ, 206, JSON_API, LISTED, Unreadable),
    (WRITTEN, 202, JSON_API, PROFILE, Unreadable),
    (WRITTEN, 204, None, b"", Unreadable),
    (UPDATED, 201, JSON_API, PROFILE, Unreadable),
    (CREATED, 200, JSON_API, PROFILE, Unreadable),
    (BEGUN, 200, JSON_API, PROFILE, Unreadable),
    # Errors inside.
    (TAKEN, 200, JSON_API, CONTENT, Unreadable),
    (TAKEN, 202, JSON_API, CONTENT, Unreadable),
    (TAKEN, 202, JSON_API, errors({}, data={}), Unreadable),
    (READ, 200, JSON_API, errors({}, data=[]), Unreadable),
    (WRITTEN, 200, JSON_API, errors({}), Unreadable),
    (READ, 200, JSON_API, b'{"data":[],"errors":"no"}', Unreadable),
    # A page of somebody else's.
    (TAKEN, 200, HTML, PAGE, Unreadable),
    (TAKEN, 202, HTML, PAGE, Unreadable),
    (TAKEN, 202, JSON_API, b"\n" + PAGE, Unreadable),
    (TAKEN, 202, None, b"\xef\xbb\xbf" + PAGE, Unreadable),
    (TAKEN, 202, HTML, b"Sign in to the guest network", Unreadable),
    (TAKEN, 202, "text/plain", b"OK", Unreadable),
    (TAKEN, 202, "text/plain", b'{"data":{}}', Unreadable),
    (READ, 200, HTML, PAGE, Unreadable),
    (READ, 200, HTML, LISTED, Unreadable),
    (READ, 200, "text/plain", LISTED, Unreadable),
    (READ, 200, "application/octet-stream", LISTED, Unreadable),
    # Nothing, half, or no JSON where a document was expected.
    (READ, 200, JSON_API, b"", Unreadable),
    (READ, 200, JSON_API, b"  ", Unreadable),
    (WRITTEN, 200, JSON_API, b"", Unreadable),
    (BEGUN, 202, JSON_API, b"", Unreadable),
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
    (TAKEN, 202, JSON_API, b"{}", Unreadable),
    (TAKEN, 202, JSON_API, b'{"ok":true}', Unreadable),
    (TAKEN, 202, JSON_API, b"\x1f\x8b\x08\x00", Unreadable),
    # A redirect, and what is no answer at all.
    (TAKEN, 101, None, b"", Unreachable),
    (TAKEN, 301, HTML, PAGE, Unreachable),
    (TAKEN, 302, None, b"", Unreachable),
    (TAKEN, 304, None, b"", Unreachable),
    (TAKEN, 307, None, b"", Unreachable),
    (READ, 308, None, b"", Unreachable),
    (TAKEN, 408, None, b"", Unreachable),
    (TAKEN, 425, None, b"", Unreachable),
    (TAKEN, 500, HTML, PAGE, Unreachable),
    (TAKEN, 500, JSON_API, CONTENT, Unreachable),
    (TAKEN, 502, HTML, PAGE, Unreachable),
    (TAKEN, 503, None, b"", Unreachable),
    (TAKEN, 504, None, b"", Unreachable),
    (TAKEN, 520, HTML, PAGE, Unreachable),
    (TAKEN, 524, HTML, PAGE, Unreachable),
    (READ, 500, JSON_API, NOBODY, Unreachable),
    (TAKEN, 999, None, b"", Unreachable),
]

REFUSALS: list[Case] = [
    # Klaviyo blames what was sent.
    (TAKEN, 400, JSON_API, CONTENT, Refused),
    (TAKEN, 400, "application/json", CONTENT, Refused),
    (TAKEN, 400, None, CONTENT, Refused),
    (TAKEN, 400, JSON_API, b"\xef\xbb\xbf" + CONTENT, Refused),
    (TAKEN, 400, JSON_API, blaming(pointer="/data/attributes/events-bulk-create/data/3/attributes/email"), Refused),
    (TAKEN, 400, JSON_API, blaming(pointer="/data/type"), Refused),
    (TAKEN, 400, JSON_API, blaming(pointer="/data"), Refused),
    (TAKEN, 400, JSON_API, DEFAULT, Refused),
    (TAKEN, 400, JSON_API, errors({}, {"source": AT_EMAIL}), Refused),
    (TAKEN, 413, JSON_API, CONTENT, Refused),
    (TAKEN, 422, JSON_API, CONTENT, Refused),
    (WRITTEN, 400, JSON_API, blaming(pointer="/data/attributes/phone_number"), Refused),
    (WRITTEN, 409, JSON_API, errors({"code": "duplicate_profile"}), Refused),
    (UPDATED, 409, JSON_API, blaming(pointer="/data/attributes"), Refused),
    (CREATED, 400, JSON_API, blaming(pointer="/data/id"), Refused),
    # A query is all that a read sends.
    (READ, 400, JSON_API, blaming(parameter="filter"), Refused),
    (READ, 400, JSON_API, blaming(parameter="page[size]"), LockedOut),
    (READ, 400, JSON_API, blaming(parameter="include"), LockedOut),
    (READ, 400, JSON_API, NOBODY, Refused),
    (READ, 400, JSON_API, DEFAULT, Refused),
    # Words of Klaviyo's that no reader could make out were once reason enough to blame the event.
    (TAKEN, 400, JSON_API, CONTENT.replace(b"No.", rb"Not \ud83d"), Refused),
    (TAKEN, 400, JSON_API, CONTENT.replace(b"No.", rb"Not \u0000"), Refused),
    (TAKEN, 400, JSON_API, CONTENT.replace(b"No.", b"Not caf\xe9"), Refused),
]

SYSTEMIC: list[Case] = [
    # Klaviyo blames how we ask, or refuses every request alike.
    (TAKEN, 400, JSON_API, HEADER, LockedOut),
    (TAKEN, 400, JSON_API, PARAMETER, LockedOut),
    (TAKEN, 400, JSON_API, errors({"source": AT_EMAIL}, {"source": {"header": "revision"}}), LockedOut),
    (READ, 400, JSON_API, HEADER, LockedOut),
    (WRITTEN, 422, JSON_API, HEADER, LockedOut),
    (TAKEN, 401, JSON_API, NOBODY, LockedOut),
    (TAKEN, 401, None, b"", LockedOut),
    (TAKEN, 402, JSON_API, NOBODY, LockedOut),
    (TAKEN, 403, JSON_API, DEFAULT, LockedOut),
    (TAKEN, 404, JSON_API, NOBODY, LockedOut),
    (TAKEN, 405, JSON_API, NOBODY, LockedOut),
    (TAKEN, 406, JSON_API, NOBODY, LockedOut),
    (TAKEN, 410, JSON_API, NOBODY, LockedOut),
    (TAKEN, 410, None, b"", LockedOut),
    (TAKEN, 410, HTML, PAGE, LockedOut),
    (TAKEN, 414, JSON_API, NOBODY, LockedOut),
    (TAKEN, 415, JSON_API, NOBODY, LockedOut),
    (TAKEN, 415, JSON_API, CONTENT, LockedOut),
    (TAKEN, 431, JSON_API, NOBODY, LockedOut),
    (TAKEN, 451, JSON_API, NOBODY, LockedOut),
    (READ, 404, JSON_API, NOBODY, LockedOut),
    # It blames nobody in particular.
    (TAKEN, 400, JSON_API, NOBODY, Unreadable),
    (TAKEN, 400, JSON_API, blaming(pointer=""), Unreadable),
    (TAKEN, 400, JSON_API, blaming(pointer="/database"), Unreadable),
    (TAKEN, 400, JSON_API, blaming(pointer="/meta/data/x"), Unreadable),
    (TAKEN, 413, JSON_API, NOBODY, Unreadable),
    (TAKEN, 422, JSON_API, errors({"source": "email"}), Unreadable),
    # Whoever wrote this is not Klaviyo.
    (TAKEN, 400, HTML, PAGE, Unreadable),
    (TAKEN, 400, JSON_API, PAGE, Unreadable),
    (TAKEN, 400, HTML, CONTENT, Unreadable),
    (TAKEN, 400, None, b"", Unreadable),
    (TAKEN, 400, "text/plain", b"upstream error", Unreadable),
    (TAKEN, 400, JSON_API, b'{"message":"Bad Request"}', Unreadable),
    (TAKEN, 400, JSON_API, b'{"errors":[]}', Unreadable),
    (TAKEN, 400, JSON_API, b'{"errors":null}', Unreadable),
    (TAKEN, 400, JSON_API, b'{"errors":["x",1]}', Unreadable),
    (TAKEN, 400, JSON_API, CONTENT[:-9], Unreadable),
    (TAKEN, 400, JSON_API, b"\xff", Unreadable),
    (READ, 400, HTML, PAGE, Unreadable),
    (TAKEN, 401, HTML, PAGE, Unreadable),
    (TAKEN, 403, HTML, PAGE, Unreadable),
    (TAKEN, 403, None, b"", Unreadable),
    (TAKEN, 404, HTML, PAGE, Unreadable),
    (UPDATED, 404, HTML, PAGE, Unreadable),
    (TAKEN, 405, HTML, PAGE, Unreadable),
    (TAKEN, 406, None, b"", Unreadable),
    (TAKEN, 407, HTML, PAGE, Unreadable),
    (WRITTEN, 409, HTML, PAGE, Unreadable),
    (TAKEN, 413, HTML, PAGE, Unreadable),
    (TAKEN, 413, None, b"", Unreadable),
    (TAKEN, 414, HTML, PAGE, Unreadable),
    (TAKEN, 415, None, b"", Unreadable),
    (TAKEN, 418, None, b"", Unreadable),
    (TAKEN, 422, HTML, PAGE, Unreadable),
    (TAKEN, 431, HTML, PAGE, Unreadable),
    (TAKEN, 451, HTML, PAGE, Unreadable),
    (TAKEN, 495, HTML, PAGE, Unreadable),
    # A limit is a limit, whoever puts it into words.
    (TAKEN, 429, HTML, PAGE, Throttled),
    (TAKEN, 429, JSON_API, NOBODY, Throttled),
    (READ, 429, None, b"", Throttled),
]

CASES = ACCEPTED + NO_ACCEPTANCE + REFUSALS + SYSTEMIC


def meaning(documented: Documented, status: int, content_type: str | None, body: bytes) -> Outcome:
    headers = {} if content_type is None else {"Content-Type": content_type}
    return classify(status, CIMultiDict(headers), body, documented)


def name(value: Any) -> str:
    if isinstance(value, Documented):
        return next(key for key, one in vars(answers).items() if one is value)
    return value.decode("latin-1")[:60] if isinstance(value, bytes) else str(getattr(value, "__name__", value))


@pytest.mark.parametrize(("documented", "status", "content_type", "body", "expected"), CASES, ids=name)
def test_meaning(documented: Documented, status: int, content_type: str | None, body: bytes, expected: type) -> None:
    outcome = meaning(documented, status, content_type, body)
    assert type(outcome) is expected
    assert outcome.status == status


def test_an_error_text_with_half_an_emoji_keeps_the_rest_of_its_words() -> None:
    body = errors({"detail": "'Ada ?' is no name", "source": AT_EMAIL}).replace(b"?", rb"\ud83d")
    at = AT_EMAIL["pointer"]
    assert meaning(TAKEN, 400, JSON_API, body) == Refused(400, "'Ada \ufffd' is no name", pointer=at, pointers=(at,))


@pytest.mark.parametrize(
    ("said", "kept"), [(rb"\ud83d\ude00", "\U0001f600"), (rb"\\u0000", r"\u0000"), (rb"\\\u0000", "\\\ufffd")]
)
def test_whole_characters_and_escaped_escapes_are_left_as_they_are(said: bytes, kept: str) -> None:
    outcome = meaning(READ, 200, JSON_API, b'{"data":"' + said + rb'","half":"\ud83d"}')
    assert isinstance(outcome, Accepted)
    assert msgspec.json.decode(outcome.body) == {"data": kept, "half": "\ufffd"}


def test_what_is_kept_of_foreign_words_can_be_stored() -> None:
    error = {"id": "r\0\ud83d", "detail": "d\0\ud83d" * 900, "source": {"pointer": "/data/\0\ud83d"}}
    outcome = meaning(TAKEN, 400, JSON_API, json.dumps({"errors": [error]}).encode())
    assert isinstance(outcome, Refused)
    for text in (outcome.detail, outcome.request_id or "", outcome.pointer or ""):
        assert "\0" not in text
        assert text.encode().decode() == text
        assert 0 < len(text) <= LONGEST


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


@given(st.sampled_from([TAKEN, READ, WRITTEN, UPDATED, CREATED, BEGUN]), st.integers(0, 999), HEADERS, BODIES)
@example(READ, 200, {}, base64.b64decode("eyJkYXRhIjoi7aC9In0="))
def test_no_answer_raises_and_nothing_but_the_documented_form_is_accepted(
    documented: Documented, status: int, headers: dict[str, str], body: bytes
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
