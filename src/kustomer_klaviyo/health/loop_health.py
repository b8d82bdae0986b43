"""The health of loops: failures are counted, stored for every process to see, and followed by a growing wait."""

import time
from collections.abc import AsyncIterator, Hashable, Iterable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any

import structlog

from kustomer_klaviyo.health.item_errors import describe_error, frames
from kustomer_klaviyo.item_backoff import ItemBackoff
from kustomer_klaviyo.store import loop_failures
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database

INITIAL_SECONDS, MAX_SECONDS = 0.5, 60.0
MAX_UNAVAILABLE_SECONDS = 2.0
"""The longest wait while the database is unavailable. Retrying soon costs nothing then."""

PROGRAM = ""
"""The connection id of loops that belong to the whole program."""

log = structlog.get_logger()


class Loop(StrEnum):
    """The loops, by the names that admins see."""

    INBOX = "process_inbox"
    LOOKUPS = "run_lookups"
    EVENTS = "deliver_events"
    """Also records the attempts of profile writes."""
    PROFILES = "write_profiles"
    CARDS = "fetch_cards"
    LOADING = "load_connection"
    RECURRING_LOOKUPS = "schedule_lookups"
    """Of a connection: its recurring lookups could not be queued."""
    RECURRING_RUNS = "run_recurring_lookups"
    RETENTION = "apply_retention"
    REFRESH = "refresh_connections"
    INTAKE = "store_webhooks"
    DEFERRED_WRITES = "flush_deferred_writes"
    SCHEDULER = "schedule_workers"
    SESSIONS = "delete_expired_sessions"


class LoopHealth:
    """The health of the loops of one connection, or of the program, in this process. It outlives workers."""

    def __init__(self, db: Database, connection_id: str = PROGRAM) -> None:
        self._db = db
        self._connection_id = connection_id
        self._failures: dict[Loop, int] = {}
        self._retry_at: dict[Loop, float] = {}
        self._known_healthy: set[Loop] = set()
        self._item_backoffs: dict[Loop, ItemBackoff[Any]] = {}

    def item_backoff(self, loop: Loop) -> ItemBackoff[Any]:
        """Return the backoff of a loop's items."""
        return self._item_backoffs.setdefault(loop, ItemBackoff())

    def seconds_to_wait(self, loop: Loop) -> float:
        """Return how long the loop must wait before its next pass."""
        return max(0.0, self._retry_at.get(loop, 0.0) - time.monotonic())

    async def record_failure(self, loop: Loop, error: BaseException) -> float:
        """Record a failed pass; returns the seconds to wait before the next one."""
        failures = self._failures.get(loop, 0)
        self._failures[loop] = failures + 1
        max_seconds = MAX_UNAVAILABLE_SECONDS if isinstance(error, UNAVAILABLE_ERRORS) else MAX_SECONDS
        wait = min(max_seconds, INITIAL_SECONDS * 2.0 ** min(failures, 30))
        self._retry_at[loop] = time.monotonic() + wait
        await self._store_failure(loop, error, failures + 1)
        return wait

    async def record_item_failure(self, loop: Loop, keys: Iterable[Hashable], error: BaseException) -> None:
        """Back off from items whose failure could not be stored."""
        self.item_backoff(loop).record_failures(keys)
        self._failures[loop] = self._failures.get(loop, 0) + 1
        await self._store_failure(loop, error, self._failures[loop])

    async def record_success(self, loop: Loop) -> None:
        """Record a successful pass. The loop keeps failing as long as single items back off."""
        if not self.may_be_failing(loop):
            return
        self.reset(loop)
        await loop_failures.clear(self._db, [self._connection_id], loop)
        self.confirm(loop)

    def may_be_failing(self, loop: Loop) -> bool:
        """Return whether a success of the loop is worth recording."""
        return loop not in self._known_healthy and self.item_backoff(loop).seconds_to_next() is None

    def reset(self, loop: Loop) -> None:
        """Forget the failures of a loop in this process."""
        self._failures.pop(loop, None)
        self._retry_at.pop(loop, None)

    def confirm(self, loop: Loop) -> None:
        """Remember that no failure of the loop is stored."""
        self._known_healthy.add(loop)

    @asynccontextmanager
    async def track(self, loop: Loop) -> AsyncIterator[None]:
        """Run a block as a pass of the loop. Its errors are recorded, except UNAVAILABLE_ERRORS, which are raised."""
        try:
            yield
        except UNAVAILABLE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - any error is counted and shown
            await self.record_failure(loop, error)
        else:
            await self.record_success(loop)

    async def _store_failure(self, loop: Loop, error: BaseException, failures: int) -> None:
        self._known_healthy.discard(loop)
        details = describe_error(error)
        log.error(
            "loop.failed",
            connection=self._connection_id or None,
            loop=loop,
            failures=failures,
            code=details.code,
            error=details.class_name,
            at=frames(error),
        )
        try:
            await loop_failures.record(
                self._db,
                self._connection_id,
                loop,
                error_code=details.code,
                error_message=f"{details.sentence}: {details.message}",
                error_traceback=details.traceback,
            )
        except Exception as second_error:  # noqa: BLE001 - the first error is in the log already
            log.warning("loop.failure_not_stored", loop=loop, error=type(second_error).__name__)


class HealthRegistry:
    """The health of every connection that this process works for, and of the program."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._by_connection: dict[str, LoopHealth] = {}

    def of(self, connection_id: str = PROGRAM) -> LoopHealth:
        """Return the health of a connection's loops, or of the program's."""
        health = self._by_connection.get(connection_id)
        if health is None:
            health = self._by_connection[connection_id] = LoopHealth(self._db, connection_id)
        return health

    async def record_successes(self, connection_ids: Iterable[str], loop: Loop) -> None:
        """Record a successful pass of a loop for connections, in one statement."""
        ids = [connection_id for connection_id in connection_ids if self.of(connection_id).may_be_failing(loop)]
        if not ids:
            return
        for connection_id in ids:
            self.of(connection_id).reset(loop)
        await loop_failures.clear(self._db, ids, loop)
        for connection_id in ids:
            self.of(connection_id).confirm(loop)
