"""The position of each continuous scan, such as the sweep, by connection and name."""

from kustomer_klaviyo.store.database import Database, Transaction

PUT = """
INSERT INTO bookmarks (connection_id, name, value) VALUES (%s, %s, %s)
ON CONFLICT (connection_id, name) DO UPDATE SET value = excluded.value
"""


async def get(db: Database, connection_id: str, name: str) -> str | None:
    """Return a bookmark; None when there is none."""
    rows = await db.fetch("SELECT value FROM bookmarks WHERE connection_id = %s AND name = %s", (connection_id, name))
    return rows[0]["value"] if rows else None


async def put(tx: Transaction, connection_id: str, name: str, value: str) -> None:
    """Save a bookmark."""
    await tx.execute(PUT, (connection_id, name, value))
