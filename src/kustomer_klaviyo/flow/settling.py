"""The end of every attempt: the outcome becomes a verdict on each delivery and on the connection's lane, together."""

import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.circuit_breaker import CircuitBreaker
from kustomer_klaviyo.flow.retry import Again, Delivered, History, Patience, SetAside, Verdict, decide
from kustomer_klaviyo.outcomes import Accepted, Outcome
from kustomer_klaviyo.store import deliveries
from kustomer_klaviyo.store.connections import Connection
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.deliveries import DueDelivery, Settled, State

Beside = Callable[[AsyncConnection[DictRow], Sequence[Verdict]], Awaitable[None]]
"""What else is written down in the same transaction."""

log = structlog.get_logger()


class Settler:
    """Writes down how one connection's attempts ended, while its run lasts."""

    def __init__(self, database: Database, connection: Connection, *, patience: Patience) -> None:
        self._database = database
        self._connection_id = connection.id
        self._patience = patience
        self.circuit = CircuitBreaker(database, connection, patience=patience)
        self.seconds_held = self.circuit.seconds_held

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
        accepted_at = (await self.circuit.state()).last_accepted_at
        verdicts = [self._decide(one, outcome, accepted_at, now) for one in sent]
        news = [
            _settled(one, verdict, outcome, remark, now)
            for one, verdict, remark in zip(sent, verdicts, remarks or [None] * len(sent), strict=True)
            if not (isinstance(verdict, Again) and verdict.at is None)
        ]
        async with self._database.transaction() as connection:
            await deliveries.settle(connection, self._connection_id, news)
            if beside is not None:
                await beside(connection, verdicts)
            await self.circuit.settle(connection, outcome, began=began, now=now)
        return verdicts

    async def note(self, outcome: Outcome, began: datetime) -> None:
        """Take note of an answer that concerns no delivery but tells how the lane fares."""
        async with self._database.transaction() as connection:
            await self.circuit.settle(connection, outcome, began=began, now=datetime.now(UTC))

    def _decide(self, one: DueDelivery, outcome: Outcome, accepted_at: datetime | None, now: datetime) -> Verdict:
        history = History(one.own_failures, one.attempted_at, accepted_at)
        return decide(outcome, history, now=now, chance=random.random, patience=self._patience)

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


def _settled(one: DueDelivery, verdict: Verdict, outcome: Outcome, remark: str | None, now: datetime) -> Settled:
    status, request_id = outcome.status, outcome.request_id
    detail = None if isinstance(outcome, Accepted) else outcome.detail
    match verdict:
        case Delivered(note=note):
            said = note or remark
            return Settled(one.key, State.DELIVERED, said, status=status, request_id=request_id, detail=said)
        case Again(at=at, reason=reason, is_own=is_own):
            return Settled(
                one.key, State.WAITING, reason, at, status, request_id, detail, attempted_at=now, is_own_failure=is_own
            )
        case SetAside(reason=reason):
            return Settled(one.key, State.FAILED, reason, status=status, request_id=request_id, detail=detail)
