"""The recurring lookups of all connections: the sweep and the webhook check.

They run without a connection worker, so that a thousand idle connections cost little more than one.
"""

import asyncio
from collections.abc import Callable, Sequence

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.health.loop_health import HealthRegistry, Loop
from kustomer_klaviyo.reconcile.deleted_customers import SWEEP, SWEPT_AT
from kustomer_klaviyo.reconcile.lookup_runner import LookupRunner
from kustomer_klaviyo.reconcile.webhook_watch import WEBHOOK_LOOKUP
from kustomer_klaviyo.store import lookups
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.lookups import DueLookup, LookupKind
from kustomer_klaviyo.task_group import cancel_all

RECURRING_KEYS: frozenset[tuple[LookupKind, str]] = frozenset(
    (lookup.kind, lookup.id) for lookup in (SWEEP, WEBHOOK_LOOKUP)
)
MAX_CONCURRENT = 8
CLAIM_SECONDS = 120.0
"""Longer than a run takes. A lookup whose process ended runs again after this time."""
POLL_SECONDS = 1.0


async def schedule_recurring(db: Database, contexts: Sequence[ConnectionContext]) -> None:
    """Queue what is missing, and apply changed intervals: two statements for any number of connections."""
    intervals = {
        context.connection.id: context.options.sweep_interval_minutes * 60
        for context in contexts
        if context.options.sweep_interval_minutes
    }
    checked = [context.connection.id for context in contexts if context.connection.webhook_id is not None]
    wanted = [*((name, SWEEP) for name in intervals), *((name, WEBHOOK_LOOKUP) for name in checked)]
    async with db.transaction() as tx:
        await lookups.enqueue_recurring(tx, wanted)
        await lookups.set_intervals(tx, intervals, SWEEP, bookmark=SWEPT_AT)


class RecurringLookups:
    """Runs the recurring lookups that are due. Each is run by one of the processes."""

    def __init__(
        self,
        db: Database,
        registry: ConnectionRegistry,
        create_runner: Callable[[ConnectionContext], LookupRunner],
        health: HealthRegistry,
    ) -> None:
        self._db = db
        self._registry = registry
        self._create_runner = create_runner
        self._health = health

    async def run(self) -> None:
        """Run what is due, until cancelled. A slow lookup delays no other."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                finished = {task for task in running if task.done()}
                running -= finished
                for task in finished:
                    task.result()
                running |= {*await self.start_due(MAX_CONCURRENT - len(running))}
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await cancel_all(running)

    async def start_due(self, limit: int) -> list[asyncio.Task[None]]:
        """Start lookups that are due, at most ``limit``; returns their tasks."""
        if limit <= 0:
            return []
        claimed = await lookups.claim_recurring(self._db, limit, seconds=CLAIM_SECONDS)
        return [asyncio.create_task(self._run(connection_id, lookup)) for connection_id, lookup in claimed]

    async def _run(self, connection_id: str, lookup: DueLookup) -> None:
        context = self._registry.get(connection_id)
        if context is None:
            return
        runner = self._create_runner(context)
        if runner.capacity(1) <= 0:
            # Kustomer is unreachable: the next claim tries again.
            return
        health = self._health.of(connection_id)
        try:
            await runner.run(lookup)
        except UNAVAILABLE_ERRORS:
            return
        except Exception as error:  # noqa: BLE001 - one lookup's error is its own
            async with health.track(Loop.LOOKUPS):
                await runner.fail(lookup, error)
