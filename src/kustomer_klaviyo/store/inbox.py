"""Landing one: events as received, durable before they are acknowledged, kept for look-up until they expire."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database

LAND = """
-- All events of one group in one statement, which is one commit; a known event is not an error.
-- Sent in binary (%%b): as text, each body would be written out in hexadecimal and quoted.
WITH landed AS (
    INSERT INTO inbox (connection_id, event_id, name, conversation_id, customer_id, body, received_at)
    SELECT * FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::timestamptz[])
    ON CONFLICT (connection_id, event_id) DO NOTHING
    RETURNING connection_id
)
SELECT pg_notify('work', connection_id), events FROM (
    SELECT connection_id, count(*) AS events FROM landed GROUP BY connection_id) AS woken
"""

LAND_NAMESAKES = """
-- Another event under an id that is taken is kept under an id of its own: what is signed is never thrown away.
WITH landed AS (
    INSERT INTO inbox (connection_id, event_id, name, conversation_id, customer_id, body, received_at)
    SELECT connection_id, event_id || '-' || md5(new.body), new.name, new.conversation_id, new.customer_id, new.body,
           new.received_at
    FROM unnest(%b::text[], %b::text[], %b::text[], %b::text[], %b::text[], %b::bytea[], %b::timestamptz[])
         AS new (connection_id, event_id, name, conversation_id, customer_id, body, received_at)
         JOIN inbox USING (connection_id, event_id)
    WHERE inbox.body <> new.body
    ON CONFLICT (connection_id, event_id) DO NOTHING
    RETURNING connection_id
)
SELECT pg_notify('work', connection_id) FROM (SELECT DISTINCT connection_id FROM landed) AS woken
"""

KEEP = """
-- An event that could not be read at the door, as it came; a known one is not an error.
INSERT INTO inbox (connection_id, event_id, name, conversation_id, customer_id, body, whole_size, whole_digest, error)
VALUES (%(connection_id)s, %(event_id)s, %(name)s, %(conversation_id)s, %(customer_id)s, %(body)s, %(whole_size)s,
        %(whole_digest)s, %(error)s)
ON CONFLICT (connection_id, event_id) DO NOTHING
"""

WAITING = """
-- What is to be understood next, in the order of arrival.
SELECT event_id, seq, name, body, received_at, whole_size FROM inbox
WHERE connection_id = %s AND state = 'waiting' ORDER BY seq LIMIT %s
"""

UNDERSTOOD = """
-- The events have become facts, or were found to tell nothing new.
UPDATE inbox SET state = CASE WHEN told.failed THEN 'failed' ELSE 'understood' END, note = told.note,
    reason = told.reason, error = coalesce(told.error, inbox.error)
FROM unnest(%s::text[], %s::text[], %s::boolean[], %s::text[], %s::text[])
     AS told (event_id, note, failed, reason, error)
WHERE inbox.connection_id = %s AND inbox.event_id = told.event_id
"""

REPLAY = """
-- What could not be processed is tried again.
UPDATE inbox SET state = 'waiting', note = NULL, reason = NULL, error = NULL
WHERE connection_id = %s AND state = 'failed'
"""

PURGE = """
-- Understood events are kept for look-up only so long; what is waiting or failed stays.
DELETE FROM inbox WHERE connection_id = %s AND state = 'understood' AND received_at < now() - make_interval(days => %s)
"""


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is not yet durable."""

    connection_id: str
    event_id: str
    name: str
    conversation_id: str | None
    customer_id: str | None
    body: bytes
    received_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadEvent:
    """An event that could not be read at the door and is not yet durable."""

    connection_id: str
    event_id: str
    name: str
    conversation_id: str | None
    customer_id: str | None
    body: bytes
    whole_size: int | None
    """Bytes, of a body too large to keep: ``body`` is its beginning."""
    whole_digest: str | None
    error: str | None
    """The traceback of a fault of ours."""


@dataclass(frozen=True, slots=True)
class WaitingEvent:
    """A durable event that is to be understood."""

    event_id: str
    name: str
    body: bytes
    received_at: datetime
    whole_size: int | None = None
    """Bytes, of a body too large to keep: ``body`` is its beginning."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of an event: a note for the admin, or why it could not be understood."""

    event_id: str
    note: str
    failed: bool = False
    reason: str | None = None
    """The code of why it was not processed as it came."""
    error: str | None = None
    """The traceback of a fault of ours."""


async def land(connection: AsyncConnection[DictRow], events: Sequence[NewEvent]) -> None:
    """Make a group of events durable and wake who waits for them."""
    columns: list[list[Any]] = [
        [event.connection_id for event in events],
        [event.event_id for event in events],
        [event.name for event in events],
        [event.conversation_id for event in events],
        [event.customer_id for event in events],
        [event.body for event in events],
        [event.received_at for event in events],
    ]
    woken = await (await connection.execute(LAND, columns)).fetchall()
    if sum(row["events"] for row in woken) < len(events):
        await connection.execute(LAND_NAMESAKES, columns)


async def keep(database: Database, event: UnreadEvent) -> None:
    """Make an event durable that could not be read, and wake who waits for it."""
    async with database.transaction() as connection:
        await connection.execute(KEEP, {field.name: getattr(event, field.name) for field in fields(event)})
        await connection.execute("SELECT pg_notify('work', %s)", (event.connection_id,))


async def waiting(database: Database, connection_id: str, limit: int) -> list[WaitingEvent]:
    """Return the oldest events that are still to be understood."""
    rows = await database.fetch(WAITING, (connection_id, limit))
    return [
        WaitingEvent(row["event_id"], row["name"], bytes(row["body"]), row["received_at"], row["whole_size"])
        for row in rows
    ]


async def mark_understood(
    connection: AsyncConnection[DictRow], connection_id: str, readings: Sequence[Reading]
) -> None:
    """Note what became of each event."""
    columns: tuple[list[Any], ...] = (
        [one.event_id for one in readings],
        [one.note for one in readings],
        [one.failed for one in readings],
        [one.reason for one in readings],
        [one.error for one in readings],
    )
    await connection.execute(UNDERSTOOD, (*columns, connection_id))


async def purge(database: Database, connection_id: str, *, days: int) -> int:
    """Forget events understood long ago; returns how many."""
    return await database.execute(PURGE, (connection_id, days))


async def replay_failed(connection: AsyncConnection[DictRow], connection_id: str) -> int:
    """Let events that could not be understood be read again; returns how many."""
    return (await connection.execute(REPLAY, (connection_id,))).rowcount
