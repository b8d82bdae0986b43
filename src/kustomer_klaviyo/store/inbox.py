"""The inbox (commit 1): webhook events as received. They are durable before they are acknowledged."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum

from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.row_columns import RowColumns


class InboxState(StrEnum):
    """The state of an event in the inbox."""

    PENDING = "pending"
    PROCESSED = "processed"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is not yet durable."""

    connection_id: str
    event_id: str
    event_name: str
    conversation_id: str | None
    customer_id: str | None
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableEvent:
    """An event that the receiver could not read and that is not yet durable."""

    connection_id: str
    event_id: str
    event_name: str
    conversation_id: str | None
    customer_id: str | None
    body: bytes
    full_size: int | None
    """The size in bytes of a body that is too large to store: ``body`` is its beginning."""
    full_digest: str | None
    error_traceback: str | None
    """The traceback of an error of this program."""


@dataclass(frozen=True, slots=True)
class InboxEvent:
    """A durable event that waits to be processed."""

    event_id: str
    event_name: str
    body: bytes
    received_at: datetime
    full_size: int | None = None
    """The size in bytes of a body that is too large to store: ``body`` is its beginning."""


@dataclass(frozen=True, slots=True)
class EventResult:
    """The result of processing an event: what it led to, or why it failed."""

    event_id: str
    note: str
    state: InboxState = InboxState.PROCESSED
    reason: str | None = None
    """The code of why the event was not processed as received."""
    error_traceback: str | None = None
    """The traceback of an error of this program."""


_NEW_EVENTS = RowColumns(NewEvent)
_RESULTS = RowColumns(EventResult)

INSERT = _NEW_EVENTS.sql("""
-- All events of one group in one statement, which is one commit; a known event is not an error.
WITH inserted AS (
    INSERT INTO inbox ({columns})
    SELECT {values} FROM {rows}
    ON CONFLICT (connection_id, event_id) DO NOTHING
    RETURNING connection_id
)
SELECT pg_notify('work', connection_id), events FROM (
    SELECT connection_id, count(*) AS events FROM inserted GROUP BY connection_id) AS notified
""")

INSERT_ID_COLLISIONS = _NEW_EVENTS.sql("""
-- A different event with a known id gets an id of its own: no signed event is lost.
WITH inserted AS (
    INSERT INTO inbox ({columns})
    SELECT connection_id, event_id || '-' || md5(new.body), new.event_name, new.conversation_id, new.customer_id,
           new.body, new.received_at
    FROM {rows} JOIN inbox USING (connection_id, event_id)
    WHERE inbox.body <> new.body
    ON CONFLICT (connection_id, event_id) DO NOTHING
    RETURNING connection_id
)
SELECT pg_notify('work', connection_id) FROM (SELECT DISTINCT connection_id FROM inserted) AS notified
""")

INSERT_UNREADABLE = """
-- An event that the receiver could not read, as received; a known event is not an error.
INSERT INTO inbox (connection_id, event_id, event_name, conversation_id, customer_id, body, full_size, full_digest,
                   error_traceback)
VALUES (%(connection_id)s, %(event_id)s, %(event_name)s, %(conversation_id)s, %(customer_id)s, %(body)s, %(full_size)s,
        %(full_digest)s, %(error_traceback)s)
ON CONFLICT (connection_id, event_id) DO NOTHING
"""

PENDING = """
-- The events to process next, in the order of their arrival.
SELECT event_id, seq, event_name, body, received_at, full_size FROM inbox
WHERE connection_id = %s AND state = 'pending' ORDER BY seq LIMIT %s
"""

SAVE_RESULTS = _RESULTS.sql("""
-- Events that were processed, or failed.
UPDATE inbox SET state = new.state, note = new.note, reason = new.reason,
    error_traceback = coalesce(new.error_traceback, inbox.error_traceback)
FROM {rows}
WHERE inbox.connection_id = %(connection_id)s AND inbox.event_id = new.event_id
""")

RETRY_FAILED = """
-- Failed events become pending again.
UPDATE inbox SET state = 'pending', note = NULL, reason = NULL, error_traceback = NULL
WHERE connection_id = %s AND state = 'failed'
"""

DELETE_EXPIRED = """
-- Processed events are stored for a limited time; pending and failed ones stay.
DELETE FROM inbox WHERE connection_id = %s AND state = 'processed' AND received_at < now() - make_interval(days => %s)
"""


async def insert(tx: Transaction, events: Sequence[NewEvent]) -> None:
    """Make a group of events durable and notify the workers."""
    params = _NEW_EVENTS.params(events)
    inserted = await (await tx.execute(INSERT, params)).fetchall()
    if sum(row["events"] for row in inserted) < len(events):
        await tx.execute(INSERT_ID_COLLISIONS, params)


async def insert_unreadable(db: Database, event: UnreadableEvent) -> None:
    """Make an unreadable event durable and notify the workers."""
    async with db.transaction() as tx:
        await tx.execute(INSERT_UNREADABLE, {field.name: getattr(event, field.name) for field in fields(event)})
        await tx.execute("SELECT pg_notify('work', %s)", (event.connection_id,))


async def pending(db: Database, connection_id: str, limit: int) -> list[InboxEvent]:
    """Return the oldest pending events."""
    rows = await db.fetch(PENDING, (connection_id, limit))
    return [
        InboxEvent(row["event_id"], row["event_name"], bytes(row["body"]), row["received_at"], row["full_size"])
        for row in rows
    ]


async def save_results(tx: Transaction, connection_id: str, results: Sequence[EventResult]) -> None:
    """Save the result of each event."""
    await tx.execute(SAVE_RESULTS, _RESULTS.params(results) | {"connection_id": connection_id})


async def delete_expired(db: Database, connection_id: str, *, days: int) -> int:
    """Delete events that were received and processed long ago; returns how many."""
    return await db.execute(DELETE_EXPIRED, (connection_id, days))


async def retry_failed(tx: Transaction, connection_id: str) -> int:
    """Queue failed events for another attempt; returns how many."""
    return (await tx.execute(RETRY_FAILED, (connection_id,))).rowcount
