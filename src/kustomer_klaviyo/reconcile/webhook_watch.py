"""Checks at intervals whether Kustomer still sends webhooks: it switches off a webhook that fails for long.

Switching off: developer.kustomer.com/docs/events/outbound-webhooks
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec
import structlog

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.jsonapi import as_object
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused
from kustomer_klaviyo.store import connection_status, lookups
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import DueLookup, Lookup, LookupKind

WEBHOOK_LOOKUP = Lookup(LookupKind.WEBHOOK, "webhook")
CHECK_INTERVAL = timedelta(minutes=5)
"""Each check is one request."""

log = structlog.get_logger()


class WebhookState(StrEnum):
    """The state of the webhook in Kustomer."""

    ON = "on"
    OFF = "off"
    MISSING = "missing"


def read_state(outcome: Outcome) -> WebhookState | None:
    """Return the state of the webhook; None if the outcome does not tell, as when the key may not read webhooks."""
    match outcome:
        case Refused(status=404):
            return WebhookState.MISSING
        case Accepted(body=body):
            return _read_enabled(body)
        case _:
            return None


def _read_enabled(body: bytes) -> WebhookState | None:
    try:
        document = as_object(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    enabled = as_object(as_object(document.get("data")).get("attributes")).get("enabled")
    if not isinstance(enabled, bool):
        return None
    return WebhookState.ON if enabled else WebhookState.OFF


class WebhookWatch:
    """Checks one connection's webhook."""

    def __init__(self, db: Database, context: ConnectionContext, client: KustomerClient) -> None:
        self._db = db
        self._connection = context.connection
        self._client = client

    async def check(self, lookup: DueLookup) -> None:
        """Read the webhook's state, store it, and schedule the next check."""
        webhook_id = self._connection.webhook_id
        state = None if webhook_id is None else read_state(await self._client.webhook(webhook_id))
        if state in (WebhookState.OFF, WebhookState.MISSING):
            log.warning("webhook.not_sending", connection=self._connection.id, state=state)
        async with self._db.transaction() as tx:
            if state is not None:
                await connection_status.set_webhook_state(tx, self._connection.id, state)
            await lookups.repeat(tx, self._connection.id, lookup, due_at=datetime.now(UTC) + CHECK_INTERVAL)
