"""Background jobs: imports, merges and deletions start some time after their request."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web


class Jobs:
    """Jobs that start after a fixed delay."""

    def __init__(self, delay_seconds: float) -> None:
        self._delay_seconds = delay_seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def schedule(self, job: Callable[[], Awaitable[None]]) -> None:
        """Run a job after the delay."""
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, job: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self._delay_seconds)
        await job()

    def clear(self) -> None:
        """Cancel the jobs that are not done."""
        for task in self._tasks:
            task.cancel()

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """Cancel jobs when the application stops."""
        yield
        self.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
