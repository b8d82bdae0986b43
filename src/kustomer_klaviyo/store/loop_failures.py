"""Loops that fail, stored so that every process can report them."""

from collections.abc import Sequence
from typing import Any

from kustomer_klaviyo.store.database import Database

RECORD = """
-- Another failure of a loop. An hour after the last one, the count starts again.
INSERT INTO loop_failures AS former (connection_id, loop, error_code, error_message, error_traceback)
VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (connection_id, loop) DO UPDATE SET
    consecutive_failures = CASE WHEN former.last_failed_at < now() - interval '1 hour' THEN 1
                                ELSE former.consecutive_failures + 1 END,
    failing_since = CASE WHEN former.last_failed_at < now() - interval '1 hour' THEN now()
                         ELSE former.failing_since END,
    last_failed_at = now(), error_code = excluded.error_code, error_message = excluded.error_message,
    error_traceback = excluded.error_traceback
"""

CLEAR = "DELETE FROM loop_failures WHERE connection_id = ANY (%s) AND loop = %s"

CURRENT = """
-- Loops that fail now: a failing loop is retried within minutes, unless its process has ended.
SELECT connection_id, loop, consecutive_failures, failing_since, last_failed_at, error_code, error_message,
       error_traceback
FROM loop_failures
WHERE last_failed_at > now() - interval '15 minutes' ORDER BY connection_id, failing_since
"""


async def record(
    db: Database, connection_id: str, loop: str, *, error_code: str, error_message: str, error_traceback: str
) -> None:
    """Record a failure of a loop."""
    await db.execute(RECORD, (connection_id, loop, error_code, error_message, error_traceback))


async def clear(db: Database, connection_ids: Sequence[str], loop: str) -> None:
    """Clear the failures of a loop that works again for connections."""
    await db.execute(CLEAR, (connection_ids, loop))


async def current(db: Database) -> list[dict[str, Any]]:
    """Return the loops that fail now; loops of the program have an empty connection_id."""
    return await db.fetch(CURRENT)
