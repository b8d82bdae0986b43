"""Spreads the connections' work over the processes: a job per connection under a lock, woken by notifications.

The engine (Procrastinate) carries coarse jobs only. A watchdog that finds work with nobody at it turns any fault of the
engine into a delay instead of a loss.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable

import procrastinate
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
from procrastinate.jobs import Status

from kustomer_klaviyo.connections.registry import Directory, Joined
from kustomer_klaviyo.runtime.connection_worker import Run
from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.tasks import together

AT_ONCE = 20
"""Connections one process works for side by side."""

POLL_SECONDS = 0.2
"""The engine's default of five seconds would make a missed notification cost that much."""

HEARTBEAT_SECONDS = 1.0
STALLED_SECONDS = 6.0
"""A worker silent for this long is taken for dead, and its connections are taken over."""

WATCH_SECONDS = 1.0
DEFER_AGAIN_SECONDS = 0.5
CHANNEL = "work"

log = structlog.get_logger()


class Work:
    """The work of one process: its runs, and how it learns that there is something to do."""

    def __init__(self, database: Database, directory: Directory, start_run: Callable[[Joined], Run]) -> None:
        self._database = database
        self._directory = directory
        self._start_run = start_run
        self._runs: dict[str, Run] = {}
        self._deferred_at: dict[str, float] = {}
        self._stopping = False
        self._engine = procrastinate.App(
            connector=procrastinate.PsycopgConnector(
                conninfo=database.conninfo, min_size=1, max_size=4, kwargs={"connect_timeout": 3}
            )
        )
        self._job = self._engine.task(name="work", queue="work")(self._work)

    async def _work(self, connection_id: str) -> None:
        joined = self._directory.get(connection_id)
        if joined is None or connection_id in self._runs or self._stopping:
            return
        run = self._start_run(joined)
        self._runs[connection_id] = run
        try:
            await run.work()
        finally:
            del self._runs[connection_id]

    async def run(self) -> None:
        """Take jobs, and see that none is missing, until cancelled."""
        try:
            async with self._engine.open_async():
                await together(self._take_jobs(), self._listen(), self._watch())
        except ConnectorException as away:
            # The engine's word for a database that is away becomes everybody's.
            raise ConnectionError(str(away)) from away

    async def _take_jobs(self) -> None:
        await self._engine.run_worker_async(
            queues=["work"],
            concurrency=AT_ONCE,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="always",
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT_SECONDS,
            stalled_worker_timeout=STALLED_SECONDS,
            shutdown_graceful_timeout=10.0,
        )

    async def _listen(self) -> None:
        """Hear of landed events and saved connections."""
        lane = await self._database.lane()
        async with lane:
            await lane.execute(f"LISTEN {CHANNEL}")
            async for notification in lane.notifies():
                await self._hear(notification.payload)

    async def _hear(self, connection_id: str) -> None:
        run = self._runs.get(connection_id)
        if run is not None:
            run.wake()
        else:
            await self._defer(connection_id)

    async def _defer(self, connection_id: str) -> None:
        """Ask for a run, unless one was asked for a moment ago: a second wish would only wait behind the first."""
        now = time.monotonic()
        if now - self._deferred_at.get(connection_id, -1e9) < DEFER_AGAIN_SECONDS:
            return
        self._deferred_at[connection_id] = now
        name = f"work:{connection_id}"
        with contextlib.suppress(AlreadyEnqueued):
            await self._job.configure(lock=name, queueing_lock=name).defer_async(connection_id=connection_id)

    async def _watch(self) -> None:
        """Find work with nobody at it, runs of connections saved meanwhile, and dead workers' jobs."""
        while True:
            for connection_id in await connection_status.with_work(self._database):
                if connection_id not in self._runs:
                    await self._defer(connection_id)
            self._end_outdated()
            await self._bury_stalled()
            await asyncio.sleep(WATCH_SECONDS)

    def _end_outdated(self) -> None:
        for connection_id, run in self._runs.items():
            joined = self._directory.get(connection_id)
            if joined is None or joined.connection.revision != run.revision:
                run.end()

    async def _bury_stalled(self) -> None:
        """Take the locks of dead workers' jobs away; the watchdog asks for a new run wherever work is left."""
        jobs = self._engine.job_manager
        for job in await jobs.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
            log.warning("work.taken_over", lock=job.lock)
            await jobs.finish_job(job, status=Status.FAILED, delete_job=True)

    async def stop(self) -> None:
        """Let the runs finish what is in flight."""
        self._stopping = True
        for run in self._runs.values():
            run.end()
        deadline = time.monotonic() + 10
        while self._runs and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
