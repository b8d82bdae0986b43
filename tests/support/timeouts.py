"""How long tests wait. The timeout is long, since a busy machine may be slow; tests poll, so it costs no time."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable

TIMEOUT_SECONDS = float(os.environ.get("TEST_TIMEOUT_SECONDS", "300"))


async def wait_until(condition: Callable[[], Awaitable[object]], description: str, *, interval: float = 0.02) -> None:
    """Wait until a condition holds. Fails the test after TIMEOUT_SECONDS."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, f"not within {TIMEOUT_SECONDS:.0f} s: {description}"
        await asyncio.sleep(interval)
