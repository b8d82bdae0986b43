"""Bulk imports of profiles that Klaviyo is working on, and the deliveries each carries."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database

ADD = "INSERT INTO imports (connection_id, id, profiles, poll_at) VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING"

CARRY = """
-- The deliveries go with the import; events of people who are new to Klaviyo wait for its end, but not for ever.
UPDATE deliveries SET import = %s, due_at = CASE WHEN leads THEN %s ELSE due_at END,
    first_attempt_at = coalesce(first_attempt_at, now())
WHERE connection_id = %s AND key = ANY(%s::text[]) AND state = 'waiting'
"""

DUE = "SELECT id, polls, submitted_at FROM imports WHERE connection_id = %s AND poll_at <= now() ORDER BY poll_at"
NEXT_DUE = "SELECT min(poll_at) AS poll_at FROM imports WHERE connection_id = %s"
LATER = "UPDATE imports SET polls = polls + 1, poll_at = %s WHERE connection_id = %s AND id = %s"
END = "DELETE FROM imports WHERE connection_id = %s AND id = %s"

CARRIED = """
-- What an import carries, in order.
SELECT key, subject, attempts, first_attempt_at, call, true AS is_profile FROM deliveries
WHERE connection_id = %s AND import = %s AND state = 'waiting' ORDER BY seq
"""


CALLS = "SELECT import, call FROM deliveries WHERE connection_id = %s AND import IS NOT NULL AND state = 'waiting'"
IDS = "SELECT id FROM imports WHERE connection_id = %s"


@dataclass(frozen=True, slots=True)
class DueImport:
    """An import to be asked about."""

    id: str
    polls: int
    submitted_at: datetime


async def begin(
    connection: AsyncConnection[DictRow],
    connection_id: str,
    import_id: str,
    keys: Sequence[str],
    *,
    poll_at: datetime,
    hold_until: datetime,
) -> None:
    """Note that an import carries these deliveries; until ``hold_until`` it holds back the events of new people."""
    await connection.execute(ADD, (connection_id, import_id, len(keys), poll_at))
    await connection.execute(CARRY, (import_id, hold_until, connection_id, list(keys)))


async def due(database: Database, connection_id: str) -> list[DueImport]:
    """Return the imports to be asked about now."""
    rows = await database.fetch(DUE, (connection_id,))
    return [DueImport(row["id"], row["polls"], row["submitted_at"]) for row in rows]


async def next_due(database: Database, connection_id: str) -> datetime | None:
    """Return when the next import is to be asked about; None when there is none."""
    rows = await database.fetch(NEXT_DUE, (connection_id,))
    poll_at: datetime | None = rows[0]["poll_at"]
    return poll_at


async def later(database: Database, connection_id: str, import_id: str, *, poll_at: datetime) -> None:
    """Ask again at the given time."""
    await database.execute(LATER, (poll_at, connection_id, import_id))


async def end(connection: AsyncConnection[DictRow], connection_id: str, import_id: str) -> None:
    """Forget an import whose deliveries are settled."""
    await connection.execute(END, (connection_id, import_id))


async def carried(database: Database, connection_id: str, import_id: str) -> list[DictRow]:
    """Return key, subject, attempts, first_attempt_at and call of what an import carries."""
    return await database.fetch(CARRIED, (connection_id, import_id))


async def calls(database: Database, connection_id: str) -> list[DictRow]:
    """Return import and call of all that is carried by imports under way."""
    return await database.fetch(CALLS, (connection_id,))


async def ids(database: Database, connection_id: str) -> set[str]:
    """Return the imports under way."""
    return {row["id"] for row in await database.fetch(IDS, (connection_id,))}
