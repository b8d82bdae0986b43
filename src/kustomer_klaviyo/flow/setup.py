"""Connecting two accounts: what the vendors' answers during set-up mean, and the one webhook that is ours."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.interpret import WANTED_EVENTS
from kustomer_klaviyo.kustomer.wire import as_id, as_list, as_object, as_text
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome

WEBHOOK_NAME = "Klaviyo (kustomer-klaviyo)"
MOST_TOKENS = 3
"""Tokens accepted at a time: the current one, and those it replaces while deliveries signed with them are under way."""


class SetupError(Exception):
    """A vendor did not agree; the text says who, what they said, and what to do."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Our outbound webhook in Kustomer."""

    id: str
    token: str
    was_found: bool
    """It was there already, and is used again."""


def answer_of(outcome: Outcome, *, asking: str) -> dict[str, Any]:
    """Return the JSON object of an accepted answer. Raises SetupError with the vendor's words otherwise."""
    match outcome:
        case Accepted(body=body):
            return as_object(msgspec.json.decode(body)) if body else {}
        case LockedOut(status=status, detail=detail):
            raise SetupError(f"{asking}: the key is refused ({status}: {detail}). Check the key and its permissions.")
        case _:
            raise SetupError(f"{asking}: {outcome.detail}")


async def ensure_webhook(client: KustomerClient, url: str) -> Webhook:
    """Find our webhook by its address, or create it; one that Kustomer switched off is replaced."""
    listed = answer_of(await client.webhooks(), asking="Listing the Kustomer webhooks")
    for resource in map(as_object, as_list(listed.get("data"))):
        attributes, webhook_id = as_object(resource.get("attributes")), as_id(resource.get("id"))
        if attributes.get("url") != url or webhook_id is None:
            continue
        if attributes.get("enabled") is not False:
            return Webhook(webhook_id, await _token(client, webhook_id), was_found=True)
        answer_of(await client.delete_webhook(webhook_id), asking="Replacing the switched-off Kustomer webhook")
    made = answer_of(
        await client.create_webhook(name=WEBHOOK_NAME, url=url, events=WANTED_EVENTS),
        asking="Creating the Kustomer webhook",
    )
    resource = as_object(made.get("data"))
    webhook_id = as_id(resource.get("id"))
    if webhook_id is None:
        raise SetupError("Creating the Kustomer webhook: the answer names no webhook. Look in Kustomer's settings.")
    token = as_text(as_object(resource.get("attributes")).get("token"))
    return Webhook(webhook_id, token or await _token(client, webhook_id), was_found=False)


async def _token(client: KustomerClient, webhook_id: str) -> str:
    document = answer_of(await client.webhook(webhook_id), asking="Reading the Kustomer webhook's token")
    token = as_text(as_object(as_object(document.get("data")).get("attributes")).get("token"))
    if token is None:
        raise SetupError("The Kustomer webhook shows no token: the key may not read it.")
    return token


def put_first(current: str, former: Sequence[str], *, most: int) -> tuple[str, ...]:
    """Make one secret the current one and keep the former ones behind it, without repeats."""
    return tuple(dict.fromkeys((current, *former)))[:most]
