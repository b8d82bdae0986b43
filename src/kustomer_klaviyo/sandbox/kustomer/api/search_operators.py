"""Comparison operators of the search: case-insensitive text, numbers, times. Pure."""

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.responses import bad_parameter

Comparison = Callable[[Any], bool]

ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def comparison(field: str, operator_name: str, operand: Any) -> Comparison:
    """Return a test of a value; for a list, one value has to match. Raises KustomerRefusal."""
    if operator_name in {"set", "not_set"}:
        return lambda value: bool(_values(value)) == (operator_name == "set")
    if operator_name in ORDERINGS:
        order, limit = ORDERINGS[operator_name], _comparable(operand)
        return lambda value: any(_ordered(order, _comparable(item), limit) for item in _values(value))
    if operator_name == "equals":
        expected = _comparable(operand)
        return lambda value: any(_comparable(item) == expected for item in _values(value))
    if operator_name == "in" and isinstance(operand, list):
        choices = [_comparable(value) for value in operand]
        return lambda value: any(_comparable(item) in choices for item in _values(value))
    if operator_name == "contains" and isinstance(operand, str):
        part = operand.lower()
        return lambda value: any(part in str(item).lower() for item in _values(value))
    raise bad_parameter(field, f"Unsupported comparison {operator_name} with {operand!r}")


def sort_key(value: Any) -> tuple[int, Any]:
    """Return the sort key of a value; missing values come first."""
    values = _values(value)
    if not values:
        return 0, 0
    first = _comparable(values[0])
    return (1, first) if isinstance(first, float) else (2, str(first))


def _values(value: Any) -> list[Any]:
    values = value if isinstance(value, list) else [value]
    return [item for item in values if item not in (None, "")]


def _comparable(value: Any) -> float | str:
    """Return numbers and times as numbers (a time without a zone is UTC), anything else as lower-case text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return str(value).lower()
    if not isinstance(value, str):
        return float(value)
    if value[:2].isdigit() and value[4:5] == "-":
        try:
            time = datetime.fromisoformat(value)
        except ValueError:
            return value.lower()
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    return value.lower()


def _ordered(order: Callable[[Any, Any], bool], value: float | str, limit: float | str) -> bool:
    return isinstance(value, float) == isinstance(limit, float) and order(value, limit)
