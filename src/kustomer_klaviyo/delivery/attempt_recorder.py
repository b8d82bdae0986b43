"""The end of every attempt: the outcome becomes a verdict on each delivery and on the connection's lane, together.

What cannot be written down is narrowed down to the deliveries that are the matter, and these are failed. Where not even
that can be written, the customers concerned wait, longer each time: no request is repeated at once.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import structlog
from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow

from kustomer_klaviyo.backoff import Patience
from kustomer_klaviyo.delivery.circuit_breaker import CircuitBreaker
from kustomer_klaviyo.delivery.retry_policy import Again, Delivered, History, SetAside, Verdict, decide
from kustomer_klaviyo.health.item_errors import describe, frames
from kustomer_klaviyo.health.loop_health import Health, Loop
from kustomer_klaviyo.outcomes import Accepted, Outcome
from kustomer_klaviyo.store import customers, outbox
from kustomer_klaviyo.store.connection_status import Lane
from kustomer_klaviyo.store.connections import Connection
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.outbox import DueDelivery, Settled, State

Beside = Callable[[AsyncConnection[DictRow], Sequence[Verdict]], Awaitable[None]]
"""What else is written down in the same transaction."""

log = structlog.get_logger()


NOT_FINISHED = "not finished: {}. Klaviyo may have it; `retry` sends it again"


class NotSettled(OperationalError):
    """How a request ended could not be written down, through no fault of what it carried: everything waits."""


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one request carried, and what is to be written of it."""

    sent: Sequence[DueDelivery]
    verdicts: Sequence[Verdict]
    news: Sequence[Settled | None]
    """None of what is to be tried again as it stands."""
    beside: Beside | None

    @property
    def concerns_items(self) -> bool:
        """Whether anything is written of the deliveries themselves."""
        return self.beside is not None or any(one is not None for one in self.news)

    def of(self, places: Sequence[int]) -> "_Attempt":
        """Return a part of it."""
        return _Attempt(
            [self.sent[i] for i in places], [self.verdicts[i] for i in places], [self.news[i] for i in places], None
        )


