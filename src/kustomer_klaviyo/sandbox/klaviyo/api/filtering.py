"""Lists narrowed and put into order as a request asks: by fields with their operators, and by keys."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filters import TIMES, Condition, flag_test, parse, text_test, time_test
from kustomer_klaviyo.sandbox.klaviyo.envelope import invalid_parameter

Item = TypeVar("Item")
Test = Callable[[Any], bool]
TESTS: Mapping[type, Callable[[Condition], Test]] = {str: text_test, datetime: time_test, bool: flag_test}

BY_VALUE = frozenset({"any[]", "equals[]"})
BY_ANY_VALUE = BY_VALUE | {"equals"}
EQUALS = frozenset({"equals"})


@dataclass(frozen=True, slots=True)
class Field(Generic[Item]):
    """What a list can be filtered on."""

    operators: frozenset[str]
    of: Callable[[Item], Any]
    """The value that an item has; of a tuple, each."""
    kind: type = str
    """``str``, ``datetime`` or ``bool``."""
    choices: frozenset[str] = frozenset()
    """The only values that may be asked for; any, when there are none."""


Fields = Mapping[str, Field[Item]]
Keys = Mapping[str, Callable[[Item], Any]]


def time_field(of: Callable[[Item], Any], operators: frozenset[str] = TIMES) -> Field[Item]:
    """Describe a moment that can be filtered on."""
    return Field(operators, of, datetime)


def flag_field(of: Callable[[Item], Any], operators: frozenset[str] = EQUALS) -> Field[Item]:
    """Describe something that is true or false and can be filtered on."""
    return Field(operators, of, bool)


def conditions(request: web.Request, fields: Fields[Item]) -> list[Condition]:
    """Read ``filter``. Raises Refusal."""
    text = request.query.get("filter")
    return parse(text, {name: field.operators for name, field in fields.items()}) if text else []


def matching(request: web.Request, items: Iterable[Item], fields: Fields[Item]) -> list[Item]:
    """Return the items that ``filter`` lets through. Raises Refusal."""
    tests = [_test(one, fields[one.field]) for one in conditions(request, fields)]
    return [item for item in items if all(test(item) for test in tests)]


def _test(condition: Condition, field: Field[Item]) -> Callable[[Item], bool]:
    wrong = field.choices and [value for value in condition.values if value not in field.choices]
    if wrong:
        raise invalid_parameter(f"Invalid filter provided: '{wrong[0]}' is not a {condition.field}.", "filter")
    is_met, of = TESTS[field.kind](condition), field.of

    def test(item: Item) -> bool:
        value = of(item)
        return any(map(is_met, value)) if isinstance(value, tuple) else is_met(value)

    return test


def ordered(request: web.Request, items: Iterable[Item], keys: Keys[Item], default: str) -> list[Item]:
    """Return the items in the order of ``sort``, what has no value last. Raises Refusal."""
    text = request.query.get("sort", default)
    name = text.removeprefix("-")
    if name not in keys:
        raise invalid_parameter(f"'{text}' is not a valid sort.", "sort")

    key, is_descending = keys[name], text.startswith("-")
    held = [(key(item), item) for item in items]
    valued = sorted((one for one in held if one[0] is not None), key=lambda one: one[0], reverse=is_descending)
    return [item for _, item in valued] + [item for value, item in held if value is None]
