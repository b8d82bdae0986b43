"""Converts a value of a Kustomer attribute to a type that Klaviyo's segments support. Pure.

Klaviyo's types: help.klaviyo.com, Understanding data types.
"""

import re
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from kustomer_klaviyo.klaviyo.profile_request import Value, date_property
from kustomer_klaviyo.kustomer.wire import LATEST_YEAR, as_number, as_text

Type = Literal["text", "number", "date", "boolean", "list"]
TYPES: tuple[Type, ...] = get_args(Type)

MAX_TEXT = 1000
MAX_ITEMS = 100
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")
_LOCALE = re.compile(r"([a-z]{2,3})(?:[_-]([a-z]{2}))?\Z", re.IGNORECASE)


class ConversionError(ValueError):
    """A value cannot be converted to the type of the mapping."""


def convert(value: Any, wanted: Type) -> Value | None:
    """Return the value as the wanted type; None if it is empty. Raises ConversionError."""
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
        raise ConversionError(f"not a {wanted}")
    return converted


def _text(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        number = _number(value)
        return None if number is None else str(number)
    text = as_text(value)
    return None if text is None else text[:MAX_TEXT]


def _date(value: Any) -> str | None:
    """Return a time in UTC, of any past year, since birthdays are older than events."""
    try:
        at = datetime.fromisoformat(value)
        at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return date_property(at) if at.year < LATEST_YEAR else None


def _number(value: Any) -> int | float | None:
    number = as_number(value)
    if number is None or number != number:  # noqa: PLR0124 - only NaN differs from itself
        return None
    return int(number) if float(number).is_integer() else number


def _boolean(value: Any) -> bool | None:
    text = str(value).strip().lower()
    return True if text in _TRUE else False if text in _FALSE else None


def _items(value: Any) -> list[str | int | float | bool] | None:
    values = (value if isinstance(value, list) else [value])[:MAX_ITEMS]
    return [item for item in map(_item, values) if item is not None] or None


def _item(value: Any) -> str | int | float | bool | None:
    if isinstance(value, bool):
        return value
    return _number(value) if isinstance(value, int | float) else _text(value)


def format_locale(text: str) -> str:
    """Return a locale in Klaviyo's format: ``en_us`` becomes ``en-US``. Raises ConversionError."""
    match = _LOCALE.match(text)
    if match is None:
        raise ConversionError("not a locale")
    language, country = match.groups()
    return f"{language.lower()}-{country.upper()}" if country else language.lower()
