"""Klaviyo's filter language: ``equals(email,"a@b.co"),greater-than(datetime,2024-01-01T00:00:00Z)``.

Grammar: developers.klaviyo.com/en/docs/filtering_
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, invalid_parameter

TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][\w.\-]*(?=\())|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')"""
    r"""|(?P<punctuation>[(),\[\]])|(?P<bare>[^\s(),\[\]"']+))"""
)
TIME_OPERATORS: Mapping[str, Callable[[datetime, datetime], bool]] = {
    "greater-than": operator.gt,
    "greater-or-equal": operator.ge,
    "less-than": operator.lt,
    "less-or-equal": operator.le,
    "equals": operator.eq,
}
TIME_ORDERINGS = frozenset(TIME_OPERATORS) - {"equals"}
"""The operators that most time fields have."""

TEXT_OPERATORS: Mapping[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "starts-with": str.startswith,
    "ends-with": str.endswith,
}

Allowed = Mapping[str, frozenset[str]]
"""The allowed operators of each field; ``equals[]`` is ``equals`` with a list."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison. ``is_text``: every value is in quotes."""

    operator: str
    field: str
    values: tuple[str, ...] = ()
    is_text: bool = False
    is_list: bool = False


def parse_filter(text: str, allowed: Allowed) -> list[Condition]:
    """Parse a filter into conditions that must all hold. Raises KlaviyoRefusal for the parameter ``filter``."""
    tokens = _tokens(text)
    conditions = _conditions(tokens)
    if tokens:
        raise _invalid_filter(f"unexpected {tokens[-1][1]!r}")
    for condition in conditions:
        operator_name = condition.operator + ("[]" if condition.is_list else "")
        if condition.field not in allowed:
            raise _invalid_filter(f"'{condition.field}' is not a field that can be filtered on")
        if operator_name not in allowed[condition.field]:
            raise _invalid_filter(f"'{operator_name}' is not a supported operator for '{condition.field}'")
    return conditions


def _tokens(text: str) -> list[tuple[str, str]]:
    """Return the tokens in reverse order, so that they can be popped from the end."""
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _invalid_filter(f"cannot read {text[position : position + 20]!r}")
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
    _take(tokens, "punctuation", "(")
    if name == "and":
        inner = _conditions(tokens)
        _take(tokens, "punctuation", ")")
        return inner
    condition = Condition(name, _take(tokens, "bare"))
    if name != "has":
        _take(tokens, "punctuation", ",")
        condition = _with_values(condition, tokens)
    _take(tokens, "punctuation", ")")
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
        _take(tokens, "punctuation", "]")
    is_text = all(is_quoted for _, is_quoted in values)
    return Condition(condition.operator, condition.field, tuple(value for value, _ in values), is_text, is_list)


def _scalar(tokens: list[tuple[str, str]]) -> tuple[str, bool]:
    if tokens and tokens[-1][0] == "string":
        return re.sub(r"\\(.)", r"\1", tokens.pop()[1][1:-1], flags=re.DOTALL), True
    return _take(tokens, "bare"), False


def _is_next(tokens: list[tuple[str, str]], punctuation: str) -> bool:
    return bool(tokens) and tokens[-1] == ("punctuation", punctuation)


def _take(tokens: list[tuple[str, str]], kind: str, text: str | None = None) -> str:
    if not tokens or tokens[-1][0] != kind or text not in (None, tokens[-1][1]):
        raise _invalid_filter(f"expected {text or kind}")
    return tokens.pop()[1]


def _invalid_filter(detail: str) -> KlaviyoRefusal:
    return invalid_parameter(f"Invalid filter provided: {detail}.", "filter")


def text_test(condition: Condition) -> Callable[[str | None], bool]:
    """Return a test for a text or id. Raises KlaviyoRefusal when the filter's value is not in quotes."""
    if condition.operator == "has":
        return lambda value: value is not None
    if not condition.is_text:
        raise _invalid_filter(f"the value for '{condition.field}' must be a string in quotes")
    holds = TEXT_OPERATORS.get(condition.operator)
    if holds is not None:
        part = condition.values[0]
        return lambda value: value is not None and holds(value, part)
    values = frozenset(condition.values)
    return lambda value: value in values


def boolean_test(condition: Condition) -> Callable[[bool], bool]:
    """Return a test for a boolean. Raises KlaviyoRefusal when the filter's value is not one."""
    if condition.is_text or not set(condition.values) <= {"true", "false"}:
        raise _invalid_filter(f"the value for '{condition.field}' must be true or false, without quotes")
    values = {value == "true" for value in condition.values}
    return lambda value: value in values


def time_test(condition: Condition) -> Callable[[datetime | None], bool]:
    """Return a test for a time. Raises KlaviyoRefusal for a text, or a time without a zone."""
    [text] = condition.values
    holds, limit = TIME_OPERATORS[condition.operator], _parse_time(condition, text)
    return lambda value: value is not None and holds(value, limit)


def _parse_time(condition: Condition, text: str) -> datetime:
    try:
        # ``timestamp`` is in epoch seconds; other times are RFC 3339.
        if condition.field == "timestamp":
            return datetime.fromtimestamp(float(text), UTC)
        time = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError) as error:
        raise _invalid_filter(f"{text!r} is not a valid {condition.field}") from error
    if condition.is_text or time.tzinfo is None:
        raise _invalid_filter(f"{text!r} must be a datetime without quotes and with a zone")
    return time
