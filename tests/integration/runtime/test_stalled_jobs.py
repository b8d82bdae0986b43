"""Jobs of dead processes are released; those of processes that may be alive are not."""

import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import procrastinate
import pytest

from kustomer_klaviyo.runtime.process_identity import current_process
from kustomer_klaviyo.runtime.stalled_jobs import STALLED_SECONDS, StalledJobs
from kustomer_klaviyo.store.database import Database

LOCK = "work:acme"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
async def queue(database_url: str) -> AsyncIterator[procrastinate.App]:
    queue = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=database_url))
    queue.task(name="work", queue="work")(lambda connection_id: connection_id)
    async with queue.open_async():
        yield queue


async def take_job(queue: procrastinate.App) -> int:
    """Take a job as a worker whose last heartbeat is now; returns the worker's id."""
    await queue.configure_task("work", lock=LOCK, queueing_lock=LOCK).defer_async(connection_id="acme")
    worker_id = await queue.job_manager.register_worker()
    assert await queue.job_manager.fetch_job(["work"], worker_id) is not None
    return worker_id


async def register(db: Database, worker_id: int, **differences: Any) -> None:
    """Record this process as the worker's, with differences."""
    process = current_process()
    assert process is not None
    fields = {"machine": process.machine, "pid": process.pid, "started_at": process.started_at} | differences
    await db.execute(
        "INSERT INTO worker_processes VALUES (%s, %s, %s, %s)",
        (worker_id, fields["machine"], fields["pid"], fields["started_at"]),
    )


async def running_jobs(db: Database) -> int:
    return (await db.fetch("SELECT count(*) FROM procrastinate_jobs WHERE status = 'doing'"))[0]["count"]  # type: ignore[no-any-return]


async def test_a_job_of_a_process_of_this_machine_that_has_ended_is_released_at_once(
    db: Database, queue: procrastinate.App
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])  # noqa: ASYNC220 - it does nothing
    ended.wait()
    await register(db, await take_job(queue), pid=ended.pid)
    await StalledJobs(db, queue).release()
    assert await running_jobs(db) == 0
    assert await db.fetch("SELECT FROM worker_processes") == []


async def test_a_job_of_a_running_process_stays(db: Database, queue: procrastinate.App) -> None:
    await register(db, await take_job(queue))
    await StalledJobs(db, queue).release()
    assert await running_jobs(db) == 1


async def test_a_job_of_another_machine_stays_until_its_heartbeat_is_missing(
    db: Database, queue: procrastinate.App
) -> None:
    await register(db, await take_job(queue), machine="another", started_at=0)
    await StalledJobs(db, queue).release()
    assert await running_jobs(db) == 1
    await db.execute(
        "UPDATE procrastinate_workers SET last_heartbeat = now() - make_interval(secs => %s)", (STALLED_SECONDS + 1,)
    )
    await StalledJobs(db, queue).release()
    assert await running_jobs(db) == 0


async def test_a_worker_is_registered_with_its_process_and_former_workers_are_forgotten(
    db: Database, queue: procrastinate.App
) -> None:
    jobs = StalledJobs(db, queue)
    former = await queue.job_manager.register_worker()
    await jobs.register(former)
    await queue.job_manager.unregister_worker(former)
    worker_id = await queue.job_manager.register_worker()
    await jobs.register(worker_id)
    process = current_process()
    assert process is not None
    assert await db.fetch("SELECT * FROM worker_processes") == [
        {"worker_id": worker_id, "machine": process.machine, "pid": process.pid, "started_at": process.started_at}
    ]


async def test_a_job_that_another_process_has_released_already_is_no_failure(
    db: Database, queue: procrastinate.App
) -> None:
    await take_job(queue)
    await db.execute("DELETE FROM procrastinate_workers")
    jobs = StalledJobs(db, queue)
    stalled = list(await queue.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS))
    await jobs.release()
    for job in stalled:
        await jobs.finish(job)
    assert await running_jobs(db) == 0
