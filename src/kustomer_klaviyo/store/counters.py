"""Counts of received events that needed no row of their own."""

from collections.abc import Mapping

from kustomer_klaviyo.store.database import Database

INCREMENT = """
-- In one order everywhere, so that two writers never deadlock.
INSERT INTO counters (connection_id, name, count)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS new (connection_id, name, count) ORDER BY 1, 2
ON CONFLICT (connection_id, name) DO UPDATE SET count = counters.count + excluded.count
"""


async def increment(db: Database, counts: Mapping[tuple[str, str], int]) -> None:
    """Add counts to the counters, by (connection, name)."""
    columns = (
        [connection_id for connection_id, _ in counts],
        [name for _, name in counts],
        list(counts.values()),
    )
    await db.execute(INCREMENT, columns)


async def load(db: Database, connection_id: str) -> dict[str, int]:
    """Return the counters of a connection."""
    rows = await db.fetch("SELECT name, count FROM counters WHERE connection_id = %s", (connection_id,))
    return {row["name"]: row["count"] for row in rows}
