"""Text for terminals and logs: what could steer a terminal, or make a line read otherwise, is written as an escape."""

import re
import unicodedata

JOINERS = "\u200c\u200d"
"""Emoji and several scripts are written with these, and they steer nothing."""

_HARMFUL = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of control characters (C0, C1), invisible ones (bidi), halves of a pair, breaks of line."""

_SUSPECT = re.compile(r"[^\x20-\x7e]")


def shown(value: object) -> str:
    """Return a value as one line of text that is safe to write to a terminal, whoever it comes from."""
    return _SUSPECT.sub(_escaped, str(value))


def shown_json(document: str) -> str:
    """Return a JSON document that means the same and is safe to write to a terminal."""
    return _SUSPECT.sub(_escaped_in_json, document)


def is_text(value: str) -> bool:
    """Say whether what the shell or the environment gave is text: bytes that are not UTF-8 come as lone surrogates."""
    return not any(unicodedata.category(character) == "Cs" for character in value)


def is_harmful(character: str) -> bool:
    """Say whether a character could steer a terminal or hide what is written."""
    return character not in JOINERS and unicodedata.category(character) in _HARMFUL


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    return character.encode("unicode_escape").decode() if is_harmful(character) else character


def _escaped_in_json(match: re.Match[str]) -> str:
    character = match.group()
    if character == "\n" or not is_harmful(character):
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
