r"""Repairs documents that are almost JSON; used only for what the strict decoder rejects.

JavaScript cuts a string in the middle of an emoji and writes the lone surrogate as ``\ud83d``. Other programs write
NaN, a byte order mark, CESU-8, or a byte of Latin-1. One such string, even in an unused field, must not make the whole
document unreadable.
"""

import codecs
import json
import re

MAX_DEPTH = 100
"""Levels of nesting; Kustomer's own documents have about ten. Deeper values of a repaired document become null."""

MAX_DIGITS = 30
"""Digits of a whole number; a longer one becomes null."""

_CESU_SURROGATE = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_PADDING = "\ufeff\0 \t\r\n"


class MalformedJSON(ValueError):
    """The bytes are not a JSON document of the kind Kustomer sends."""


def repair(body: bytes) -> bytes:
    """Return the document as strict JSON. Raises MalformedJSON if it cannot be repaired."""
    text = _text(body).strip(_PADDING)
    try:
        document = _load(text)
    except RecursionError:
        document = _load_shallow(text)
    except ValueError as error:
        raise MalformedJSON(str(error)) from error
    repaired = json.dumps(document, ensure_ascii=False)
    # Surrogate pairs become one character, lone surrogates U+FFFD.
    return repaired.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _text(body: bytes) -> str:
    encoding = json.detect_encoding(body)
    return body.decode(encoding, "repair" if encoding.startswith("utf-8") else "replace")


def _load(text: str) -> object:
    return json.loads(text, strict=False, parse_int=_parse_int, parse_float=_parse_float, parse_constant=lambda _: None)


def _load_shallow(text: str) -> object:
    try:
        return _load(_cut_deep_values(text))
    except (ValueError, RecursionError) as error:
        raise MalformedJSON(str(error)) from error


def _parse_int(digits: str) -> int | None:
    return int(digits) if len(digits) <= MAX_DIGITS else None


def _parse_float(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None


def _cut_deep_values(text: str) -> str:
    """Replace values that are nested too deep by null."""
    parts: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
                if depth == MAX_DEPTH + 1:
                    parts += (text[start : token.start()], "null")
            case "]" | "}":
                if depth == MAX_DEPTH + 1:
                    start = token.end()
                depth -= 1
    return "".join((*parts, text[start:]))


def _repair_bytes(error: UnicodeError) -> tuple[str, int]:
    """Keep a surrogate that is written as three bytes (CESU-8); any other invalid UTF-8 becomes U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    surrogate = error.object[error.start : error.start + 3]
    if _CESU_SURROGATE.match(surrogate):
        return surrogate.decode("utf-8", "surrogatepass"), error.start + 3
    return "\ufffd", error.end


codecs.register_error("repair", _repair_bytes)
