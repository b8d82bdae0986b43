"""Webhooks of the size and mix that a support team causes, signed and ready to be sent."""

import copy
import hmac
import itertools
from collections import deque
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.sandbox.kustomer.model.documents import moment, new_conversation, new_customer

TOKEN = "bench-token"
CARD_SECRET = "bench-card-secret"
CUSTOMERS = 2000
LATER = 50
"""Conversations that begin before an earlier one is updated."""

_numbers = itertools.count(1)


def _id(kind: int, number: int) -> str:
    return f"{kind:04x}{number:020x}"


def _signed(document: dict[str, Any], path: str) -> bytes:
    body = msgspec.json.encode(document)
    signature = hmac.digest(TOKEN.encode(), body, "sha256").hex()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
        f"X-Kustomer-Webhook-Signature: {signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _envelope(resource: dict[str, Any], verb: str) -> dict[str, Any]:
    return {
        "id": _id(0xE, next(_numbers)),
        "name": f"kustomer.{resource['type']}.{verb}",
        "org": _id(0, 0),
        "data": resource,
        "createdAt": moment(datetime.now(UTC).timestamp()),
        "persist": True,
        "client": "api-gw",
        "meta": {"customChanged": False},
    }


def customers(path: str) -> list[bytes]:
    """Introduce the customers, so that conversations have someone to belong to."""
    now = moment(datetime.now(UTC).timestamp())
    return [_signed(_envelope(_customer(number, now), "create"), path) for number in range(CUSTOMERS)]


def people(start: int, count: int, path: str) -> list[bytes]:
    """Introduce more customers, each with names and address of their own."""
    now = moment(datetime.now(UTC).timestamp())
    return [_signed(_envelope(_customer(number, now), "create"), path) for number in range(start, start + count)]


def _customer(number: int, now: str) -> dict[str, Any]:
    given = {
        "name": f"Person {number}",
        "emails": [{"type": "home", "email": f"p{number}@lanternpost.example", "verified": True}],
    }
    return new_customer(_id(0xC, number), _id(0, 0), now, given)


def customer_id(number: int) -> str:
    """Return the id of one of the people."""
    return _id(0xC, number)


def written(number: int, path: str) -> bytes:
    """Let one of the people write: by turns a new conversation, and a message in one that began an hour ago."""
    now = datetime.now(UTC)
    is_new = number % 2 == 0
    began = now if is_new else now - timedelta(hours=1)
    last = {"lastMessageIn": {"id": _id(0xD, number), "channel": "email", "createdAt": moment(now.timestamp())}}
    given = {"name": "Where is it?", "rev": 1 if is_new else 7} | last
    conversation = new_conversation(_id(0xB, number), _id(0, 0), customer_id(number), moment(began.timestamp()), given)
    return _signed(_envelope(_filled(conversation), "create" if is_new else "update"), path)


def conversations(count: int, path: str, *, noise: float) -> list[bytes]:
    """Return webhooks of which the given part tells nothing new: later updates of conversations and customers.

    Such an update comes a while after the conversation began, as in life, and not in the same instant.
    """
    requests: list[bytes] = []
    began: deque[tuple[dict[str, Any], int]] = deque(maxlen=LATER)
    updates = round(noise / (1 - noise))
    while len(requests) < count:
        number = next(_numbers)
        at = datetime.now(UTC) + timedelta(milliseconds=number)
        conversation = new_conversation(
            _id(0xA, number), _id(0, 0), _id(0xC, number % CUSTOMERS), moment(at.timestamp()), {"name": "Where is it?"}
        )
        requests.append(_signed(_envelope(_filled(conversation), "create"), path))
        began.append((conversation, number))
        if len(began) == LATER:
            requests += [_signed(_noise(*began[0], rev), path) for rev in range(updates)]
    return requests[:count]


def _noise(conversation: dict[str, Any], number: int, rev: int) -> dict[str, Any]:
    """Two of three are updates of the conversation, one is a customer's activity."""
    if rev % 3 == 2:
        customer = _customer(number % CUSTOMERS, moment(datetime.now(UTC).timestamp()))
        customer["attributes"]["rev"] = number + rev
        return _envelope(customer, "update")
    changed = copy.deepcopy(_filled(conversation))
    changed["attributes"] |= {"rev": rev + 2, "tags": [_id(0xF, rev)]}
    changes = {"attributes": {"tags": {"op": "replace", "before": [], "after": [_id(0xF, rev)]}}, "relationships": {}}
    return _envelope(changed, "update") | {"changes": changes}


def _filled(conversation: dict[str, Any]) -> dict[str, Any]:
    """Bring the document to the size that such webhooks have."""
    conversation["attributes"]["custom"] = {f"field{n}Str": "x" * 40 for n in range(30)}
    return conversation
