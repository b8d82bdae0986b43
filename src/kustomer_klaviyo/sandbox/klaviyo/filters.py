"""Klaviyo's filter language: ``equals(email,"a@b.co"),greater-than(datetime,2024-01-01T00:00:00Z)``.

Grammar: developers.klaviyo.com/en/docs/filtering_
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid_parameter

TOKEN = re.compile(
    r"""\s*(?:(?P<name>[A-Za-z_][\w.\-]*(?=\())|(?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|(?P<mark>[(),\[\]])"""
    r"""|(?P<bare>[^\s(),\[\]"']+))"""
)

Value = str | list[str]


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison."""

    operator: str
    field: str
    value: Value | None


def parse(text: str, allowed: Mapping[str, frozenset[str]]) -> list[Condition]:
    """Read a filter into conditions that must all hold. Raises Refusal naming the parameter ``filter``."""
    tokens = _tokens(text)
    conditions = _conditions(tokens)
    if tokens:
        raise _bad(f"unexpected {tokens[0][1]!r}")
    for condition in conditions:
        if condition.operator not in allowed.get(condition.field, frozenset()):
            raise _bad(f"'{condition.operator}' is not a supported operator for '{condition.field}'")
    return conditions


def _tokens(text: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = text.strip()
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise _bad(f"cannot read {text[position : position + 20]!r}")
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


def _conditions(tokens: list[tuple[str, str]]) -> list[Condition]:
    conditions = _condition(tokens)
    while tokens and tokens[0] == ("mark", ","):
        tokens.pop(0)
        conditions += _condition(tokens)
    return conditions


def _condition(tokens: list[tuple[str, str]]) -> list[Condition]:
    operator = _take(tokens, "name")
    _take(tokens, "mark", "(")
    if operator == "and":
        inner = _conditions(tokens)
        _take(tokens, "mark", ")")
        return inner
    field = _take(tokens, "bare")
    value: Value | None = None
    if operator != "has":
        _take(tokens, "mark", ",")
        value = _value(tokens)
    _take(tokens, "mark", ")")
    return [Condition(operator, field, value)]


def _value(tokens: list[tuple[str, str]]) -> Value:
    if tokens and tokens[0] == ("mark", "["):
        tokens.pop(0)
        values = [_scalar(tokens)]
        while tokens and tokens[0] == ("mark", ","):
            tokens.pop(0)
            values.append(_scalar(tokens))
        _take(tokens, "mark", "]")
        return values
    return _scalar(tokens)


def _scalar(tokens: list[tuple[str, str]]) -> str:
    if tokens and tokens[0][0] == "string":
        return re.sub(r"\\(.)", r"\1", tokens.pop(0)[1][1:-1])
    return _take(tokens, "bare")


def _take(tokens: list[tuple[str, str]], kind: str, text: str | None = None) -> str:
    if not tokens or tokens[0][0] != kind or text not in (None, tokens[0][1]):
        raise _bad(f"expected {text or kind}")
    return tokens.pop(0)[1]


def _bad(detail: str) -> Refusal:
    return invalid_parameter(f"Invalid filter provided: {detail}.", "filter")


def holds(condition: Condition, found: str | None) -> bool:
    """Say whether a text or id meets a condition."""
    if condition.operator == "has":
        return found is not None
    if condition.operator == "contains":
        return found is not None and str(condition.value) in found
    wanted = condition.value if isinstance(condition.value, list) else [condition.value]
    return found in wanted


def holds_for_time(condition: Condition, found: datetime) -> bool:
    """Say whether a moment meets a condition. Raises Refusal when the filter names no moment."""
    try:
        wanted = datetime.fromisoformat(str(condition.value))
        return {
            "greater-than": found > wanted,
            "greater-or-equal": found >= wanted,
            "less-than": found < wanted,
            "less-or-equal": found <= wanted,
            "equals": found == wanted,
        }[condition.operator]
    except (ValueError, TypeError) as error:
        raise _bad(f"{condition.value!r} is not a datetime with a zone") from error
