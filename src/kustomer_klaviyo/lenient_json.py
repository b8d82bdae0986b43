"""Reads JSON that vendors write: strictly first, then mended where only characters in it are no text. Pure.

JavaScript writes half an emoji (a lone surrogate) when it cuts a text, and PostgreSQL stores no NUL. Neither spoils
the rest of a document: each becomes U+FFFD, the replacement character.
"""

import json
import re
from typing import Any

import msgspec

from kustomer_klaviyo.cleaning import REPLACEMENT, storable

UNREADABLE = (msgspec.DecodeError, ValueError, RecursionError)
"""What reading a document that is none raises."""

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def mended(body: bytes) -> bytes | None:
    """Return a JSON document that any reader takes; None for what is no JSON in UTF-8."""
    if b"\\u0000" in body:
        body = _NUL.sub(rb"\1" + REPLACEMENT.encode(), body)
    try:
        msgspec.json.decode(body)
    except UNREADABLE:
        return _without_half_characters(body) if b"\\u" in body else None
    return body


def read_leniently(body: bytes) -> Any:
    """Return what a document says, whatever bytes stand in its texts, for words only; None when it is none."""
    found = mended(body)
    if found is None:
        found = mended(body.decode("utf-8-sig", "replace").encode())
    return None if found is None else msgspec.json.decode(found)


def _without_half_characters(body: bytes) -> bytes | None:
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
        found = storable(text).encode()
        msgspec.json.decode(found)
    except UNREADABLE:
        return None
    return found
