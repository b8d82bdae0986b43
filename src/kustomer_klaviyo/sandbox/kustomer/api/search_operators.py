"""The comparisons a search is made of: texts without regard to case, numbers as numbers, times as times. Pure."""

import operator
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.envelope import bad

Holds = Callable[[Any], bool]

ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}


def comparison(field: str, named: str, wanted: Any) -> Holds:
    """Return whether a found value, or one of a list, compares as asked. Raises Refusal."""
    if named in {"set", "not_set"}:
        return lambda found: bool(_present(found)) == (named == "set")
    if named in ORDERINGS:
        order, limit = ORDERINGS[named], _comparable(wanted)
        return lambda found: any(_ordered(order, _comparable(value), limit) for value in _present(found))
    if named == "equals":
        same = _comparable(wanted)
        return lambda found: any(_comparable(value) == same for value in _present(found))
    if named == "in" and isinstance(wanted, list):
        choices = [_comparable(value) for value in wanted]
        return lambda found: any(_comparable(value) in choices for value in _present(found))
    if named == "contains" and isinstance(wanted, str):
        part = wanted.lower()
        return lambda found: any(part in str(value).lower() for value in _present(found))
    raise bad(field, f"Unsupported comparison {named} with {wanted!r}")


def sort_key(found: Any) -> tuple[int, Any]:
    """Return what to sort a value by; those without one come first."""
    present = _present(found)
    if not present:
        return 0, 0
    value = _comparable(present[0])
    return (1, value) if isinstance(value, float) else (2, str(value))


def _present(found: Any) -> list[Any]:
    values = found if isinstance(found, list) else [found]
    return [value for value in values if value not in (None, "")]


def _comparable(value: Any) -> float | str:
    """Return numbers and times as numbers (a time without a zone is in GMT), all else as lower-case text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return str(value).lower()
    if not isinstance(value, str):
        return float(value)
    if value[:2].isdigit() and value[4:5] == "-":
        try:
            found = datetime.fromisoformat(value)
        except ValueError:
            return value.lower()
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    return value.lower()


def _ordered(order: Callable[[Any, Any], bool], found: float | str, limit: float | str) -> bool:
    return isinstance(found, float) == isinstance(limit, float) and order(found, limit)
