"""How the delivery of each connection fares: running, waiting a while, or paused until someone acts."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database

GET = "SELECT * FROM delivery_lanes WHERE connection_id = %s"

WAIT = """
-- Nothing of this connection is sent before the given time.
UPDATE delivery_lanes SET paused = %s, wait_until = %s, reason = %s, failures = failures + 1 WHERE connection_id = %s
"""

ACCEPTED = """
-- Klaviyo took something: whatever was wrong is over.
UPDATE delivery_lanes SET paused = false, wait_until = NULL, reason = NULL, failures = 0, last_accepted_at = now()
WHERE connection_id = %s
"""

DUE = """
-- Connections with work that nothing holds back.
SELECT lane.connection_id FROM delivery_lanes AS lane
WHERE EXISTS (SELECT FROM inbox WHERE inbox.connection_id = lane.connection_id AND inbox.state = 'waiting')
   OR EXISTS (SELECT FROM lookups WHERE lookups.connection_id = lane.connection_id AND lookups.due_at <= now())
   OR (coalesce(lane.wait_until, '-infinity') <= now() AND EXISTS (
        SELECT FROM deliveries AS d
        WHERE d.connection_id = lane.connection_id AND d.state = 'waiting' AND d.due_at <= now()))
"""


@dataclass(frozen=True, slots=True)
class Lane:
    """The standing of one connection's delivery."""

    paused: bool
    """Klaviyo does not let us in; someone must act."""
    wait_until: datetime | None
    reason: str | None
    failures: int
    """Failures in a row."""
    last_accepted_at: datetime | None


async def get(database: Database, connection_id: str) -> Lane:
    """Return how a connection's delivery fares."""
    rows: list[dict[str, Any]] = await database.fetch(GET, (connection_id,))
    if not rows:
        return Lane(paused=False, wait_until=None, reason=None, failures=0, last_accepted_at=None)
    row = rows[0]
    return Lane(row["paused"], row["wait_until"], row["reason"], row["failures"], row["last_accepted_at"])


async def hold(
    connection: AsyncConnection[DictRow], connection_id: str, *, until: datetime, reason: str, paused: bool
) -> None:
    """Send nothing of this connection until then."""
    await connection.execute(WAIT, (paused, until, reason, connection_id))


async def accepted(connection: AsyncConnection[DictRow], connection_id: str) -> None:
    """Note that Klaviyo took something."""
    await connection.execute(ACCEPTED, (connection_id,))


async def with_work(database: Database) -> list[str]:
    """Return the connections that have something to do now."""
    return [row["connection_id"] for row in await database.fetch(DUE)]
