"""The rate limiter waits for a slot, or reports the wait."""

import time

from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import Limits

HOLD_SECONDS = 0.05


async def test_a_free_slot_is_taken_at_once() -> None:
    limiter = RateLimiter(Limits(None, 2), headroom=1.0)
    await limiter.acquire()
    assert limiter.remaining(time.monotonic()) == 1


async def test_acquire_waits_for_the_end_of_a_hold() -> None:
    limiter = RateLimiter(Limits(None, 2), headroom=1.0)
    held_until = time.monotonic() + HOLD_SECONDS
    limiter.block_until(held_until)
    await limiter.acquire()
    assert time.monotonic() >= held_until
    assert limiter.remaining(time.monotonic()) == 1


async def test_a_slot_within_the_maximum_wait_is_reserved() -> None:
    limiter = RateLimiter(Limits(None, 2), headroom=1.0)
    held_until = time.monotonic() + HOLD_SECONDS
    limiter.block_until(held_until)
    assert await limiter.try_acquire(60) == 0
    assert time.monotonic() >= held_until
    assert limiter.remaining(time.monotonic()) == 1


async def test_beyond_the_maximum_wait_the_wait_is_returned_and_no_slot_is_taken() -> None:
    limiter = RateLimiter(Limits(None, 1), headroom=1.0)
    await limiter.acquire()
    assert 0 < await limiter.try_acquire(1) <= 60
    assert limiter.remaining(time.monotonic()) == 0
