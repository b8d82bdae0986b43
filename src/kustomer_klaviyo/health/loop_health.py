"""How loops fare: each failure counted and kept for every process to see, with a growing wait before the next pass."""

import time
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import structlog

from kustomer_klaviyo.health.item_errors import describe, frames
from kustomer_klaviyo.item_backoff import Backoff
from kustomer_klaviyo.store import loop_failures
from kustomer_klaviyo.store.database import UNREACHABLE, Database

FIRST_SECONDS, LONGEST_SECONDS = 0.5, 60.0
LONGEST_AWAY_SECONDS = 2.0
"""A database that is away costs nobody else anything: it is tried again soon."""

PROGRAM = ""
"""In place of a connection, for loops of the whole program."""

log = structlog.get_logger()


class Loop(StrEnum):
    """The loops, as admins see them."""

    INBOX = "process_inbox"
    LOOKUPS = "lookups"
    EVENTS = "delivery"
    """Of events; and how any delivery's end is written down."""
    PROFILES = "write_profiles"
    CARDS = "fetch_cards"
    LOADING = "load_connection"
    SWEEPS = "plan_sweeps"
    RETENTION = "retention"
    REFRESH = "refresh_connections"
    INTAKE = "store_webhooks"
    COUNTERS = "write_counters"
    SCHEDULER = "scheduler"
    ACCOUNTS = "forget_sessions"


class Health:
    """How the loops of one connection, or of the program, fare in this process. Outlives runs."""

    def __init__(self, database: Database, connection_id: str = PROGRAM) -> None:
        self._database = database
        self._connection_id = connection_id
        self._failures: dict[Loop, int] = {}
        self._until: dict[Loop, float] = {}
        self._known_to_work: set[Loop] = set()
        self._items: dict[Loop, Backoff[Any]] = {}

    def items(self, loop: Loop) -> Backoff[Any]:
        """Return what the loop may not try yet."""
        return self._items.setdefault(loop, Backoff())

    def seconds_to_wait(self, loop: Loop) -> float:
        """Return how long the loop's next pass has to wait."""
        return max(0.0, self._until.get(loop, 0.0) - time.monotonic())

    async def failed(self, loop: Loop, error: BaseException) -> float:
        """Count a failed pass; returns the seconds to wait before the next."""
        before = self._failures.get(loop, 0)
        self._failures[loop] = before + 1
        longest = LONGEST_AWAY_SECONDS if isinstance(error, UNREACHABLE) else LONGEST_SECONDS
        wait = min(longest, FIRST_SECONDS * 2.0 ** min(before, 30))
        self._until[loop] = time.monotonic() + wait
        await self._note(loop, error, before + 1)
        return wait

    async def item_failed(self, loop: Loop, keys: Iterable[Hashable], error: BaseException) -> None:
        """Let items wait of which not even the failure could be written down."""
        self.items(loop).failed(keys)
        self._failures[loop] = self._failures.get(loop, 0) + 1
        await self._note(loop, error, self._failures[loop])

    async def succeeded(self, loop: Loop) -> None:
        """Note that a pass went well; what single items still wait for keeps the loop a failing one."""
        if loop in self._known_to_work or self.items(loop).seconds_to_next() is not None:
            return
        self._failures.pop(loop, None)
        self._until.pop(loop, None)
        await loop_failures.works(self._database, self._connection_id, loop)
        self._known_to_work.add(loop)

    @asynccontextmanager
    async def watching(self, loop: Loop) -> AsyncIterator[None]:
        """Run a block whose failure is counted, and is nobody else's; a database that is away is everybody's."""
        try:
            yield
        except UNREACHABLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted and shown
            await self.failed(loop, error)
        else:
            await self.succeeded(loop)

    async def _note(self, loop: Loop, error: BaseException, failures: int) -> None:
        self._known_to_work.discard(loop)
        fault = describe(error)
        log.error(
            "loop.failed",
            connection=self._connection_id or None,
            loop=loop,
            failures=failures,
            code=fault.code,
            error=fault.kind,
            at=frames(error),
        )
        message = f"{fault.sentence}: {fault.message}"
        try:
            await loop_failures.failed(
                self._database, self._connection_id, loop, code=fault.code, message=message, error=fault.traceback
            )
        except Exception as second:  # noqa: BLE001 - telling of a failure must not be another
            log.warning("loop.failure_not_stored", loop=loop, error=type(second).__name__)


class HealthBook:
    """The health of every connection that this process works for, and the program's own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._of: dict[str, Health] = {}

    def of(self, connection_id: str = PROGRAM) -> Health:
        """Return how a connection's loops fare, or the program's."""
        return self._of.setdefault(connection_id, Health(self._database, connection_id))
