"""Escapes text for terminals and logs: characters that control a terminal or change how a line reads."""

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""Harmless format characters, which emoji and several scripts need."""

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters (C0, C1), format characters (bidi), surrogates, line and paragraph breaks."""

_SUSPECT = re.compile(r"[^\x20-\x7e]")


def escape(value: object) -> str:
    """Return a value as one line of text that is safe to print."""
    return _SUSPECT.sub(_escape_character, str(value))


def escape_json(document: str) -> str:
    """Return an equivalent JSON document that is safe to print."""
    return _SUSPECT.sub(_escape_in_json, document)


def is_utf8(value: str) -> bool:
    """Return whether an argument or a variable was valid UTF-8: Python decodes other bytes to lone surrogates."""
    return not any(unicodedata.category(character) == "Cs" for character in value)


def is_harmful(character: str) -> bool:
    """Return whether a character could control a terminal or hide text."""
    return character not in JOINERS and unicodedata.category(character) in _HARMFUL


def _escape_character(match: re.Match[str]) -> str:
    character = match.group()
    return character.encode("unicode_escape").decode() if is_harmful(character) else character


def _escape_in_json(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\n" or not is_harmful(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index]:02x}{units[index + 1]:02x}" for index in range(0, len(units), 2))
