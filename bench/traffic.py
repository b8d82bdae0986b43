"""Signed webhooks in the size and mix of a support team, ready to be sent."""

import copy
import hmac
import itertools
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.sandbox.kustomer.model.documents import format_time, new_conversation, new_customer

TOKEN = "bench-token"
CARD_SECRET = "bench-card-secret"
CUSTOMERS = 2000
UPDATE_LAG = 50
"""Number of conversations created before an earlier one is updated."""

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
        "createdAt": format_time(datetime.now(UTC).timestamp()),
        "persist": True,
        "client": "api-gw",
        "meta": {"customChanged": False},
    }


def customers(path: str, numbers: Iterable[int] = range(CUSTOMERS)) -> list[bytes]:
    """Return webhooks that create customers, each with its own name and email."""
    now = format_time(datetime.now(UTC).timestamp())
    return [_signed(_envelope(_customer(number, now), "create"), path) for number in numbers]


def _customer(number: int, now: str) -> dict[str, Any]:
    given = {
        "name": f"Person {number}",
        "emails": [{"type": "home", "email": email(number), "verified": True}],
    }
    return new_customer(_id(0xC, number), _id(0, 0), now, given)


def customer_id(number: int) -> str:
    """Return the id of a customer."""
    return _id(0xC, number)


def customer_writes(number: int, path: str) -> bytes:
    """Return a webhook of a customer who writes: alternately a new conversation, and a message in one an hour old."""
    now = datetime.now(UTC)
    is_new = number % 2 == 0
    began = now if is_new else now - timedelta(hours=1)
    last = {"lastMessageIn": {"id": _id(0xD, number), "channel": "email", "createdAt": format_time(now.timestamp())}}
    given = {"name": "Where is it?", "rev": 1 if is_new else 7} | last
    created_at = format_time(began.timestamp())
    conversation = new_conversation(_id(0xB, number), _id(0, 0), customer_id(number), created_at, given)
    return _signed(_envelope(_filled(conversation), "create" if is_new else "update"), path)


def conversations(
    count: int, path: str, *, unchanged: float = 0.0, people: Sequence[int] = range(CUSTOMERS)
) -> list[bytes]:
    """Return webhooks; the given share are unchanged updates of conversations and customers.

    As in practice, such an update comes some time after the conversation was created.
    """
    requests: list[bytes] = []
    began: deque[tuple[dict[str, Any], int]] = deque(maxlen=UPDATE_LAG)
    updates = round(unchanged / (1 - unchanged))
    while len(requests) < count:
        number = next(_numbers)
        owner = people[number % len(people)]
        conversation = _new_conversation(number, owner)
        requests.append(_signed(_envelope(conversation, "create"), path))
        began.append((conversation, owner))
        if len(began) == UPDATE_LAG:
            requests += [_signed(_unchanged_update(*began[0], rev), path) for rev in range(updates)]
    return requests[:count]


def new_conversations(count: int, path: str, *, people: Sequence[int] = range(CUSTOMERS)) -> dict[str, bytes]:
    """Return webhooks of new conversations, by the conversation's id."""
    return {
        conversation["id"]: _signed(_envelope(conversation, "create"), path)
        for conversation in (_new_conversation(n, people[n % len(people)]) for n in itertools.islice(_numbers, count))
    }


def conversation_id(number: int) -> str:
    """Return the id of a conversation."""
    return _id(0xA, number)


def email(number: int) -> str:
    """Return the address of a customer."""
    return f"p{number}@lanternpost.example"


def _new_conversation(number: int, owner: int) -> dict[str, Any]:
    created_at = format_time((datetime.now(UTC) + timedelta(milliseconds=number)).timestamp())
    return _filled(new_conversation(_id(0xA, number), _id(0, 0), _id(0xC, owner), created_at, {"name": "Where is it?"}))


def _unchanged_update(conversation: dict[str, Any], owner: int, rev: int) -> dict[str, Any]:
    """Two of three are updates of the conversation; the third is an activity of the customer."""
    if rev % 3 == 2:
        customer = _customer(owner, format_time(datetime.now(UTC).timestamp()))
        customer["attributes"]["rev"] = next(_numbers)
        return _envelope(customer, "update")
    changed = copy.deepcopy(conversation)
    changed["attributes"] |= {"rev": rev + 2, "tags": [_id(0xF, rev)]}
    changes = {"attributes": {"tags": {"op": "replace", "before": [], "after": [_id(0xF, rev)]}}, "relationships": {}}
    return _envelope(changed, "update") | {"changes": changes}


def _filled(conversation: dict[str, Any]) -> dict[str, Any]:
    """Bring the document to the size that such webhooks have."""
    conversation["attributes"]["custom"] = {f"field{n}Str": "x" * 40 for n in range(30)}
    return conversation
