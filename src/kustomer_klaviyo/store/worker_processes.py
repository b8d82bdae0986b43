"""The processes that take jobs, so that others on the same machine can tell which of them have ended."""

from typing import Any

from kustomer_klaviyo.store.database import Database

REGISTER = """
-- Records the process of a worker of the job queue.
INSERT INTO worker_processes (worker_id, machine, pid, started_at) VALUES (%s, %s, %s, %s)
ON CONFLICT (worker_id) DO NOTHING
"""

DELETE_UNREGISTERED = """
-- Deletes processes that the job queue no longer knows.
DELETE FROM worker_processes WHERE NOT EXISTS (SELECT FROM procrastinate_workers WHERE id = worker_id)
"""

ON_MACHINE = """
-- The processes of one machine that the job queue takes for running.
SELECT worker_id, machine, pid, started_at FROM worker_processes WHERE machine = %s
"""

UNREGISTER = """
-- A process that has ended: its jobs have no worker any more.
WITH ended AS (DELETE FROM worker_processes WHERE worker_id = %(worker_id)s)
DELETE FROM procrastinate_workers WHERE id = %(worker_id)s
"""


async def register(db: Database, worker_id: int, *, machine: str, pid: int, started_at: int) -> None:
    """Record the process of a worker, and forget workers that no longer exist."""
    await db.execute(REGISTER, (worker_id, machine, pid, started_at))
    await db.execute(DELETE_UNREGISTERED)


async def on_machine(db: Database, machine: str) -> list[dict[str, Any]]:
    """Return the worker id and the process of each worker of a machine."""
    return await db.fetch(ON_MACHINE, (machine,))


async def unregister(db: Database, worker_id: int) -> None:
    """Remove the worker of a process that has ended from the job queue, so that its jobs count as stalled."""
    await db.execute(UNREGISTER, {"worker_id": worker_id})
