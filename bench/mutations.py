"""Malformed webhooks: valid ones, mutated in many ways. The same seed gives the same bodies."""

import copy
import json
import random
from collections.abc import Callable
from typing import Any

from support.kustomer_documents import conversation, customer, email, event, phone

ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, 10**40, 1e300, -0.0, 0.5, float("nan"), float("inf"),
    "", " ", "\0", "\ud83d", "\udc00\ud83d", "\u202e", "x" * 5000, "9999-12-31T23:59:59-05:00",
    "0001-01-01T00:00:00+01:00", "2099-01-01T00:00:00Z", "********", [], {}, [[]], [None], {"": None}, ["x", 1, {}],
    {"isMasked": True}, {"data": {"id": "x"}}, {"createdAt": "9999-12-31T23:59:59-05:00"}, "<script>", "'; DROP TABLE",
)  # fmt: skip
"""Values of every type at the limits of what can be stored."""

ODD_BYTES = (
    b"\\ud83d", b"\xed\xa0\xbd", b"\xff", b"\0", b"\xef\xbb\xbf", b"NaN", b"-Infinity", b"1e999", b"1e400", b"9" * 5000,
    b'"', b"\\", b"\\u", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\r\n",
)  # fmt: skip
"""Bytes that decoders handle badly."""

Mutation = Callable[[random.Random, bytes], bytes]


def valid_webhook(rng: random.Random, n: int) -> dict[str, Any]:
    """Make the ``n``-th good webhook, of one of a few hundred customers and conversations."""
    customer_id, conversation_id = (
        f"5f19aa0b1c2d3e4f{rng.randrange(200):08x}",
        f"67dd47dfbc632c18{rng.randrange(400):08x}",
    )
    verb = rng.choice(("create", "update"))
    if rng.random() < 0.4:
        emails, phones = [email(f"{customer_id[-6:]}@lantern.example")], [phone("+37120000000")]
        counts = {"open": 1}
        resource = customer(customer_id=customer_id, rev=n, emails=emails, phones=phones, conversationCounts=counts)
        resource["attributes"] |= {"locations": [{"cityName": "Riga"}], "custom": {"loyaltyStr": "gold"}, "tags": ["a"]}
    else:
        resource = conversation(
            conversation_id=conversation_id, customer=customer_id, rev=n, status=rng.choice(("open", "done"))
        )
        level = {
            "status": "rated",
            "rating": 5,
            "formResponse": conversation_id,
            "updatedAt": "2026-03-20T18:50:55.976Z",
        }
        resource["attributes"] |= {"satisfactionLevel": level, "lastDone": {"createdAt": "2026-03-20T19:00:00.000Z"}}
    changes = {"attributes": {"status": {"op": "replace", "before": "open", "after": "done"}}}
    return event(resource, verb, id=f"{n:024x}", changes=changes)


def _places(document: Any) -> list[tuple[Any, Any]]:
    """Return every place of a document, as its container and the key within."""
    places: list[tuple[Any, Any]] = []
    queue = [document]
    while queue:
        container = queue.pop()
        for key in container if isinstance(container, dict) else range(len(container)):
            places.append((container, key))
            if isinstance(container[key], dict | list):
                queue.append(container[key])
    return places


def swap_types(rng: random.Random, document: dict[str, Any]) -> None:
    """Replace some values by odd ones."""
    for _ in range(rng.randint(1, 3)):
        places = _places(document)
        if places:
            container, key = rng.choice(places)
            container[key] = copy.deepcopy(rng.choice(ODD_VALUES))


def _flip(rng: random.Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        flipped[rng.randrange(len(flipped))] = rng.randrange(256)
    return bytes(flipped)


def _truncate(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body))]


def _insert(rng: random.Random, body: bytes) -> bytes:
    at = rng.randrange(len(body))
    return body[:at] + rng.choice(ODD_BYTES) + body[at:]


def _corrupt_text(rng: random.Random, body: bytes) -> bytes:
    """Insert bytes into a string, so that the document stays whole."""
    quotes = [at for at, byte in enumerate(body) if byte == ord('"')]
    at = rng.choice(quotes) + 1
    return body[:at] + rng.choice(ODD_BYTES[:4]) + body[at:]


def _number(rng: random.Random, body: bytes) -> bytes:
    return body.replace(b"null", rng.choice(ODD_BYTES[5:10])).replace(b"true", rng.choice(ODD_BYTES[5:10]), 1)


def _nest(rng: random.Random, body: bytes) -> bytes:
    depth = rng.choice((50, 500, 990, 3000))
    return body.replace(b'"persist": true', b'"persist": ' + b"[" * depth + b"]" * depth)


def _enlarge(rng: random.Random, body: bytes) -> bytes:
    size = rng.choice((900_000, 1_000_000, 1_100_000))
    return body.replace(b'"Where is my order?"', b'"' + b"y" * size + b'"').replace(
        b'"Riga"', b'"' + b"z" * size + b'"'
    )


def _duplicate_member(rng: random.Random, body: bytes) -> bytes:
    name = rng.choice((b"id", b"name", b"data", b"attributes", b"createdAt", b"rev"))
    return body.replace(b'"' + name + b'": ', b'"' + name + b'": null, "' + name + b'": ', 1)


def _another_document(rng: random.Random, body: bytes) -> bytes:
    return rng.choice((b"", b" ", b"null", b"[]", b'"x"', b"7", b"[" + body + b"]", body + body, b"\x1f\x8b" + body))


BYTES: dict[str, Mutation] = {
    "flip": _flip,
    "truncate": _truncate,
    "insert": _insert,
    "text": _corrupt_text,
    "number": _number,
    "deep": _nest,
    "duplicate": _duplicate_member,
    "document": _another_document,
    "large": _enlarge,
}
LARGE_SHARE = 0.002
"""A megabyte each; few, to save time."""


def mutate(rng: random.Random, n: int) -> tuple[str, bytes]:
    """Make the ``n``-th body; returns the kind of mutation with it."""
    document = valid_webhook(rng, n)
    if rng.random() < 0.45:
        swap_types(rng, document)
        return "type", json.dumps(document).encode()
    kinds = [kind for kind in BYTES if kind != "large"]
    kind = "large" if rng.random() < LARGE_SHARE else rng.choice(kinds)
    return kind, BYTES[kind](rng, json.dumps(document).encode())
