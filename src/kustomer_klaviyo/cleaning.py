"""Foreign words, made fit to be stored, logged and shown: whatever a vendor writes, nobody chokes on it. Pure."""

import math
import re
from typing import Any

LONGEST = 1000
"""Characters of a text that only explains something."""

REPLACEMENT = "\ufffd"
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SURROGATES = re.compile("[\ud800-\udfff]")


def clean(text: str, most: int = LONGEST) -> str:
    """Return one line of text without control characters and halves of characters, of at most so many characters."""
    cut = text[: most + 1]
    tidy = _SURROGATES.sub(REPLACEMENT, _UNPRINTABLE.sub(" ", cut)).strip()
    return tidy if len(tidy) <= most else tidy[: most - 3] + "..."


def clean_lines(text: str, most: int) -> str:
    """Return text of several lines made clean, line by line; what is too long loses its beginning."""
    lines = [_SURROGATES.sub(REPLACEMENT, _UNPRINTABLE.sub(" ", line)).rstrip() for line in text.split("\n")]
    tidy = "\n".join(lines)
    return tidy if len(tidy) <= most else "..." + tidy[-(most - 3) :]


def storable(text: str) -> str:
    """Return text that PostgreSQL takes: its NULs and halves of characters (lone surrogates) are replaced."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def storable_document(value: Any) -> Any:
    """Return a JSON value that PostgreSQL takes: every text storable, keys included, and numbers that are none null."""
    match value:
        case str():
            return storable(value)
        case dict():
            return {storable(str(name)): storable_document(one) for name, one in value.items()}
        case list() | tuple():
            return [storable_document(one) for one in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
