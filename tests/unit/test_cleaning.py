"""Text from outside is made safe to store, log and show."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from kustomer_klaviyo.cleaning import MAX_LENGTH, clean, clean_lines
from kustomer_klaviyo.klaviyo.klaviyo_responses import classify
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Refused, Throttled, Unreachable
from kustomer_klaviyo.store.adapters import dump_json

NUL, HALF = "\x00", "\ud83d"
ANY_TEXT = st.text(alphabet=st.characters(categories=None), max_size=30)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing odd", "nothing odd"),
        ("a\x00b", "a b"),
        ("half \ud83d", "half \ufffd"),
        ("two\nlines\tand\x1b[31mred\x9b", "two lines and [31mred"),
        ("whole \U0001f600", "whole \U0001f600"),
        ("x" * 2000, "x" * (MAX_LENGTH - 3) + "..."),
    ],
)
def test_a_text_becomes_one_line_of_limited_length(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(ANY_TEXT)
def test_a_clean_text_is_printable_and_cleaning_it_again_changes_nothing(text: str) -> None:
    cleaned = clean(text, 10)
    assert len(cleaned) <= 10
    assert clean(cleaned, 10) == cleaned
    assert not {
        character for character in cleaned.encode().decode() if ord(character) < 32 or 127 <= ord(character) < 160
    }


def test_the_last_lines_are_kept() -> None:
    assert clean_lines("first\nse\x00cond\nlast", 12) == "...cond\nlast"


def test_every_outcome_has_clean_text() -> None:
    dirty, cleaned = f"a{NUL}b{HALF}", "a b\ufffd"
    assert Refused(400, dirty, dirty, dirty, dirty) == Refused(400, cleaned, cleaned, cleaned, cleaned)
    assert [Throttled(None, dirty).detail, Unreachable(dirty).detail, LockedOut(401, dirty).detail] == [cleaned] * 3
    assert Accepted(202, dirty, note=dirty) == Accepted(202, cleaned, note=cleaned)
    assert Accepted(202, body=NUL.encode()).body == NUL.encode()


def test_klaviyos_error_messages_are_cleaned() -> None:
    body = rb'{"errors":[{"detail":"no \u0000 good","source":{"pointer":"/data/\u0000"}}]}'
    assert classify(400, CIMultiDict(), body) == Refused(
        400, "no \ufffd good", None, "/data/\ufffd", pointers=("/data/\ufffd",)
    )


def test_clean_json_is_unchanged() -> None:
    document = {"comment": "two\nlines \U0001f600", "n": [1, 2.5, None, True]}
    assert json.loads(dump_json(document)) == document
