"""Foreign words are made fit to be stored, logged and shown."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from psycopg import errors

from kustomer_klaviyo.cleaning import LONGEST, clean, clean_lines, storable
from kustomer_klaviyo.klaviyo.answers import classify
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Refused, Throttled, Unreachable
from kustomer_klaviyo.store.adapters import dump_json
from kustomer_klaviyo.store.database import UNREACHABLE, Database, told_apart

NUL, HALF = "\x00", "\ud83d"
ANY_TEXT = st.text(alphabet=st.characters(categories=None), max_size=30)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | ANY_TEXT,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(ANY_TEXT, below, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing odd", "nothing odd"),
        ("a\x00b", "a b"),
        ("half \ud83d", "half \ufffd"),
        ("two\nlines\tand\x1b[31mred\x9b", "two lines and [31mred"),
        ("whole \U0001f600", "whole \U0001f600"),
        ("x" * 2000, "x" * (LONGEST - 3) + "..."),
    ],
)
def test_a_text_becomes_one_bounded_line(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(ANY_TEXT)
def test_a_clean_text_is_printable_as_far_as_it_goes_and_stays_as_it_is(text: str) -> None:
    tidy = clean(text, 10)
    assert len(tidy) <= 10
    assert clean(tidy, 10) == tidy
    assert not {character for character in tidy.encode().decode() if ord(character) < 32 or 127 <= ord(character) < 160}


def test_of_lines_the_last_are_kept() -> None:
    assert clean_lines("first\nse\x00cond\nlast", 12) == "...cond\nlast"


def test_every_outcome_holds_clean_words_only() -> None:
    dirty, tidy = f"a{NUL}b{HALF}", "a b\ufffd"
    assert Refused(400, dirty, dirty, dirty, dirty) == Refused(400, tidy, tidy, tidy, tidy)
    assert [Throttled(None, dirty).detail, Unreachable(dirty).detail, LockedOut(401, dirty).detail] == [tidy] * 3
    assert Accepted(202, dirty, note=dirty) == Accepted(202, tidy, note=tidy)
    assert Accepted(202, body=NUL.encode()).body == NUL.encode()


def test_klaviyos_words_of_a_refusal_are_clean() -> None:
    body = rb'{"errors":[{"detail":"no \u0000 good","source":{"pointer":"/data/\u0000"}}]}'
    assert classify(400, CIMultiDict(), body) == Refused(
        400, "no \ufffd good", None, "/data/\ufffd", pointers=("/data/\ufffd",)
    )


@given(ANY_JSON)
async def test_whatever_the_json_it_can_be_written(shared_database: Database, value: Any) -> None:
    rows = await shared_database.fetch("SELECT %s::jsonb AS value", (dump_json(value).decode(),))
    assert msgspec.json.encode(rows[0]["value"])


@given(ANY_TEXT)
async def test_whatever_the_text_it_can_be_written_alone_and_in_lists(shared_database: Database, text: str) -> None:
    rows = await shared_database.fetch("SELECT %s AS one, %s::text[] AS many, %b AS raw", (text, [text], text))
    assert [rows[0]["one"], rows[0]["many"], rows[0]["raw"]] == [storable(text), [storable(text)], storable(text)]


def test_json_that_is_fine_stays_as_it_is() -> None:
    document = {"comment": "two\nlines \U0001f600", "n": [1, 2.5, None, True]}
    assert json.loads(dump_json(document)) == document


@pytest.mark.parametrize(
    ("error", "is_away"),
    [
        (errors.ConnectionFailure(), True),
        (errors.DiskFull(), True),
        (errors.TooManyConnections(), True),
        (errors.AdminShutdown(), True),
        (errors.DeadlockDetected(), True),
        (errors.InsufficientPrivilege(), True),
        (errors.UndefinedTable(), True),
        (errors.ReadOnlySqlTransaction(), True),
        (errors.ProgramLimitExceeded(), False),
        (errors.CheckViolation(), False),
        (errors.NumericValueOutOfRange(), False),
        (errors.RaiseException(), False),
        (errors.StatementTooComplex(), False),
    ],
)
def test_an_items_fault_is_told_from_a_database_that_takes_nothing(error: Any, *, is_away: bool) -> None:
    assert isinstance(told_apart(error), UNREACHABLE) is is_away


def test_what_the_system_refuses_is_no_database_that_is_away() -> None:
    assert not issubclass(OSError, UNREACHABLE)
