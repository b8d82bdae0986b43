"""Klaviyo's bulk profile imports that have not ended, and the deliveries that each of them carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database, Transaction

INSERT = """
INSERT INTO bulk_imports (connection_id, bulk_import_id, profile_count, next_poll_at) VALUES (%s, %s, %s, %s)
ON CONFLICT DO NOTHING
"""

ASSIGN_DELIVERIES = """
-- The import carries the deliveries. Events of customers who are new to Klaviyo wait for its end, up to a limit.
UPDATE deliveries SET bulk_import_id = %s, due_at = CASE WHEN blocks_events THEN %s ELSE due_at END,
    first_attempt_at = coalesce(first_attempt_at, now())
WHERE connection_id = %s AND fact_key = ANY(%s::text[]) AND state = 'pending'
"""

DUE = """
SELECT bulk_import_id, poll_count, submitted_at FROM bulk_imports
WHERE connection_id = %s AND next_poll_at <= now() ORDER BY next_poll_at
"""
NEXT_DUE = "SELECT min(next_poll_at) AS next_poll_at FROM bulk_imports WHERE connection_id = %s"
RESCHEDULE = """
UPDATE bulk_imports SET poll_count = poll_count + 1, next_poll_at = %s WHERE connection_id = %s AND bulk_import_id = %s
"""
DELETE = "DELETE FROM bulk_imports WHERE connection_id = %s AND bulk_import_id = %s"

DELIVERIES = """
-- The deliveries of an import, in order.
SELECT fact_key, subject, attempts, first_attempt_at, request, true AS is_profile FROM deliveries
WHERE connection_id = %s AND bulk_import_id = %s AND state = 'pending' ORDER BY seq
"""

PENDING_REQUESTS = """
SELECT bulk_import_id, request FROM deliveries
WHERE connection_id = %s AND bulk_import_id IS NOT NULL AND state = 'pending'
"""
IDS = "SELECT bulk_import_id FROM bulk_imports WHERE connection_id = %s"


@dataclass(frozen=True, slots=True)
class DueBulkImport:
    """An import whose status is to be polled."""

    bulk_import_id: str
    poll_count: int
    submitted_at: datetime


async def insert(
    tx: Transaction,
    connection_id: str,
    bulk_import_id: str,
    fact_keys: Sequence[str],
    *,
    next_poll_at: datetime,
    events_wait_until: datetime,
) -> None:
    """Save that an import carries these deliveries. Events of new customers wait for it until ``events_wait_until``."""
    await tx.execute(INSERT, (connection_id, bulk_import_id, len(fact_keys), next_poll_at))
    await tx.execute(ASSIGN_DELIVERIES, (bulk_import_id, events_wait_until, connection_id, list(fact_keys)))


async def due(db: Database, connection_id: str) -> list[DueBulkImport]:
    """Return the imports to poll now."""
    return [DueBulkImport(**row) for row in await db.fetch(DUE, (connection_id,))]


async def next_due(db: Database, connection_id: str) -> datetime | None:
    """Return when the next import is to be polled; None when there is none."""
    rows = await db.fetch(NEXT_DUE, (connection_id,))
    next_poll_at: datetime | None = rows[0]["next_poll_at"]
    return next_poll_at


async def reschedule(db: Database, connection_id: str, bulk_import_id: str, *, next_poll_at: datetime) -> None:
    """Poll an import again at the given time."""
    await db.execute(RESCHEDULE, (next_poll_at, connection_id, bulk_import_id))


async def delete(tx: Transaction, connection_id: str, bulk_import_id: str) -> None:
    """Delete an import that has ended."""
    await tx.execute(DELETE, (connection_id, bulk_import_id))


async def deliveries(db: Database, connection_id: str, bulk_import_id: str) -> list[DictRow]:
    """Return fact_key, subject, attempts, first_attempt_at, request and is_profile of each delivery of an import."""
    return await db.fetch(DELIVERIES, (connection_id, bulk_import_id))


async def pending_requests(db: Database, connection_id: str) -> list[DictRow]:
    """Return bulk_import_id and request of each delivery that an import carries."""
    return await db.fetch(PENDING_REQUESTS, (connection_id,))


async def ids(db: Database, connection_id: str) -> set[str]:
    """Return the ids of the imports that have not ended."""
    return {row["bulk_import_id"] for row in await db.fetch(IDS, (connection_id,))}
