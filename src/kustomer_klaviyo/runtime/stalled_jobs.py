"""Releases the jobs of processes that have ended, so that other processes can take over their connections.

On the same machine it is known at once which processes have ended. On other machines a missing heartbeat tells.
"""

import contextlib

import procrastinate
import structlog
from procrastinate.exceptions import ConnectorException
from procrastinate.jobs import Job, Status

from kustomer_klaviyo.runtime.process_identity import ProcessIdentity, current_process, has_ended
from kustomer_klaviyo.store import worker_processes
from kustomer_klaviyo.store.database import Database

STALLED_SECONDS = 6.0
"""A process without a heartbeat for this long counts as dead, and others take over its connections."""

log = structlog.get_logger()


class StalledJobs:
    """The jobs of dead processes."""

    def __init__(self, db: Database, queue: procrastinate.App) -> None:
        self._db = db
        self._queue = queue
        self._process = current_process()
        self._registered: int | None = None

    async def register(self, worker_id: int | None) -> None:
        """Record that this process is a worker of the job queue."""
        if self._process is None or worker_id is None or worker_id == self._registered:
            return
        process = self._process
        await worker_processes.register(
            self._db, worker_id, machine=process.machine, pid=process.pid, started_at=process.started_at
        )
        self._registered = worker_id

    async def release(self) -> None:
        """Release the locks of dead processes' jobs. The watchdog defers a new job wherever work is left."""
        await self._unregister_ended()
        for job in await self._queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            log.warning("worker.stalled_recovered", lock=job.lock)
            await self.finish(job)

    async def _unregister_ended(self) -> None:
        if self._process is None:
            return
        for row in await worker_processes.on_machine(self._db, self._process.machine):
            worker_id = row.pop("worker_id")
            if has_ended(ProcessIdentity(**row)):
                await worker_processes.unregister(self._db, worker_id)

    async def finish(self, job: Job) -> None:
        """Finish a job of a dead process, unless another process has done so."""
        # Another process may have finished it first. An unavailable database is noticed by the next statement.
        with contextlib.suppress(ConnectorException):
            await self._queue.job_manager.finish_job(job, status=Status.FAILED, delete_job=True)
