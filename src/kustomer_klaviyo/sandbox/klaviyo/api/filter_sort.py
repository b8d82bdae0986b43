"""Filtering and sorting of lists by the ``filter`` and ``sort`` parameters."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filter_parser import (
    TIME_ORDERINGS,
    Condition,
    boolean_test,
    parse_filter,
    text_test,
    time_test,
)
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import invalid_parameter

Item = TypeVar("Item")
Test = Callable[[Any], bool]
TESTS: Mapping[type, Callable[[Condition], Test]] = {str: text_test, datetime: time_test, bool: boolean_test}

VALUE_LISTS = frozenset({"any[]", "equals[]"})
VALUE_OR_LIST = VALUE_LISTS | {"equals"}
EQUALS = frozenset({"equals"})


@dataclass(frozen=True, slots=True)
class FilterField(Generic[Item]):
    """A field that a list can be filtered on."""

    operators: frozenset[str]
    value_of: Callable[[Item], Any]
    """The value of an item; in a tuple, one value has to match."""
    kind: type = str
    """``str``, ``datetime`` or ``bool``."""
    choices: frozenset[str] = frozenset()
    """The only allowed values; when empty, any value is allowed."""


FilterFields = Mapping[str, FilterField[Item]]
SortKeys = Mapping[str, Callable[[Item], Any]]


def time_field(value_of: Callable[[Item], Any], operators: frozenset[str] = TIME_ORDERINGS) -> FilterField[Item]:
    """Make a field that is a time."""
    return FilterField(operators, value_of, datetime)


def boolean_field(value_of: Callable[[Item], Any], operators: frozenset[str] = EQUALS) -> FilterField[Item]:
    """Make a field that is a boolean."""
    return FilterField(operators, value_of, bool)


def filter_conditions(request: web.Request, fields: FilterFields[Item]) -> list[Condition]:
    """Parse ``filter``. Raises KlaviyoRefusal."""
    text = request.query.get("filter")
    return parse_filter(text, {name: field.operators for name, field in fields.items()}) if text else []


def apply_filter(request: web.Request, items: Iterable[Item], fields: FilterFields[Item]) -> list[Item]:
    """Return the items that match ``filter``. Raises KlaviyoRefusal."""
    tests = [_test(condition, fields[condition.field]) for condition in filter_conditions(request, fields)]
    return [item for item in items if all(test(item) for test in tests)]


def _test(condition: Condition, field: FilterField[Item]) -> Callable[[Item], bool]:
    invalid = field.choices and [value for value in condition.values if value not in field.choices]
    if invalid:
        raise invalid_parameter(f"Invalid filter provided: '{invalid[0]}' is not a {condition.field}.", "filter")
    matches, value_of = TESTS[field.kind](condition), field.value_of

    def test(item: Item) -> bool:
        value = value_of(item)
        return any(map(matches, value)) if isinstance(value, tuple) else matches(value)

    return test


def apply_sort(request: web.Request, items: Iterable[Item], keys: SortKeys[Item], default: str) -> list[Item]:
    """Return the items in the order of ``sort``; items without a value come last. Raises KlaviyoRefusal."""
    text = request.query.get("sort", default)
    name = text.removeprefix("-")
    if name not in keys:
        raise invalid_parameter(f"'{text}' is not a valid sort.", "sort")

    key, is_descending = keys[name], text.startswith("-")
    pairs = [(key(item), item) for item in items]
    with_value = [pair for pair in pairs if pair[0] is not None]
    with_value.sort(key=lambda pair: pair[0], reverse=is_descending)
    return [item for _, item in with_value] + [item for value, item in pairs if value is None]
