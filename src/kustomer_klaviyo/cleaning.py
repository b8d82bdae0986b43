"""Cleans text from outside, so that it can be stored, logged and shown. Pure."""

import math
import re
from typing import Any

MAX_LENGTH = 1000
"""Characters kept of a text that only explains something."""

REPLACEMENT = "\ufffd"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str, max_length: int = MAX_LENGTH) -> str:
    """Return the text as one line without control characters and lone surrogates, truncated to a length."""
    cleaned = _SURROGATES.sub(REPLACEMENT, _UNPRINTABLE.sub(" ", text[: max_length + 1])).strip()
    return cleaned if len(cleaned) <= max_length else cleaned[: max_length - 3] + "..."


def clean_lines(text: str, max_length: int) -> str:
    """Clean a text line by line. A text that is too long loses its beginning."""
    lines = [_SURROGATES.sub(REPLACEMENT, _UNPRINTABLE.sub(" ", line)).rstrip() for line in text.split("\n")]
    cleaned = "\n".join(lines)
    return cleaned if len(cleaned) <= max_length else "..." + cleaned[-(max_length - 3) :]


def storable(text: str) -> str:
    """Return the text as PostgreSQL can store it: NULs and lone surrogates are replaced."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def storable_document(value: Any) -> Any:
    """Return a JSON value as PostgreSQL can store it: texts and keys are storable, and non-finite numbers are null."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(str(name)): storable_document(item) for name, item in value.items()}
        case list() | tuple():
            return [storable_document(item) for item in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
