"""Klaviyo's filter language: ``equals(email,"a@b.co"),greater-than(datetime,2024-01-01T00:00:00Z)``.

Grammar: developers.klaviyo.com/en/docs/filtering_
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid_parameter

TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][\w.\-]*(?=\())|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<mark>[(),\[\]])"""
    r"""|(?P<bare>[^\s(),\[\]"']+))"""
)
ORDERS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    "greater-than": operator.gt,
    "greater-or-equal": operator.ge,
    "less-than": operator.lt,
    "less-or-equal": operator.le,
    "equals": operator.eq,
}
TIMES = frozenset(ORDERS) - {"equals"}
"""The usual operators of a moment."""

PARTS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "starts-with": str.startswith,
    "ends-with": str.endswith,
}

Allowed = Mapping[str, frozenset[str]]
"""The operators of each field; ``equals[]`` is ``equals`` with a list."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. ``is_text``: every value stands in quotes."""

    operator: str
    field: str
    values: tuple[str, ...] = ()
    is_text: bool = False
    is_list: bool = False


def parse(text: str, allowed: Allowed) -> list[Condition]:
    """Read a filter into conditions that must all hold. Raises Refusal naming the parameter ``filter``."""
    tokens = _tokens(text)
    conditions = _conditions(tokens)
    if tokens:
        raise _bad(f"unexpected {tokens[-1][1]!r}")
    for condition in conditions:
        wanted = condition.operator + ("[]" if condition.is_list else "")
        if condition.field not in allowed:
            raise _bad(f"'{condition.field}' is not a field that can be filtered on")
        if wanted not in allowed[condition.field]:
            raise _bad(f"'{wanted}' is not a supported operator for '{condition.field}'")
    return conditions


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return the tokens, the first one last, so that they are taken from the end."""
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _bad(f"cannot read {text[position : position + 20]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens[::-1]


def _conditions(tokens: list[tuple[str, str]]) -> list[Condition]:
    conditions = _condition(tokens)
    while _is_next(tokens, ","):
        tokens.pop()
        conditions += _condition(tokens)
    return conditions


def _condition(tokens: list[tuple[str, str]]) -> list[Condition]:
    name = _take(tokens, "name")
    _take(tokens, "mark", "(")
    if name == "and":
        inner = _conditions(tokens)
        _take(tokens, "mark", ")")
        return inner
    condition = Condition(name, _take(tokens, "bare"))
    if name != "has":
        _take(tokens, "mark", ",")
        condition = _with_values(condition, tokens)
    _take(tokens, "mark", ")")
    return [condition]


def _with_values(condition: Condition, tokens: list[tuple[str, str]]) -> Condition:
    is_list = _is_next(tokens, "[")
    if is_list:
        tokens.pop()
    values = [_scalar(tokens)]
    while is_list and _is_next(tokens, ","):
        tokens.pop()
        values.append(_scalar(tokens))
    if is_list:
        _take(tokens, "mark", "]")
    is_text = all(is_quoted for _, is_quoted in values)
    return Condition(condition.operator, condition.field, tuple(value for value, _ in values), is_text, is_list)


def _scalar(tokens: list[tuple[str, str]]) -> tuple[str, bool]:
    if tokens and tokens[-1][0] == "string":
        return re.sub(r"\\(.)", r"\1", tokens.pop()[1][1:-1], flags=re.DOTALL), True
    return _take(tokens, "bare"), False


def _is_next(tokens: list[tuple[str, str]], mark: str) -> bool:
    return bool(tokens) and tokens[-1] == ("mark", mark)


def _take(tokens: list[tuple[str, str]], kind: str, text: str | None = None) -> str:
    if not tokens or tokens[-1][0] != kind or text not in (None, tokens[-1][1]):
        raise _bad(f"expected {text or kind}")
    return tokens.pop()[1]


def _bad(detail: str) -> Refusal:
    return invalid_parameter(f"Invalid filter provided: {detail}.", "filter")


def text_test(condition: Condition) -> Callable[[str | None], bool]:
    """Return the test of a text or id. Raises Refusal when the filter's value is not in quotes."""
    if condition.operator == "has":
        return lambda found: found is not None
    if not condition.is_text:
        raise _bad(f"the value for '{condition.field}' must be a string in quotes")
    holds = PARTS.get(condition.operator)
    if holds is not None:
        part = condition.values[0]
        return lambda found: found is not None and holds(found, part)
    wanted = frozenset(condition.values)
    return lambda found: found in wanted


def flag_test(condition: Condition) -> Callable[[bool], bool]:
    """Return the test of something true or false. Raises Refusal when the filter's value is neither."""
    if condition.is_text or not set(condition.values) <= {"true", "false"}:
        raise _bad(f"the value for '{condition.field}' must be true or false, without quotes")
    wanted = {value == "true" for value in condition.values}
    return lambda found: found in wanted


def time_test(condition: Condition) -> Callable[[datetime | None], bool]:
    """Return the test of a moment. Raises Refusal when the filter names none, or one in quotes or without a zone."""
    [value] = condition.values
    is_order, wanted = ORDERS[condition.operator], _moment(condition, value)
    return lambda found: found is not None and is_order(found, wanted)


def _moment(condition: Condition, value: str) -> datetime:
    try:
        # The number of seconds is for ``timestamp`` alone; elsewhere times are RFC 3339.
        if condition.field == "timestamp":
            return datetime.fromtimestamp(float(value), UTC)
        found = datetime.fromisoformat(value)
    except (ValueError, OverflowError, OSError) as error:
        raise _bad(f"{value!r} is not a valid {condition.field}") from error
    if condition.is_text or found.tzinfo is None:
        raise _bad(f"{value!r} must be a datetime without quotes and with a zone")
    return found
