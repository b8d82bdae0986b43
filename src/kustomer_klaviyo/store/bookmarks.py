"""How far something that goes on for ever has come, by connection and name."""

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database

PUT = """
-- The newest place replaces the former.
INSERT INTO bookmarks (connection_id, name, value) VALUES (%s, %s, %s)
ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value
"""


async def get(database: Database, connection_id: str, name: str) -> str | None:
    """Return a bookmark; None when none was put."""
    rows = await database.fetch(
        "SELECT value FROM bookmarks WHERE connection_id = %s AND name = %s", (connection_id, name)
    )
    return rows[0]["value"] if rows else None


async def put(connection: AsyncConnection[DictRow], connection_id: str, name: str, value: str) -> None:
    """Put a bookmark."""
    await connection.execute(PUT, (connection_id, name, value))
