"""Decodes responses strictly, and repairs only characters that are not valid text. Pure.

JavaScript writes half an emoji (a lone surrogate) when it cuts a string, and PostgreSQL stores no NUL. Neither makes
the rest of a document unreadable: each becomes U+FFFD, the replacement character. Anything else that is not JSON stays
unreadable, so that half a response never counts as an acceptance; ``kustomer.json_repair`` is more lenient, since a
webhook must not be lost.
"""

import json
import re
from typing import Any

import msgspec

from kustomer_klaviyo.cleaning import REPLACEMENT, storable

DECODE_ERRORS = (msgspec.DecodeError, ValueError, RecursionError)
"""The errors of decoding an invalid document."""

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def repair_characters(body: bytes) -> bytes | None:
    """Return the document without invalid characters; None if it is not JSON in UTF-8."""
    if b"\\u0000" in body:
        body = _NUL.sub(rb"\1" + REPLACEMENT.encode(), body)
    try:
        msgspec.json.decode(body)
    except DECODE_ERRORS:
        return _replace_surrogates(body) if b"\\u" in body else None
    return body


def decode_leniently(body: bytes) -> Any:
    """Decode a document whose content is only shown, whatever its encoding; None if it is not JSON."""
    repaired = repair_characters(body)
    if repaired is None:
        repaired = repair_characters(body.decode("utf-8-sig", "replace").encode())
    return None if repaired is None else msgspec.json.decode(repaired)


def _replace_surrogates(body: bytes) -> bytes | None:
    try:
        text = json.dumps(json.loads(body), ensure_ascii=False)
        repaired = storable(text).encode()
        msgspec.json.decode(repaired)
    except DECODE_ERRORS:
        return None
    return repaired
