"""Many rows of a dataclass as the parameters of one SQL statement."""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from datetime import datetime
from types import NoneType
from typing import Any, LiteralString, get_args, get_origin, get_type_hints

from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.adapters import dump_rows

SQL_TYPES: Mapping[type, LiteralString] = {
    str: "text",
    int: "integer",
    float: "float8",
    bool: "boolean",
    bytes: "bytea",
    datetime: "timestamptz",
    dict: "jsonb",
    tuple: "text[]",
}

JSON_ROWS: LiteralString = (
    "(SELECT * FROM jsonb_to_recordset(%(rows)s) AS listed ({columns}) LIMIT %(row_count)s) AS new"
)
"""The limit tells the planner how many rows there are; it assumes 100 otherwise."""


class RowColumns:
    """The columns of a statement that handles many rows at once: one field of a dataclass each.

    The text of the statement is the same for any number of rows. The rows are sent as one JSON document, because the
    driver takes microseconds for each value of an array and nanoseconds for each value of JSON. Rows with bytes, which
    JSON cannot hold, are sent as one binary array per column.
    """

    def __init__(self, row_type: type[Any]) -> None:
        hints = get_type_hints(row_type)
        self._types = {field.name: _sql_type(hints[field.name]) for field in fields(row_type)}
        self._is_json = "bytea" not in self._types.values()

    def sql(self, text: LiteralString) -> LiteralString:
        """Return a statement with its placeholders replaced.

        ``{columns}`` becomes the list of columns, ``{rows}`` the rows as table ``new``, and ``{values}`` the values of
        a row.
        """
        columns = ", ".join(self._types)
        values = ", ".join(f"new.{name}" for name in self._types)
        rows = self._json_rows() if self._is_json else self._array_rows(columns)
        return text.replace("{columns}", columns).replace("{rows}", rows).replace("{values}", values)

    def _json_rows(self) -> LiteralString:
        columns = ", ".join(f"{name} {sql_type}" for name, sql_type in self._types.items())
        return JSON_ROWS.replace("{columns}", columns)

    def _array_rows(self, columns: LiteralString) -> LiteralString:
        arrays = ", ".join(f"%({name})b::{sql_type}[]" for name, sql_type in self._types.items())
        return f"unnest({arrays}) AS new ({columns})"

    def params(self, rows: Iterable[Any]) -> dict[str, Any]:
        """Return the parameters of the statement."""
        listed = list(rows)
        if self._is_json:
            return {"rows": Jsonb(listed, dumps=dump_rows), "row_count": len(listed)}
        return {name: [getattr(row, name) for row in listed] for name in self._types}


def _sql_type(hint: Any) -> LiteralString:
    """Return the SQL type of a field; ``X | None`` is stored as X."""
    arguments = get_args(hint)
    required = next(argument for argument in arguments if argument is not NoneType) if NoneType in arguments else hint
    field_type: type = get_origin(required) or required
    return next(
        name
        for known, name in SQL_TYPES.items()
        if field_type is known or (known is str and issubclass(field_type, str))
    )
