"""Tasks that belong together end together, even one that loses a cancellation."""

import asyncio
from contextlib import suppress

import pytest

from kustomer_klaviyo.tasks import end, together


async def stubborn(losing: int) -> None:
    """Wait for ever, and lose so many cancellations."""
    for _ in range(losing):
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
    await asyncio.Event().wait()


async def fail() -> None:
    await asyncio.sleep(0)
    raise ValueError("the first to fail")


async def test_all_run_to_their_end() -> None:
    ended: list[int] = []

    async def run(number: int) -> None:
        await asyncio.sleep(0)
        ended.append(number)

    await together(run(1), run(2))
    assert sorted(ended) == [1, 2]


async def test_one_that_fails_ends_the_others_and_its_failure_is_raised() -> None:
    with pytest.raises(ValueError, match="the first to fail"):
        await together(stubborn(losing=1), fail(), stubborn(losing=0))


async def test_who_is_cancelled_ends_all_that_belongs_to_it() -> None:
    whole = asyncio.create_task(together(stubborn(losing=1), stubborn(losing=0)))
    await asyncio.sleep(0.01)
    await end([whole])
    assert whole.cancelled()


async def test_a_lost_cancellation_is_asked_again() -> None:
    task = asyncio.create_task(stubborn(losing=2))
    await asyncio.sleep(0)
    await end([task])
    assert task.cancelled()
