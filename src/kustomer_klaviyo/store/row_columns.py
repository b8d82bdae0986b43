"""Many rows of a dataclass as the parameters of one SQL statement."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from enum import StrEnum
from types import NoneType
from typing import Any, LiteralString, get_args, get_origin, get_type_hints

from psycopg.types.json import Jsonb

SQL_TYPES: Mapping[type, LiteralString] = {
    str: "text",
    int: "integer",
    float: "float8",
    bool: "boolean",
    bytes: "bytea",
    datetime: "timestamptz",
    dict: "jsonb",
    tuple: "jsonb",
}
"""A tuple is sent as JSON, because PostgreSQL has no array of arrays of different lengths, and stored as text[]."""


class RowColumns:
    """The columns of a statement that handles many rows at once: one array parameter per field of a dataclass.

    The text of the statement is the same for any number of rows.
    """

    def __init__(self, row_type: type[Any], *, is_binary: bool = False) -> None:
        hints = get_type_hints(row_type)
        self._types = {field.name: _python_type(hints[field.name]) for field in fields(row_type)}
        self._placeholder = "b" if is_binary else "s"

    def sql(self, text: LiteralString) -> LiteralString:
        """Return a statement with its placeholders replaced.

        ``{columns}`` becomes the list of columns, ``{rows}`` the rows as table ``new``, and ``{values}`` the values of
        a row as they are stored.
        """
        columns = ", ".join(self._types)
        values = ", ".join(_stored_value(name, field_type) for name, field_type in self._types.items())
        arrays = ", ".join(
            f"%({name}){self._placeholder}::{_sql_type(field_type)}[]" for name, field_type in self._types.items()
        )
        rows = f"unnest({arrays}) AS new ({columns})"
        return text.replace("{columns}", columns).replace("{rows}", rows).replace("{values}", values)

    def params(self, rows: Iterable[Any]) -> dict[str, list[Any]]:
        """Return the parameters of the statement."""
        listed = list(rows)
        return {
            name: [_param(getattr(row, name), field_type) for row in listed] for name, field_type in self._types.items()
        }


def _python_type(hint: Any) -> type:
    """Return the type of a field; ``X | None`` is X, ``dict[...]`` is dict."""
    arguments = get_args(hint)
    required = next(argument for argument in arguments if argument is not NoneType) if NoneType in arguments else hint
    field_type: type = get_origin(required) or required
    return field_type


def _sql_type(field_type: type) -> LiteralString:
    return next(
        name
        for known, name in SQL_TYPES.items()
        if field_type is known or (known is str and issubclass(field_type, str))
    )


def _stored_value(name: str, field_type: type) -> str:
    return f"ARRAY(SELECT jsonb_array_elements_text(new.{name}))" if field_type is tuple else f"new.{name}"


def _param(value: Any, field_type: type) -> Any:
    """Return a value as psycopg takes it: all values of one array must be of the same type."""
    if value is None:
        return None
    if field_type in (dict, tuple):
        return Jsonb(value)
    if field_type is float:
        return float(value)
    return str(value) if isinstance(value, StrEnum) else value
