"""Distributes the connections' work over the processes: one job per connection under a lock, woken by notifications.

The job queue (Procrastinate) holds coarse jobs only. A watchdog finds work that no worker does, so that an error of the
queue causes a delay instead of a loss.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable

import anyio
import procrastinate
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.job_context import JobContext

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.runtime.connection_worker import ConnectionWorker
from kustomer_klaviyo.runtime.stalled_jobs import STALLED_SECONDS, StalledJobs
from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.task_group import cancel_all, open_task_group

MAX_WORKERS = 20
"""Connections that one process works for at once."""

POLL_SECONDS = 1.0
"""What a missed notification costs, or a job that waited for the end of another one."""

HEARTBEAT_SECONDS = 1.0
WATCH_SECONDS = 1.0
DEFER_INTERVAL_SECONDS = 0.5
STOP_SECONDS = 10.0
CHANNEL = "work"

log = structlog.get_logger()


class Scheduler:
    """The connection workers of one process, and how it learns that there is work."""

    def __init__(
        self, db: Database, registry: ConnectionRegistry, create_worker: Callable[[ConnectionContext], ConnectionWorker]
    ) -> None:
        self._db = db
        self._registry = registry
        self._create_worker = create_worker
        self._workers: dict[str, ConnectionWorker] = {}
        self._deferred_at: dict[str, float] = {}
        self._is_stopping = False
        self._queue = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=db.conninfo, min_size=1, max_size=4, kwargs={"connect_timeout": 3}
            )
        )
        self._job = self._queue.task(name="work", queue="work", pass_context=True)(self._run_worker)
        self._stalled_jobs = StalledJobs(db, self._queue)

    async def _run_worker(self, job: JobContext, connection_id: str) -> None:
        await self._stalled_jobs.register(job.job.worker_id)
        context = self._registry.get(connection_id)
        if context is None or connection_id in self._workers or self._is_stopping:
            return
        worker = self._create_worker(context)
        self._workers[connection_id] = worker
        try:
            await worker.run()
        finally:
            del self._workers[connection_id]

    async def run(self) -> None:
        """Take jobs, and make sure that none is missing, until cancelled."""
        await self._registry.catch_up()  # a job for a connection that is not loaded yet would do nothing
        try:
            async with self._open_queue(), open_task_group() as group:
                group.start_soon(self._take_jobs)
                group.start_soon(self._listen)
                group.start_soon(self._watch)
        except ConnectorException as error:
            # The queue has its own exception for an unavailable database.
            raise ConnectionError(str(error)) from error

    @contextlib.asynccontextmanager
    async def _open_queue(self) -> AsyncIterator[None]:
        await self._queue.open_async()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self._queue.close_async()

    async def _take_jobs(self) -> None:
        """Take jobs until cancelled; the queue's worker then gets one cancellation, and time to shut down."""
        queue_worker = asyncio.create_task(
            self._queue.run_worker_async(
                queues=["work"],
                concurrency=MAX_WORKERS,
                fetch_job_polling_interval=POLL_SECONDS,
                delete_jobs="always",
                install_signal_handlers=False,
                update_heartbeat_interval=HEARTBEAT_SECONDS,
                stalled_worker_timeout=STALLED_SECONDS,
                shutdown_graceful_timeout=STOP_SECONDS,
            )
        )
        try:
            await asyncio.wait([queue_worker])
            queue_worker.result()
        finally:
            with anyio.CancelScope(shield=True):
                await cancel_all([queue_worker])

    async def _listen(self) -> None:
        """Receive the notifications of new events and saved connections."""
        async with await self._db.dedicated_connection() as conn:
            await conn.execute(f"LISTEN {CHANNEL}")
            async for notification in conn.notifies():
                await self._on_notify(notification.payload)

    async def _on_notify(self, connection_id: str) -> None:
        worker = self._workers.get(connection_id)
        if worker is not None and not worker.is_stopping:
            worker.wake()
        elif worker is not None or not await connection_status.has_job(self._db, connection_id):
            await self._defer(connection_id)

    async def _defer(self, connection_id: str) -> None:
        """Defer a job for a connection, unless one was deferred a moment ago: it would only wait behind that one."""
        now = time.monotonic()
        if now - self._deferred_at.get(connection_id, float("-inf")) < DEFER_INTERVAL_SECONDS:
            return
        self._deferred_at[connection_id] = now
        name = f"work:{connection_id}"
        with contextlib.suppress(AlreadyEnqueued):
            await self._job.configure(lock=name, queueing_lock=name).defer_async(connection_id=connection_id)

    async def _watch(self) -> None:
        """Find work without a worker, workers with an outdated connection, and jobs of dead processes."""
        while True:
            await self._stalled_jobs.release()
            for connection_id in await connection_status.connections_with_work(self._db):
                if connection_id not in self._workers:
                    await self._defer(connection_id)
            self._stop_outdated()
            await asyncio.sleep(WATCH_SECONDS)

    def _stop_outdated(self) -> None:
        for connection_id, worker in self._workers.items():
            context = self._registry.get(connection_id)
            if context is None or context.connection.version != worker.version:
                worker.stop()

    async def stop(self) -> None:
        """Let the workers finish what is in flight."""
        self._is_stopping = True
        for worker in self._workers.values():
            worker.stop()
        deadline = time.monotonic() + STOP_SECONDS
        while self._workers and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
