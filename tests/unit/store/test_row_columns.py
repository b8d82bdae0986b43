"""The columns of a dataclass in a statement that handles many rows at once."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from kustomer_klaviyo.store.row_columns import RowColumns


class Color(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Row:
    name: str
    color: Color | None
    weight: float
    tags: tuple[str, ...] = ()
    document: dict[str, Any] | None = None
    at: datetime | None = None


@dataclass(frozen=True)
class RowWithBytes:
    name: str
    body: bytes | None


COLUMNS = RowColumns(Row)


def _sent(*rows: Row) -> Any:
    params = COLUMNS.params(rows)
    assert params["row_count"] == len(rows)
    return json.loads(params["rows"].dumps(params["rows"].obj))


def test_rows_are_one_parameter() -> None:
    assert COLUMNS.sql("INSERT INTO t ({columns}) SELECT {values} FROM {rows}") == (
        "INSERT INTO t (name, color, weight, tags, document, at) "
        "SELECT new.name, new.color, new.weight, new.tags, new.document, new.at "
        "FROM (SELECT * FROM jsonb_to_recordset(%(rows)s) AS listed (name text, color text, weight float8, "
        "tags text[], document jsonb, at timestamptz) LIMIT %(row_count)s) AS new"
    )


def test_each_row_is_one_object() -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    assert _sent(Row("a", Color.RED, 1, ("x",), {"y": 1}, at), Row("b", None, 2.5)) == [
        {"name": "a", "color": "red", "weight": 1, "tags": ["x"], "document": {"y": 1}, "at": "2026-01-02T00:00:00Z"},
        {"name": "b", "color": None, "weight": 2.5, "tags": [], "document": None, "at": None},
    ]


def test_text_that_postgresql_cannot_store_is_replaced() -> None:
    [row] = _sent(Row("a\x00", None, float("nan"), ("\ud800",), {"\x00": "\udfff"}))
    assert (row["name"], row["weight"], row["tags"], row["document"]) == (
        "a\ufffd",
        None,
        ["\ufffd"],
        {"\ufffd": "\ufffd"},
    )


def test_rows_with_bytes_are_one_binary_array_per_field() -> None:
    columns = RowColumns(RowWithBytes)
    assert columns.sql("{rows}") == "unnest(%(name)b::text[], %(body)b::bytea[]) AS new (name, body)"
    assert columns.params([RowWithBytes("a", b"x"), RowWithBytes("b", None)]) == {
        "name": ["a", "b"],
        "body": [b"x", None],
    }
