"""Webhooks as nobody should send them: good ones, spoilt in many ways, each the same for the same seed."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from documents import conversation, customer, email, event, phone

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, 1e300, -0.0, 0.5, float("nan"), float("inf"),
    "", " ", "\0", "\ud83d", "\udc00\ud83d", "\u202e", "x" * 5000, "9999-12-31T23:59:59-05:00",
    "0001-01-01T00:00:00+01:00", "2099-01-01T00:00:00Z", "********", [], {}, [[]], [None], {"": None}, ["x", 1, {}],
    {"isMasked": True}, {"data": {"id": "x"}}, {"createdAt": "9999-12-31T23:59:59-05:00"}, "<script>", "'; DROP TABLE",
)  # fmt: skip
"""Values of every type at the edges of what is held."""

RAW = (
    b"\\ud83d", b"\xed\xa0\xbd", b"\xff", b"\0", b"\xef\xbb\xbf", b"NaN", b"-Infinity", b"1e999", b"1e400", b"9" * 5000,
    b'"', b"\\", b"\\u", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\r\n",
)  # fmt: skip
"""Bytes that readers stumble over."""

Mutation = Callable[[random.Random, bytes], bytes]


def good(chance: random.Random, n: int) -> dict[str, Any]:
    """Make the ``n``-th good webhook, of one of a few hundred customers and conversations."""
    who, what = f"5f19aa0b1c2d3e4f{chance.randrange(200):08x}", f"67dd47dfbc632c18{chance.randrange(400):08x}"
    verb = chance.choice(("create", "update"))
    if chance.random() < 0.4:
        held = [email(f"{who[-6:]}@lantern.example")], [phone("+37120000000")]
        resource = customer(customer_id=who, rev=n, emails=held[0], phones=held[1], conversationCounts={"open": 1})
        resource["attributes"] |= {"locations": [{"cityName": "Riga"}], "custom": {"loyaltyStr": "gold"}, "tags": ["a"]}
    else:
        resource = conversation(conversation_id=what, customer=who, rev=n, status=chance.choice(("open", "done")))
        level = {"status": "rated", "rating": 5, "formResponse": what, "updatedAt": "2026-03-20T18:50:55.976Z"}
        resource["attributes"] |= {"satisfactionLevel": level, "lastDone": {"createdAt": "2026-03-20T19:00:00.000Z"}}
    changes = {"attributes": {"status": {"op": "replace", "before": "open", "after": "done"}}}
    return event(resource, verb, id=f"{n:024x}", changes=changes)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document, as its container and the key within."""
    found: list[tuple[Any, Any]] = []
    waiting = [document]
    while waiting:
        one = waiting.pop()
        for key in one if isinstance(one, dict) else range(len(one)):
            found.append((one, key))
            if isinstance(one[key], dict | list):
                waiting.append(one[key])
    return found


def swap_types(chance: random.Random, document: dict[str, Any]) -> None:
    """Put odd values in the place of some."""
    for _ in range(chance.randint(1, 3)):
        places = _places(document)
        if places:
            container, key = chance.choice(places)
            container[key] = copy.deepcopy(chance.choice(ODD))


def _flip(chance: random.Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(chance.randint(1, 8)):
        flipped[chance.randrange(len(flipped))] = chance.randrange(256)
    return bytes(flipped)


def _truncate(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body))]


def _insert(chance: random.Random, body: bytes) -> bytes:
    at = chance.randrange(len(body))
    return body[:at] + chance.choice(RAW) + body[at:]


def _spoil_a_text(chance: random.Random, body: bytes) -> bytes:
    """Put something into a text, where it leaves the document whole."""
    quotes = [at for at, byte in enumerate(body) if byte == ord('"')]
    at = chance.choice(quotes) + 1
    return body[:at] + chance.choice(RAW[:4]) + body[at:]


def _number(chance: random.Random, body: bytes) -> bytes:
    return body.replace(b"null", chance.choice(RAW[5:10])).replace(b"true", chance.choice(RAW[5:10]), 1)


def _deep(chance: random.Random, body: bytes) -> bytes:
    depth = chance.choice((50, 500, 990, 3000))
    return body.replace(b'"persist": true', b'"persist": ' + b"[" * depth + b"]" * depth)


def _large(chance: random.Random, body: bytes) -> bytes:
    size = chance.choice((900_000, 1_000_000, 1_100_000))
    return body.replace(b'"Where is my order?"', b'"' + b"y" * size + b'"').replace(
        b'"Riga"', b'"' + b"z" * size + b'"'
    )


def _twice(chance: random.Random, body: bytes) -> bytes:
    name = chance.choice((b"id", b"name", b"data", b"attributes", b"createdAt", b"rev"))
    return body.replace(b'"' + name + b'": ', b'"' + name + b'": null, "' + name + b'": ', 1)


def _another_document(chance: random.Random, body: bytes) -> bytes:
    return chance.choice((b"", b" ", b"null", b"[]", b'"x"', b"7", b"[" + body + b"]", body + body, b"\x1f\x8b" + body))


BYTES: dict[str, Mutation] = {
    "flip": _flip,
    "truncate": _truncate,
    "insert": _insert,
    "text": _spoil_a_text,
    "number": _number,
    "deep": _deep,
    "duplicate": _twice,
    "document": _another_document,
    "large": _large,
}
LARGE_SHARE = 0.002
"""Of a megabyte each: few, for the sake of time."""


def mutated(chance: random.Random, n: int) -> tuple[str, bytes]:
    """Make the ``n``-th body; returns the kind of mutation with it."""
    document = good(chance, n)
    if chance.random() < 0.45:
        swap_types(chance, document)
        return "type", json.dumps(document).encode()
    kinds = [kind for kind in BYTES if kind != "large"]
    kind = "large" if chance.random() < LARGE_SHARE else chance.choice(kinds)
    return kind, BYTES[kind](chance, json.dumps(document).encode())
