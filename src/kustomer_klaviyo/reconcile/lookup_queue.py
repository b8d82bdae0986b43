"""Runs the lookups of one connection that are due, several at once."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from kustomer_klaviyo.backoff import next_wait
from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.reconcile.lookup_runner import LookupRunner
from kustomer_klaviyo.store import lookups
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.lookups import DueLookup, LookupKind

MAX_CONCURRENT = 8


class LookupQueue:
    """Starts due lookups, and keeps the failure of one from affecting the others."""

    def __init__(
        self,
        db: Database,
        connection_id: str,
        runner: LookupRunner,
        health: LoopHealth,
        *,
        exclude: frozenset[tuple[LookupKind, str]] = frozenset(),
    ) -> None:
        self._db = db
        self._connection_id = connection_id
        self._runner = runner
        self._health = health
        self._exclude = exclude
        self._backoff = health.item_backoff(Loop.LOOKUPS)
        self.in_flight: dict[tuple[LookupKind, str], asyncio.Task[None]] = {}

    async def run_once(self, *, on_progress: Callable[[], None]) -> float | None:
        """Start the lookups that are due; returns the seconds until the next call is needed, None: when woken."""
        self._drop_finished()
        capacity = self._runner.capacity(MAX_CONCURRENT) - len(self.in_flight)
        exclude = self.in_flight.keys() | self._backoff.blocked() | self._exclude
        if capacity > 0:
            for lookup in (await lookups.due(self._db, self._connection_id, MAX_CONCURRENT, exclude=exclude))[
                :capacity
            ]:
                self.in_flight[lookup.kind, lookup.id] = asyncio.create_task(self._run(lookup, on_progress))
        if self.in_flight:
            return None
        if capacity <= 0:
            return self._runner.seconds_to_next_probe
        next_due = await lookups.next_due(self._db, self._connection_id, exclude=exclude)
        return next_wait(next_due, datetime.now(UTC), self._backoff.seconds_to_next())

    def _drop_finished(self) -> None:
        for key, task in list(self.in_flight.items()):
            if task.done():
                del self.in_flight[key]

    async def _run(self, lookup: DueLookup, on_progress: Callable[[], None]) -> None:
        try:
            await self._runner.run(lookup)
            self._backoff.clear([(lookup.kind, lookup.id)])
        except Exception as error:  # noqa: BLE001 - one lookup's error is its own
            await self._fail(lookup, error)
        finally:
            on_progress()

    async def _fail(self, lookup: DueLookup, error: Exception) -> None:
        """Store the failure. If even that fails, the lookup waits in memory, longer each time."""
        key = (lookup.kind, lookup.id)
        if isinstance(error, UNAVAILABLE_ERRORS):
            await self._health.record_item_failure(Loop.LOOKUPS, [key], error)
            return
        try:
            await self._runner.fail(lookup, error)
        except Exception as second_error:  # noqa: BLE001 - counted and shown
            await self._health.record_item_failure(Loop.LOOKUPS, [key], second_error)
        else:
            self._backoff.clear([key])
