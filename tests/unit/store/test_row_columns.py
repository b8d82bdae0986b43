"""The columns of a dataclass in a statement that handles many rows at once."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

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


COLUMNS = RowColumns(Row)


def test_each_field_is_one_array_parameter() -> None:
    assert COLUMNS.sql("INSERT INTO t ({columns}) SELECT {values} FROM {rows}") == (
        "INSERT INTO t (name, color, weight, tags, document, at) "
        "SELECT new.name, new.color, new.weight, ARRAY(SELECT jsonb_array_elements_text(new.tags)), new.document, "
        "new.at FROM unnest(%(name)s::text[], %(color)s::text[], %(weight)s::float8[], %(tags)s::jsonb[], "
        "%(document)s::jsonb[], %(at)s::timestamptz[]) AS new (name, color, weight, tags, document, at)"
    )


def test_parameters_can_be_sent_in_binary() -> None:
    assert RowColumns(Row, is_binary=True).sql("{rows}").startswith("unnest(%(name)b::text[], %(color)b::text[]")


def test_the_values_of_an_array_are_of_one_type() -> None:
    now = datetime.now(UTC)
    params = COLUMNS.params([Row("a", Color.RED, 1, ("x",), {"y": 1}, now), Row("b", None, 2.5)])
    assert [type(weight) for weight in params["weight"]] == [float, float]
    assert [type(color) for color in params["color"]] == [str, type(None)]
    assert params["name"] == ["a", "b"]
    assert params["at"] == [now, None]
    assert [json.obj for json in params["tags"] if isinstance(json, Jsonb)] == [("x",), ()]
    assert [json and json.obj for json in params["document"]] == [{"y": 1}, None]
