"""Bodies as no one should send them and somebody does: what a vendor's programs write on a bad day.

Knows neither vendor. Each kind takes a good JSON document and spoils it the way it happens in the wild.
"""

from collections.abc import Callable

LARGE = 1_200_000
DEPTH = 3000


def _with(value: bytes) -> Callable[[bytes], bytes]:
    """Add a field that nobody reads."""
    return lambda body: body.replace(b"{", b'{"malformed":' + value + b",", 1)


def _gzip_garbage(body: bytes) -> bytes:
    return b"\x1f\x8b\x08\x00" + body[::-1]


KINDS: dict[str, Callable[[bytes], bytes]] = {
    "lone_surrogate": _with(b'"half an emoji \\ud83d"'),
    "cesu8": _with(b'"\xed\xa0\xbd\xed\xb8\x80"'),
    "latin1": _with(b'"caf\xe9"'),
    "bom": lambda body: b"\xef\xbb\xbf" + body,
    "utf16": lambda body: body.decode().encode("utf-16"),
    "nan": _with(b"NaN"),
    "infinity": _with(b"-Infinity"),
    "huge_number": _with(b"1e999"),
    "long_number": _with(b"9" * 5000),
    "deep": _with(b"[" * DEPTH + b"]" * DEPTH),
    "raw_control": _with(b'"a\0b\nc"'),
    "duplicate_keys": lambda body: body.replace(b"{", b'{"data":null,', 1),
    "large": lambda body: body[:-1] + b',"malformed":"' + b"y" * LARGE + b'"}',
    "truncated": lambda body: body[: len(body) // 2],
    "array": lambda body: b"[" + body + b"]",
    "text": lambda _: b'"unavailable"',
    "null": lambda _: b"null",
    "empty": lambda _: b"",
    "page": lambda _: b"<!DOCTYPE html><title>502 Bad Gateway</title>",
    "gzip_garbage": _gzip_garbage,
}
"""The kinds by name."""


def malformed(kind: str, body: bytes) -> bytes:
    """Return a document spoilt in this way. Raises KeyError for a kind that there is not."""
    return KINDS[kind](body)
