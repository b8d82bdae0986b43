"""Counts of what was received and needed no row of its own."""

from collections.abc import Mapping

from kustomer_klaviyo.store.database import Database

ADD = """
-- Counters grow; connections and names in one order, so that two writers never wait for one another.
INSERT INTO tallies (connection_id, name, count)
SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS news (connection_id, name, count) ORDER BY 1, 2
ON CONFLICT (connection_id, name) DO UPDATE SET count = tallies.count + excluded.count
"""


async def add(database: Database, counts: Mapping[tuple[str, str], int]) -> None:
    """Add to the counters, by (connection, name)."""
    pairs = list(counts)
    columns = ([pair[0] for pair in pairs], [pair[1] for pair in pairs], list(counts.values()))
    await database.execute(ADD, columns)


async def of(database: Database, connection_id: str) -> dict[str, int]:
    """Return the counters of one connection."""
    rows = await database.fetch("SELECT name, count FROM tallies WHERE connection_id = %s", (connection_id,))
    return {row["name"]: row["count"] for row in rows}
