"""anyio task groups with two additions: one failure instead of a group, and cancellation of tasks without a group.

anyio cancels the tasks of a group until they have ended. asyncio.TaskGroup cancels them once, and a task can swallow a
cancellation (github.com/python/cpython/issues/81839). docs/decisions/0007-anyio-task-groups.md has the details.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import anyio
from anyio.abc import TaskGroup

CANCEL_INTERVAL_SECONDS = 1.0


@asynccontextmanager
async def open_task_group() -> AsyncIterator[TaskGroup]:
    """Open an anyio task group that raises its first failure, not an ExceptionGroup.

    When the group is cancelled from outside, it raises CancelledError, even if a task fails while it is cancelled.
    """
    failure: BaseException | None = None
    try:
        async with anyio.create_task_group() as group:
            yield group
    except BaseExceptionGroup as failures:
        failure = _first_failure(failures)
    if failure is None:
        return
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
    raise failure


def _first_failure(group: BaseExceptionGroup[BaseException]) -> BaseException:
    failure = group.exceptions[0]
    return _first_failure(failure) if isinstance(failure, BaseExceptionGroup) else failure


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel tasks that no group started, every second until all have ended, and ignore how they end.

    The second between two cancellations lets a task clean up, for example finish its database transaction.
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_INTERVAL_SECONDS)
