"""The end of every attempt: the outcome becomes a verdict on each delivery and on the connection's lane, together."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.retry import Again, Delivered, History, Patience, SetAside, Verdict, decide, hold
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Throttled
from kustomer_klaviyo.store import deliveries, lanes
from kustomer_klaviyo.store.connections import Connection
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.deliveries import DueDelivery, Settled, State
from kustomer_klaviyo.store.lanes import Lane

Beside = Callable[[AsyncConnection[DictRow], Sequence[Verdict]], Awaitable[None]]
"""What else is written down in the same transaction."""

log = structlog.get_logger()


class Settler:
    """Writes down how one connection's attempts ended, while its run lasts."""

    def __init__(self, database: Database, connection: Connection, *, patience: Patience) -> None:
        self._database = database
        self._connection_id = connection.id
        self._revision = connection.revision
        self._patience = patience
        self._lane: Lane | None = None

    async def seconds_held(self) -> float:
        """Return for how long nothing may be sent; 0 or less when something may."""
        until = (await self._current()).wait_until
        return 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()

    async def settle(
        self,
        sent: Sequence[DueDelivery],
        outcome: Outcome,
        began: datetime,
        *,
        remarks: Sequence[str | None] | None = None,
        beside: Beside | None = None,
    ) -> list[Verdict]:
        """Decide on what one request carried, and write it down; ``remarks`` are notes on each if it was accepted."""
        now = datetime.now(UTC)
        self._log(sent, outcome, (now - began).total_seconds())
        lane = await self._current()
        verdicts = [self._decide(one, outcome, lane, now) for one in sent]
        news = [
            _settled(one, verdict, outcome, remark)
            for one, verdict, remark in zip(sent, verdicts, remarks or [None] * len(sent), strict=True)
        ]
        async with self._database.transaction() as connection:
            if not isinstance(outcome, Throttled | LockedOut):
                await deliveries.settle(connection, self._connection_id, news)
            if beside is not None:
                await beside(connection, verdicts)
            self._lane = await self._settle_lane(connection, lane, outcome, began=began, now=now)
        return verdicts

    async def note(self, outcome: Outcome, began: datetime) -> None:
        """Take note of an answer that concerns no delivery but tells how the lane fares."""
        lane = await self._current()
        async with self._database.transaction() as connection:
            self._lane = await self._settle_lane(connection, lane, outcome, began=began, now=datetime.now(UTC))

    async def _current(self) -> Lane:
        if self._lane is None:
            self._lane = await lanes.get(self._database, self._connection_id)
        return self._lane

    def _decide(self, one: DueDelivery, outcome: Outcome, lane: Lane, now: datetime) -> Verdict:
        history = History(one.attempts, one.first_attempt_at, lane.last_accepted_at)
        return decide(outcome, history, now=now, chance=random.random, patience=self._patience)

    async def _settle_lane(
        self, connection: AsyncConnection[DictRow], lane: Lane, outcome: Outcome, *, began: datetime, now: datetime
    ) -> Lane:
        if lane.held_at is not None and lane.held_at > began:
            return lane
        if isinstance(outcome, Accepted):
            if lane.is_worth_noting(now):
                await lanes.accepted(connection, self._connection_id)
            return lane.after_acceptance(now)
        held = hold(outcome, lane.failures, now=now, chance=random.random, patience=self._patience)
        if held is None:
            return lane
        await lanes.hold(
            connection,
            self._connection_id,
            revision=self._revision,
            until=held.until,
            reason=held.reason,
            paused=held.paused,
        )
        return lane.after_hold(until=held.until, reason=held.reason, paused=held.paused, now=now)

    def _log(self, sent: Sequence[DueDelivery], outcome: Outcome, seconds: float) -> None:
        """Write one wide line; the vendor's words stay in the database, since they may repeat an address."""
        log.info(
            "delivery.attempted",
            connection=self._connection_id,
            deliveries=len(sent),
            key=sent[0].key,
            outcome=type(outcome).__name__,
            status=outcome.status,
            request_id=outcome.request_id,
            seconds=round(seconds, 3),
        )


def _settled(one: DueDelivery, verdict: Verdict, outcome: Outcome, remark: str | None) -> Settled:
    status, request_id = outcome.status, outcome.request_id
    detail = None if isinstance(outcome, Accepted) else outcome.detail
    match verdict:
        case Delivered(note=note):
            said = note or remark
            return Settled(one.key, State.DELIVERED, said, status=status, request_id=request_id, detail=said)
        case Again(at=at, reason=reason):
            return Settled(one.key, State.WAITING, reason, at, status, request_id, detail)
        case SetAside(reason=reason):
            return Settled(one.key, State.FAILED, reason, status=status, request_id=request_id, detail=detail)
