"""The one webhook of a connection in Kustomer."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.kustomer.interpret import SUBSCRIBED_EVENTS
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.wire import as_id, as_text
from kustomer_klaviyo.setup.credentials import with_webhook_token
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode, VendorAction
from kustomer_klaviyo.setup.vendor_response import accepted_json
from kustomer_klaviyo.store.connections import Connection, Connections

WEBHOOK_NAME = "Klaviyo (kustomer-klaviyo)"


@dataclass(frozen=True, slots=True)
class Webhook:
    """An outbound webhook in Kustomer."""

    id: str
    token: str
    was_found: bool
    """The webhook existed already, and is reused."""


async def ensure_webhook(client: KustomerClient, url: str, *, previous_id: str | None = None) -> Webhook:
    """Find the webhook by its URL or create it, and delete the connection's other webhooks. Raises SetupError.

    A webhook that Kustomer disabled is replaced. ``previous_id`` is a webhook of this connection with another URL.
    """
    listed = accepted_json(await client.webhooks(), VendorAction.LIST_WEBHOOKS)
    webhooks = _attributes_by_id(listed)
    matching = [webhook_id for webhook_id, attributes in webhooks.items() if attributes.get("url") == url]
    disabled = [webhook_id for webhook_id in matching if webhooks[webhook_id].get("enabled") is False]
    enabled = [webhook_id for webhook_id in matching if webhook_id not in disabled]
    # Delete first: an organisation has few webhooks (help.kustomer.com/en_us/outbound-webhooks-rkUQvela8).
    await _delete(client, disabled, VendorAction.REPLACE_DISABLED_WEBHOOK)
    if enabled:
        webhook = Webhook(enabled[0], await _read_token(client, enabled[0]), was_found=True)
    else:
        webhook = await _create(client, url)
    previous = [webhook_id for webhook_id in webhooks if webhook_id == previous_id and webhook_id not in matching]
    await _delete(client, [*enabled[1:], *previous], VendorAction.DELETE_PREVIOUS_WEBHOOK)
    return webhook


def _attributes_by_id(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        webhook_id: as_object(resource.get("attributes"))
        for resource in map(as_object, as_list(document.get("data")))
        if (webhook_id := as_id(resource.get("id"))) is not None
    }


async def _delete(client: KustomerClient, webhook_ids: list[str], action: VendorAction) -> None:
    for webhook_id in webhook_ids:
        accepted_json(await client.delete_webhook(webhook_id), action)


async def _create(client: KustomerClient, url: str) -> Webhook:
    outcome = await client.create_webhook(name=WEBHOOK_NAME, url=url, events=SUBSCRIBED_EVENTS)
    resource = as_object(accepted_json(outcome, VendorAction.CREATE_WEBHOOK).get("data"))
    webhook_id = as_id(resource.get("id"))
    if webhook_id is None:
        raise SetupError(SetupErrorCode.WEBHOOK_ID_MISSING)
    token = as_text(as_object(resource.get("attributes")).get("token"))
    return Webhook(webhook_id, token or await _read_token(client, webhook_id), was_found=False)


async def _read_token(client: KustomerClient, webhook_id: str) -> str:
    document = accepted_json(await client.webhook(webhook_id), VendorAction.READ_WEBHOOK_TOKEN)
    token = as_text(as_object(as_object(document.get("data")).get("attributes")).get("token"))
    if token is None:
        raise SetupError(SetupErrorCode.WEBHOOK_TOKEN_HIDDEN)
    return token


@asynccontextmanager
async def saved_before_webhook(connections: Connections, draft: Connection) -> AsyncIterator[Connection]:
    """Save a new connection before its webhook is created, so that no process rejects the first event as unknown.

    The connection is discarded if the webhook cannot be created. A crash leaves it; the next set-up completes it.
    """
    if draft.version:
        yield draft
        return
    saved = await connections.save(draft)
    try:
        yield saved
    except SetupError:
        await connections.discard(saved)
        raise


async def with_webhook(client: KustomerClient, connection: Connection) -> tuple[Connection, bool]:
    """Return the connection with its webhook, and whether the webhook existed already. Raises SetupError."""
    webhook = await ensure_webhook(client, connection.webhook_url or "", previous_id=connection.webhook_id)
    secrets = with_webhook_token(connection.secrets, webhook.token)
    return replace(connection, webhook_id=webhook.id, secrets=secrets), webhook.was_found
