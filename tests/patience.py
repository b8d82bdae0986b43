"""How long tests wait for what must happen: as long as a busy machine may need, and no longer than they have to."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

PATIENCE_SECONDS = float(os.environ.get("TEST_PATIENCE_SECONDS", "300"))


async def until(is_so: Callable[[], Awaitable[object]], what: str, *, every: float = 0.02) -> None:
    """Wait until a condition holds. Fails the test when it does not within the patience of all tests."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not await is_so():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what}"
        await asyncio.sleep(every)
