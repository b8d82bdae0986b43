"""Whether anything may be sent to Klaviyo for a connection: a circuit breaker.

When it is closed, requests run concurrently. A failure that concerns the whole account opens it: nothing is sent for a
while. Then it is half open: one request at a time probes Klaviyo, and the first success closes it. However long an
outage lasts, delivery resumes within seconds of its end, and Klaviyo is not flooded.
"""

import asyncio
import random
import time
from datetime import UTC, datetime

from kustomer_klaviyo.backoff import RetrySettings
from kustomer_klaviyo.delivery.retry_policy import decide_hold
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused
from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.connection_status import ConnectionStatus
from kustomer_klaviyo.store.connections import Connection
from kustomer_klaviyo.store.database import Database, Transaction

OTHER_LOOP_FIRST_SHARE = 0.3
"""After a failed probe, the same loop waits for this share of the initial wait, so that the other loop probes first:
its endpoint may work."""

PROBE_SECONDS = 5.0
"""After this long without a response another probe is sent: a hanging request must not hide that Klaviyo is back."""

OTHER_PROBE_SECONDS = 1.0
"""The same for a probe by the other loop."""


class CircuitBreaker:
    """One connection's circuit breaker while its worker runs. Its status is stored for the next worker."""

    def __init__(self, db: Database, connection: Connection, *, retry: RetrySettings) -> None:
        self._db = db
        self._connection_id = connection.id
        self._version = connection.version
        self._retry = retry
        self._status: ConnectionStatus | None = None
        self._lock = asyncio.Lock()
        self._probes: dict[object, float] = {}
        self._last_prober: object = None

    async def status(self) -> ConnectionStatus:
        """Return the connection's status."""
        if self._status is None:
            self._status = await connection_status.get(self._db, self._connection_id)
        return self._status

    async def seconds_held(self) -> float:
        """Return for how long nothing may be sent; 0 or less when the connection is not held."""
        until = (await self.status()).held_until
        return 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()

    async def is_half_open(self) -> bool:
        """Return whether one request at a time probes Klaviyo, while the others wait."""
        return (await self.status()).consecutive_failures > 0

    async def may_probe(self, prober: object) -> bool:
        """Return whether this loop may send a probe now. If so, it is registered, and ``end_probe`` must follow."""
        now = time.monotonic()
        for other, since in self._probes.items():
            if now - since < (PROBE_SECONDS if other is prober else OTHER_PROBE_SECONDS):
                return False
        seconds_since_hold = -await self.seconds_held()
        if prober is self._last_prober and seconds_since_hold < OTHER_LOOP_FIRST_SHARE * self._retry.initial_seconds:
            return False
        self._probes[prober], self._last_prober = now, prober
        return True

    def end_probe(self, prober: object) -> None:
        """End a loop's probe."""
        self._probes.pop(prober, None)

    async def record(
        self,
        tx: Transaction,
        outcome: Outcome,
        *,
        started_at: datetime,
        now: datetime,
        is_profile: bool = False,
    ) -> None:
        """Record an outcome. Failures of requests that were in flight together count once."""
        await self.status()
        async with self._lock:
            status = await self.status()
            if status.hold_set_at is not None and status.hold_set_at > started_at:
                return
            if isinstance(outcome, Accepted):
                self._status = await self._close(tx, status, now, is_profile=is_profile)
            elif not isinstance(outcome, Refused):
                self._status = await self._open(tx, status, outcome, now)

    async def _close(
        self, tx: Transaction, status: ConnectionStatus, now: datetime, *, is_profile: bool
    ) -> ConnectionStatus:
        is_saved = status.is_worth_saving(now, is_profile=is_profile)
        if is_saved:
            await connection_status.record_acceptance(tx, self._connection_id, at=now, is_profile=is_profile)
        return status.after_acceptance(now, is_profile=is_profile, is_saved=is_saved)

    async def _open(
        self, tx: Transaction, status: ConnectionStatus, outcome: Outcome, now: datetime
    ) -> ConnectionStatus:
        decision = decide_hold(outcome, status.consecutive_failures, now=now, rng=random.random, retry=self._retry)
        if decision is None:
            return status
        held = status.after_hold(
            until=decision.until, reason=decision.reason, detail=decision.detail, paused=decision.paused, now=now
        )
        await connection_status.save_hold(tx, self._connection_id, held, version=self._version)
        return held
