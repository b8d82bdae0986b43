r"""Mends documents that are almost JSON, as programs write them at times. Only for what strict reading refused.

JavaScript cuts texts in the middle of an emoji and writes the half as ``\ud83d``; others write NaN, a byte order mark,
CESU-8, or a single byte of Latin-1. One such text, even in a field never read, must not cost the whole document.
"""

import codecs
import json
import re

DEEPEST = 100
"""Levels; Kustomer's own documents have about ten. What lies deeper in one that cannot be read is left out."""

LONGEST_NUMBER = 30
"""Digits of a whole number; a longer one counts as missing."""

_HALF_AN_EMOJI = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_AROUND = "\ufeff\0 \t\r\n"


class MalformedJSON(ValueError):
    """The bytes are not a JSON document of the kind Kustomer sends."""


def mend(body: bytes) -> bytes:
    """Return the document as strict JSON. Raises MalformedJSON when it cannot be mended."""
    text = _text(body).strip(_AROUND)
    try:
        document = _load(text)
    except RecursionError:
        document = _load_shallow(text)
    except ValueError as error:
        raise MalformedJSON(str(error)) from error
    written = json.dumps(document, ensure_ascii=False)
    # Halves that belong together become one character, the others U+FFFD.
    return written.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()


def _text(body: bytes) -> str:
    encoding = json.detect_encoding(body)
    return body.decode(encoding, "mend" if encoding.startswith("utf-8") else "replace")


def _load(text: str) -> object:
    return json.loads(text, strict=False, parse_int=_whole, parse_float=_finite, parse_constant=lambda _: None)


def _load_shallow(text: str) -> object:
    try:
        return _load(_without_depths(text))
    except (ValueError, RecursionError) as error:
        raise MalformedJSON(str(error)) from error


def _whole(digits: str) -> int | None:
    return int(digits) if len(digits) <= LONGEST_NUMBER else None


def _finite(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None


def _without_depths(text: str) -> str:
    """Put null in the place of what is nested too deep."""
    kept: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        match token.group()[0]:
            case "[" | "{":
                depth += 1
                if depth == DEEPEST + 1:
                    kept += (text[start : token.start()], "null")
            case "]" | "}":
                if depth == DEEPEST + 1:
                    start = token.end()
                depth -= 1
    return "".join((*kept, text[start:]))


def _mend_bytes(error: UnicodeError) -> tuple[str, int]:
    """Keep halves of emoji for now, each written as three bytes (CESU-8); what else is no UTF-8 becomes U+FFFD."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    half = error.object[error.start : error.start + 3]
    if _HALF_AN_EMOJI.match(half):
        return half.decode("utf-8", "surrogatepass"), error.start + 3
    return "\ufffd", error.end


codecs.register_error("mend", _mend_bytes)
