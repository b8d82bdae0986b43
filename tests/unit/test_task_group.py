"""The tasks of a group end together, even a task that swallows a cancellation."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from kustomer_klaviyo.task_group import cancel_all, open_task_group


async def wait_forever(swallowed_cancellations: int = 0) -> None:
    """Wait forever, and swallow some cancellations."""
    for _ in range(swallowed_cancellations):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("the first failure")


async def fail_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        raise RuntimeError("a later failure")


async def ignore_one_cancellation() -> None:
    await wait_forever(1)


async def run_all(*functions: Callable[[], Coroutine[Any, Any, None]]) -> None:
    async with open_task_group() as group:
        for function in functions:
            group.start_soon(function)


async def test_a_group_waits_for_all_tasks() -> None:
    ended: list[int] = []

    async def run(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)

    await run_all(partial(run, 1), partial(run, 2))
    assert sorted(ended) == [1, 2]


async def test_a_failure_cancels_the_other_tasks_and_is_raised() -> None:
    with pytest.raises(ValueError, match="the first failure"):
        await run_all(ignore_one_cancellation, fail, wait_forever)


async def test_the_first_of_several_failures_is_raised_without_a_cause() -> None:
    with pytest.raises(ValueError, match="the first failure") as raised:
        await run_all(partial(run_all, fail, fail_when_cancelled), fail_when_cancelled)
    assert raised.value.__cause__ is None


async def test_a_failure_in_the_block_is_raised() -> None:
    async def run() -> None:
        async with open_task_group() as group:
            group.start_soon(ignore_one_cancellation)
            await fail()

    with pytest.raises(ValueError, match="the first failure"):
        await run()


async def test_a_cancelled_group_cancels_its_tasks() -> None:
    task = asyncio.create_task(run_all(ignore_one_cancellation, wait_forever))
    await asyncio.sleep(0.01)
    await cancel_all([task])
    assert task.cancelled()


async def test_a_cancelled_group_is_cancelled_even_if_a_task_fails_meanwhile() -> None:
    task = asyncio.create_task(run_all(ignore_one_cancellation, fail_when_cancelled))
    await asyncio.sleep(0.01)
    await cancel_all([task])
    assert task.cancelled()


async def test_a_swallowed_cancellation_is_repeated() -> None:
    task = asyncio.create_task(wait_forever(2))
    await asyncio.sleep(0)
    await cancel_all([task])
    assert task.cancelled()