class Settler:
    """Writes down how one connection's attempts ended, while its run lasts."""

    def __init__(self, database: Database, connection: Connection, *, patience: Patience, health: Health) -> None:
        self._database = database
        self._health = health
        self._backoff = health.items(Loop.EVENTS)
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
        lane = await self.circuit.state()
        verdicts = [self._decide(one, outcome, lane, now) for one in sent]
        news = [
            None if isinstance(verdict, Again) and verdict.at is None else _settled(one, verdict, outcome, remark, now)
            for one, verdict, remark in zip(sent, verdicts, remarks or [None] * len(sent), strict=True)
        ]
        attempt = _Attempt(sent, verdicts, news, beside)
        try:
            await self._write(attempt, outcome, began, now)
        except Exception as error:
            if isinstance(error, UNREACHABLE) or not attempt.concerns_items:
                # The same request must not go out again at once.
                self._backoff.failed(one.subject for one in sent)
                raise NotSettled from error
            return await self._write_apart(attempt, error, outcome, began)
        self._backoff.succeeded(one.subject for one in sent)
        return verdicts

    @property
    def waiting(self) -> set[str]:
        """The customers of whom nothing may be sent yet, since how the last attempt ended could not be written."""
        return self._backoff.waiting()

    @property
    def seconds_to_next(self) -> float | None:
        """How long until something may be sent of one of those; None when there are none."""
        return self._backoff.seconds_to_next()

    def hold_back(self, subjects: Iterable[str]) -> None:
        """Send nothing of these customers for a while, longer each time."""
        self._backoff.failed(subjects)

    async def set_aside(self, those: Sequence[DueDelivery], error: Exception) -> None:
        """Fail deliveries for an error of ours; where that cannot be written, their customers wait longer each time."""
        if isinstance(error, UNREACHABLE):
            await self._health.item_failed(Loop.EVENTS, [one.subject for one in those], error)
            return
        fault = describe(error)
        log.error(
            "delivery.failed",
            connection=self._connection_id,
            keys=[one.key for one in those],
            code=fault.code,
            error=fault.kind,
            at=frames(error),
        )
        said = NOT_FINISHED.format(fault.sentence)
        news = [Settled(one.key, State.FAILED, said, code=fault.code, error=fault.traceback) for one in those]
        profiles = {one.subject: dict[str, Any]() for one in those if one.is_profile}
        try:
            async with self._database.transaction() as connection:
                await outbox.settle(connection, self._connection_id, news)
                await customers.doubt(connection, self._connection_id, profiles)
        except Exception as second:  # noqa: BLE001 - it is counted and shown, and nobody else waits for it
            await self._health.item_failed(Loop.EVENTS, [one.subject for one in those], second)
        else:
            self._backoff.succeeded(one.subject for one in those)

    async def write_down(self, sent: Sequence[DueDelivery], news: Sequence[Settled]) -> None:
        """Write down what became of deliveries that a bulk import carried; what cannot be written is failed."""
        if sent:
            verdicts = [Delivered()] * len(sent)
            await self._narrow_down(_Attempt(sent, verdicts, news, None))

    async def _write(self, attempt: "_Attempt", outcome: Outcome, began: datetime, now: datetime) -> None:
        async with self._database.transaction() as connection:
            await self._write_verdicts(connection, attempt)
            is_profile = attempt.sent[0].is_profile
            await self.circuit.settle(connection, outcome, began=began, now=now, is_profile=is_profile)

    async def _write_verdicts(self, connection: AsyncConnection[DictRow], attempt: "_Attempt") -> None:
        news = [one for one in attempt.news if one is not None]
        await outbox.settle(connection, self._connection_id, news)
        if attempt.beside is not None:
            await attempt.beside(connection, attempt.verdicts)

    async def _write_apart(
        self, attempt: "_Attempt", error: Exception, outcome: Outcome, began: datetime
    ) -> list[Verdict]:
        """Write down what can be, half by half, and fail what cannot; then how the connection fares, by itself."""
        log.warning("delivery.not_settled", connection=self._connection_id, deliveries=len(attempt.sent))
        refused = {one.key for one in await self._narrow_down(attempt)}
        if not refused:
            await self._health.failed(Loop.EVENTS, error)
        try:
            await self.note(outcome, began, is_profile=attempt.sent[0].is_profile)
        except Exception as second:
            raise NotSettled from second
        return [
            SetAside(type(error).__name__) if one.key in refused else verdict
            for one, verdict in zip(attempt.sent, attempt.verdicts, strict=True)
        ]

    async def _narrow_down(self, attempt: "_Attempt") -> list[DueDelivery]:
        """Write verdicts without their lane, in ever smaller parts; returns those that cannot be written."""
        try:
            async with self._database.transaction() as connection:
                await self._write_verdicts(connection, attempt)
        except UNREACHABLE:
            self._backoff.failed(one.subject for one in attempt.sent)
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is about one, the others are settled
            if len(attempt.sent) == 1 or attempt.beside is not None:
                await self.set_aside(attempt.sent, error)
                return list(attempt.sent)
            middle = len(attempt.sent) // 2
            return [
                *await self._narrow_down(attempt.of(range(middle))),
                *await self._narrow_down(attempt.of(range(middle, len(attempt.sent)))),
            ]
        self._backoff.succeeded(one.subject for one in attempt.sent)
        return []

    async def note(self, outcome: Outcome, began: datetime, *, is_profile: bool = False) -> None:
        """Take note of an answer that concerns no delivery but tells how the lane fares."""
        async with self._database.transaction() as connection:
            now = datetime.now(UTC)
            await self.circuit.settle(connection, outcome, began=began, now=now, is_profile=is_profile)

    def _decide(self, one: DueDelivery, outcome: Outcome, lane: Lane, now: datetime) -> Verdict:
        like_accepted_at = lane.accepted_at[one.is_profile]
        history = History(one.own_failures, one.attempted_at, lane.last_accepted_at, like_accepted_at)
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
