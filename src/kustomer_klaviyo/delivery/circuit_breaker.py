"""Whether anything may be sent to Klaviyo for a connection: a circuit breaker.

Closed, requests go side by side. A failure that concerns the whole account opens it: nothing goes for a while. Then it
is half open: one request at a time finds out whether Klaviyo is back, and the first success closes it. However long an
outage lasts, delivery thus goes on within seconds of its end, and Klaviyo meets no crowd at the door.
"""

import asyncio
import random
import time
from datetime import UTC, datetime

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.backoff import Patience
from kustomer_klaviyo.delivery.retry_policy import hold
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused
from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.connection_status import Lane
from kustomer_klaviyo.store.connections import Connection
from kustomer_klaviyo.store.database import Database

OTHERS_FIRST = 0.3
"""The part of the first wait for which whoever probed in vain lets others probe: their endpoint may be well."""

PROBE_SECONDS = 5.0
"""After so long without an answer another probe goes: a request that hangs must not hide that Klaviyo is back."""

OTHER_PROBE_SECONDS = 1.0
"""The same for a request of another kind."""


class CircuitBreaker:
    """One connection's circuit breaker while its run lasts; kept in the database for the next run."""

    def __init__(self, database: Database, connection: Connection, *, patience: Patience) -> None:
        self._database = database
        self._connection_id = connection.id
        self._revision = connection.revision
        self._patience = patience
        self._lane: Lane | None = None
        self._changing = asyncio.Lock()
        self._probes: dict[object, float] = {}
        self._last_prober: object = None

    async def state(self) -> Lane:
        """Return how delivery fares."""
        if self._lane is None:
            self._lane = await connection_status.get(self._database, self._connection_id)
        return self._lane

    async def seconds_held(self) -> float:
        """Return for how long nothing may be sent; 0 or less when something may."""
        until = (await self.state()).wait_until
        return 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()

    async def is_half_open(self) -> bool:
        """Say whether one request is to find out whether Klaviyo is back, while the rest waits."""
        return (await self.state()).failures > 0

    async def may_probe(self, who: object) -> bool:
        """Say whether somebody may send the one request now; then ``probed`` is to follow."""
        now = time.monotonic()
        for prober, since in self._probes.items():
            if now - since < (PROBE_SECONDS if prober is who else OTHER_PROBE_SECONDS):
                return False
        held = -await self.seconds_held()
        if who is self._last_prober and held < OTHERS_FIRST * self._patience.first_wait:
            return False
        self._probes[who], self._last_prober = now, who
        return True

    def probed(self, who: object) -> None:
        """End somebody's probe."""
        self._probes.pop(who, None)

    async def settle(
        self,
        db: AsyncConnection[DictRow],
        outcome: Outcome,
        *,
        began: datetime,
        now: datetime,
        is_profile: bool = False,
    ) -> None:
        """Take note of an answer. Requests that were under way together count once, as the first of them to fail."""
        await self.state()
        async with self._changing:
            lane = await self.state()
            if lane.held_at is not None and lane.held_at > began:
                return
            if isinstance(outcome, Accepted):
                self._lane = await self._closed(db, lane, now, is_profile=is_profile)
            elif not isinstance(outcome, Refused):
                self._lane = await self._opened(db, lane, outcome, now)

    async def _closed(self, db: AsyncConnection[DictRow], lane: Lane, now: datetime, *, is_profile: bool) -> Lane:
        is_noted = lane.is_worth_noting(now, is_profile=is_profile)
        if is_noted:
            await connection_status.accepted(db, self._connection_id, at=now, is_profile=is_profile)
        return lane.after_acceptance(now, is_profile=is_profile, is_noted=is_noted)

    async def _opened(self, db: AsyncConnection[DictRow], lane: Lane, outcome: Outcome, now: datetime) -> Lane:
        held = hold(outcome, lane.failures, now=now, chance=random.random, patience=self._patience)
        if held is None:
            return lane
        after = lane.after_hold(until=held.until, reason=held.reason, paused=held.paused, now=now)
        await connection_status.hold(db, self._connection_id, after, revision=self._revision)
        return after
