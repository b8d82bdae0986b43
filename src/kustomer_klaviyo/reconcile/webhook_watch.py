"""Looks now and then whether Kustomer still sends webhooks: it switches off one whose deliveries fail for long.

Switching off: developer.kustomer.com/docs/events/outbound-webhooks
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec
import structlog

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.wire import as_object
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused
from kustomer_klaviyo.store import connection_status, lookups
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import DueQuestion, Kind, Question

WATCH = Question(Kind.WEBHOOK, "webhook")
WATCH_MINUTES = 5
"""One request each time."""

log = structlog.get_logger()


class WebhookState(StrEnum):
    """How our webhook in Kustomer stands."""

    ON = "on"
    OFF = "off"
    MISSING = "missing"


def read_state(outcome: Outcome) -> WebhookState | None:
    """Return what an answer says of the webhook; None when it says nothing, as to a key that may not read it."""
    match outcome:
        case Refused(status=404):
            return WebhookState.MISSING
        case Accepted(body=body):
            try:
                document = as_object(msgspec.json.decode(body))
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return None
            enabled = as_object(as_object(document.get("data")).get("attributes")).get("enabled")
            return {True: WebhookState.ON, False: WebhookState.OFF}.get(enabled) if isinstance(enabled, bool) else None
        case _:
            return None


class WebhookWatch:
    """Looks after one connection's webhook."""

    def __init__(self, database: Database, joined: Joined, client: KustomerClient) -> None:
        self._database = database
        self._connection = joined.connection
        self._client = client

    async def look(self, question: DueQuestion) -> None:
        """Ask once, keep what is said, and plan the next time."""
        webhook_id = self._connection.webhook_id
        state = None if webhook_id is None else read_state(await self._client.webhook(webhook_id))
        if state in (WebhookState.OFF, WebhookState.MISSING):
            log.warning("webhook.not_sending", connection=self._connection.id, state=state)
        next_at = datetime.now(UTC) + timedelta(minutes=WATCH_MINUTES)
        async with self._database.transaction() as db:
            if state is not None:
                await connection_status.note_webhook(db, self._connection.id, state)
            await lookups.again(db, self._connection.id, question, due_at=next_at)
