"""Corrupt a valid JSON body in ways that occur in production. Independent of both vendors."""

from collections.abc import Callable

LARGE = 1_200_000
DEPTH = 3000


def _add_field(value: bytes) -> Callable[[bytes], bytes]:
    """Add a field that no client reads."""
    return lambda body: body.replace(b"{", b'{"malformed":' + value + b",", 1)


def _gzip_garbage(body: bytes) -> bytes:
    return b"\x1f\x8b\x08\x00" + body[::-1]


CORRUPTIONS: dict[str, Callable[[bytes], bytes]] = {
    "lone_surrogate": _add_field(b'"half an emoji \\ud83d"'),
    "cesu8": _add_field(b'"\xed\xa0\xbd\xed\xb8\x80"'),
    "latin1": _add_field(b'"caf\xe9"'),
    "bom": lambda body: b"\xef\xbb\xbf" + body,
    "utf16": lambda body: body.decode().encode("utf-16"),
    "nan": _add_field(b"NaN"),
    "infinity": _add_field(b"-Infinity"),
    "huge_number": _add_field(b"1e999"),
    "long_number": _add_field(b"9" * 5000),
    "deep": _add_field(b"[" * DEPTH + b"]" * DEPTH),
    "raw_control": _add_field(b'"a\0b\nc"'),
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
"""The corruptions by name."""


def corrupt(name: str, body: bytes) -> bytes:
    """Return the body with a corruption applied. Raises KeyError for an unknown name."""
    return CORRUPTIONS[name](body)
