"""What Klaviyo does in its own time after it has answered: imports, merges, deletions."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web


class Jobs:
    """Work that begins some seconds after it was asked for."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Callable[[], Awaitable[None]]) -> None:
        """Have something done, after the time that jobs take here."""
        task = asyncio.create_task(self._later(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _later(self, work: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(self._seconds)
        await work()

    def clear(self) -> None:
        """Give up what is not done yet."""
        for task in self._tasks:
            task.cancel()

    async def while_serving(self, _: web.Application) -> AsyncIterator[None]:
        """End with the application."""
        yield
        self.clear()
        await asyncio.gather(*self._tasks, return_exceptions=True)
