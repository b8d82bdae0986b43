"""Recurring lookups run without a connection worker, each in one process, and repeatedly."""

import asyncio
from typing import Any

from kustomer_klaviyo.reconcile.recurring import MAX_CONCURRENT, RECURRING_KEYS, schedule_recurring
from kustomer_klaviyo.task_group import cancel_all
from support.pipeline import Pipeline
from support.timeouts import wait_until

SEARCH = "POST /v1/customers/search"


async def sweeps(pipeline: Pipeline) -> list[dict[str, Any]]:
    return await pipeline.sql("SELECT due_at > now() AS is_planned, attempts FROM lookups WHERE kind = 'sweep'")


async def schedule(pipeline: Pipeline) -> None:
    """Connect, and queue the sweep."""
    await pipeline.connect()
    await schedule_recurring(pipeline.app.db, pipeline.service.registry.all())


async def run_due(pipeline: Pipeline) -> int:
    """Run the recurring lookups that are due to their end; returns how many."""
    tasks = await pipeline.service.recurring.start_due(MAX_CONCURRENT)
    await asyncio.gather(*tasks)
    return len(tasks)


async def test_a_slow_sweep_does_not_delay_the_next_one(pipeline: Pipeline) -> None:
    await schedule(pipeline)
    fault = {"kind": "slow", "path": "/v1/customers/search", "delay": 600, "times": 1}
    async with pipeline.session.post(f"{pipeline.kustomer}/sandbox/faults", json=fault) as response:
        assert response.status == 201, await response.text()
    [slow] = await pipeline.service.recurring.start_due(MAX_CONCURRENT)
    await wait_until(lambda: pipeline.fault_hits(pipeline.kustomer), "the first sweep is slow")
    await pipeline.sql("UPDATE lookups SET due_at = now() RETURNING 1")
    assert await run_due(pipeline) == 1
    assert not slow.done()
    await cancel_all([slow])


async def test_a_sweep_that_is_due_runs_once_although_several_processes_look(pipeline: Pipeline) -> None:
    await schedule(pipeline)
    counts = await asyncio.gather(*(run_due(pipeline) for _ in range(3)))
    assert sorted(counts) == [0, 0, 1]
    assert (await pipeline.request_counts(pipeline.kustomer))[SEARCH] == 1
    assert await sweeps(pipeline) == [{"is_planned": True, "attempts": 0}]


async def test_a_sweep_whose_process_ended_runs_again(pipeline: Pipeline) -> None:
    await schedule(pipeline)
    await pipeline.sql("UPDATE lookups SET due_at = now() - interval '1 second' RETURNING 1")
    assert await run_due(pipeline) == 1


async def test_a_failed_recurring_lookup_starts_again_and_a_queued_one_stays(pipeline: Pipeline) -> None:
    await schedule(pipeline)
    await pipeline.sql("UPDATE lookups SET failed_at = now(), attempts = 7 RETURNING 1")
    await schedule_recurring(pipeline.app.db, pipeline.service.registry.all())
    assert await pipeline.sql("SELECT attempts, failed_at FROM lookups") == [{"attempts": 0, "failed_at": None}]
    await pipeline.sql("UPDATE lookups SET attempts = 3 RETURNING 1")
    await schedule_recurring(pipeline.app.db, pipeline.service.registry.all())
    assert await pipeline.sql("SELECT attempts FROM lookups") == [{"attempts": 3}]


async def test_an_error_of_one_sweep_is_counted_and_the_sweep_repeated(pipeline: Pipeline) -> None:
    await schedule(pipeline)
    await pipeline.sql("INSERT INTO bookmarks VALUES ('acme', 'sweep_cursor', 'no document') RETURNING 1")
    assert await run_due(pipeline) == 1
    assert await pipeline.sql("SELECT attempts, failed_at, reason FROM lookups") == [
        {"attempts": 1, "failed_at": None, "reason": "lookup_fault"}
    ]


async def test_a_worker_may_leave_recurring_lookups_to_others(pipeline: Pipeline) -> None:
    await schedule(pipeline)
    worker = pipeline.service.create_worker(pipeline.context, exclude=RECURRING_KEYS)
    assert await worker.run_lookups() is None
    assert worker.in_flight == []
