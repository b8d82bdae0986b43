"""A rate limiter that waits: the sliding window of ``rate_limits`` with a clock."""

import asyncio
import time

from kustomer_klaviyo.rate_limits import SlidingWindow


class RateLimiter(SlidingWindow):
    """Limits the requests to one endpoint. All clients of a vendor account share it."""

    async def acquire(self) -> None:
        """Wait for a slot and take it."""
        while (wait := self.wait_seconds(time.monotonic())) > 0:
            await asyncio.sleep(wait)
        self.record(time.monotonic())

    async def try_acquire(self, max_wait: float) -> float:
        """Reserve a slot and wait for it; returns 0. If it is more than ``max_wait`` seconds away, return the wait."""
        now = time.monotonic()
        wait = self.wait_seconds(now)
        if wait > max_wait:
            return wait
        self.record(now + wait)
        if wait > 0:
            await asyncio.sleep(wait)
        return 0.0
