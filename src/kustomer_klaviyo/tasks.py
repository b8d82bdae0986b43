"""Tasks that belong together, and that end even where a cancellation is lost.

One that meets the end of a wait can be swallowed (github.com/python/cpython/issues/81839), and a task group never asks
a second time: what then goes on keeps whatever waits for it waiting for ever.
"""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

ASK_AGAIN_SECONDS = 1.0


async def together(*loops: Coroutine[Any, Any, None]) -> None:
    """Run all until they end; when one fails, end the others and raise its failure."""
    tasks = [asyncio.create_task(loop) for loop in loops]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        await end(tasks)
    for task in done:
        task.result()


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks, again and again until they have ended, however they do."""
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=ASK_AGAIN_SECONDS)
