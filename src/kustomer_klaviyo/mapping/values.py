"""How one value of a Kustomer attribute becomes one that Klaviyo's segments understand. Pure.

Types known to Klaviyo: help.klaviyo.com, Understanding data types.
"""

import re
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from kustomer_klaviyo.klaviyo.profile_request import Value, date
from kustomer_klaviyo.kustomer.wire import LATEST_YEAR, as_number, as_text

Type = Literal["text", "number", "date", "boolean", "list"]
TYPES: tuple[Type, ...] = get_args(Type)

LONGEST_TEXT = 1000
MOST_ITEMS = 100
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_LOCALE = re.compile(r"([a-z]{2,3})(?:[_-]([a-z]{2}))?\Z", re.IGNORECASE)


class Unreadable(ValueError):
    """A value is not of the type that the mapping gives it."""


def convert(value: Any, wanted: Type) -> Value | None:
    """Return the value in the wanted type; None when there is nothing to say. Raises Unreadable."""
    if value in (None, "", []):
        return None
    converted: Value | None
    match wanted:
        case "text":
            converted = _text(value)
        case "number":
            converted = _number(value)
        case "date":
            converted = _date(value)
        case "boolean":
            converted = _boolean(value)
        case "list":
            converted = _items(value)
    if converted is None:
        raise Unreadable(f"not a {wanted}")
    return converted


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        number = _number(value)
        return None if number is None else str(number)
    text = as_text(value)
    return None if text is None else text[:LONGEST_TEXT]


def _date(value: Any) -> str | None:
    """Return a moment in UTC: birthdays are older than any event, but nothing of ours lies in the year 9999."""
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return date(at) if at.year < LATEST_YEAR else None


def _number(value: Any) -> int | float | None:
    number = as_number(value)
    if number is None or number != number:  # noqa: PLR0124 - only NaN differs from itself
        return None
    return int(number) if float(number).is_integer() else number


def _boolean(value: Any) -> bool | None:
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _items(value: Any) -> list[str | int | float | bool] | None:
    found: list[str | int | float | bool] = []
    for one in (value if isinstance(value, list) else [value])[:MOST_ITEMS]:
        item = one if isinstance(one, bool) else _number(one) if isinstance(one, int | float) else _text(one)
        if item is not None:
            found.append(item)
    return found or None


def locale(text: str) -> str:
    """Return a locale as Klaviyo writes it: ``en_us`` becomes ``en-US``. Raises Unreadable."""
    found = _LOCALE.match(text)
    if found is None:
        raise Unreadable("not a locale")
    language, country = found.groups()
    return f"{language.lower()}-{country.upper()}" if country else language.lower()
