"""Loops that keep failing, so that every process can tell of them."""

from typing import Any

from kustomer_klaviyo.store.database import Database

FAILED = """
-- A loop failed, once more or anew: what was long ago is another story.
INSERT INTO loop_failures AS kept (connection_id, loop, code, message, error) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (connection_id, loop) DO UPDATE SET
    failures = CASE WHEN kept.last_at < now() - interval '1 hour' THEN 1 ELSE kept.failures + 1 END,
    since = CASE WHEN kept.last_at < now() - interval '1 hour' THEN now() ELSE kept.since END,
    last_at = now(), code = excluded.code, message = excluded.message, error = excluded.error
"""

WORKS = "DELETE FROM loop_failures WHERE connection_id = %s AND loop = %s"

FAILING = """
-- What fails now: every loop that fails is tried again within minutes, unless its process is no more.
SELECT connection_id, loop, failures, since, last_at, code, message, error FROM loop_failures
WHERE last_at > now() - interval '15 minutes' ORDER BY connection_id, since
"""


async def failed(database: Database, connection_id: str, loop: str, *, code: str, message: str, error: str) -> None:
    """Note that a loop failed."""
    await database.execute(FAILED, (connection_id, loop, code, message, error))


async def works(database: Database, connection_id: str, loop: str) -> None:
    """Note that a loop works."""
    await database.execute(WORKS, (connection_id, loop))


async def failing(database: Database) -> list[dict[str, Any]]:
    """Return what fails now; loops of the program have an empty connection."""
    return await database.fetch(FAILING)
