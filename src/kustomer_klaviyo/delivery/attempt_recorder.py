"""Records the end of every attempt: one transaction stores the decision on each delivery and the connection's status.

If the results of a batch cannot be stored, they are stored in smaller parts, and only the deliveries that cause the
error fail. If even that cannot be stored, the customers concerned are blocked with backoff: no request repeats at once.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import structlog

from kustomer_klaviyo.backoff import RetrySettings
from kustomer_klaviyo.delivery.circuit_breaker import CircuitBreaker
from kustomer_klaviyo.delivery.retry_policy import Decision, Delivered, DeliveryHistory, GiveUp, RetryAt, decide
from kustomer_klaviyo.health.item_errors import describe_error, frames
from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.outcomes import Accepted, Outcome, Refused
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import delivery_attempts, sent_profiles
from kustomer_klaviyo.store.connection_status import ConnectionStatus
from kustomer_klaviyo.store.connections import Connection
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database, OperationalError, Transaction
from kustomer_klaviyo.store.delivery_attempts import AttemptResult, DueDelivery
from kustomer_klaviyo.store.outbox import DeliveryState

ExtraWrites = Callable[[Transaction, Sequence[Decision]], Awaitable[None]]
"""Further writes in the transaction that stores the results."""

log = structlog.get_logger()


class RecordingFailed(OperationalError):
    """The result of a request could not be stored, for a reason unrelated to its content: everything waits."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is stored with a delivery if Klaviyo accepts it."""

    reason: Reason | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class _Attempt:
    """What one request carried, and what to store for it."""

    sent: Sequence[DueDelivery]
    decisions: Sequence[Decision]
    results: Sequence[AttemptResult | None]
    """None for a delivery that is retried unchanged."""
    extra_writes: ExtraWrites | None = None

    @property
    def concerns_deliveries(self) -> bool:
        """Whether anything is stored for the deliveries themselves."""
        return self.extra_writes is not None or any(result is not None for result in self.results)

    def part(self, indexes: Sequence[int]) -> "_Attempt":
        """Return the part with these deliveries."""
        return _Attempt(
            [self.sent[i] for i in indexes], [self.decisions[i] for i in indexes], [self.results[i] for i in indexes]
        )


class AttemptRecorder:
    """Records the results of one connection's attempts while its worker runs."""

    def __init__(self, db: Database, connection: Connection, *, retry: RetrySettings, health: LoopHealth) -> None:
        self._db = db
        self._health = health
        self._backoff = health.item_backoff(Loop.EVENTS)
        self._connection_id = connection.id
        self._retry = retry
        self.circuit_breaker = CircuitBreaker(db, connection, retry=retry)
        self.seconds_held = self.circuit_breaker.seconds_held

    async def record(
        self,
        sent: Sequence[DueDelivery],
        outcome: Outcome,
        started_at: datetime,
        *,
        notes: Sequence[Note] | None = None,
        rejected_reason: Reason = Reason.REJECTED,
        extra_writes: ExtraWrites | None = None,
    ) -> list[Decision]:
        """Decide on the deliveries of one request, and store the decisions.

        ``notes`` apply if the request was accepted, ``rejected_reason`` if it was rejected. ``extra_writes`` run in the
        same transaction.
        """
        now = datetime.now(UTC)
        self._log(sent, outcome, (now - started_at).total_seconds())
        decisions = await self._decide_all(sent, outcome, rejected_reason, now)
        results = [
            _result(delivery, decision, outcome, note, now)
            for delivery, decision, note in zip(sent, decisions, notes or [Note()] * len(sent), strict=True)
        ]
        attempt = _Attempt(sent, decisions, results, extra_writes)
        try:
            await self._store(attempt, outcome, started_at, now)
        except Exception as error:
            if isinstance(error, UNAVAILABLE_ERRORS) or not attempt.concerns_deliveries:
                # The same request must not be sent again at once.
                self._block(sent)
                raise RecordingFailed from error
            return await self._store_separately(attempt, error, outcome, started_at)
        self._unblock(sent)
        return list(attempt.decisions)

    @property
    def blocked_subjects(self) -> set[str]:
        """The customers for whom nothing may be sent yet, because the last result could not be stored."""
        return self._backoff.blocked()

    @property
    def seconds_to_next(self) -> float | None:
        """The seconds until a blocked customer is unblocked; None when none is blocked."""
        return self._backoff.seconds_to_next()

    def block_subjects(self, subjects: Iterable[str]) -> None:
        """Block these customers with backoff."""
        self._backoff.record_failures(subjects)

    async def fail(self, deliveries: Sequence[DueDelivery], error: Exception) -> None:
        """Fail deliveries after an error of this program. If that cannot be stored, block their customers."""
        subjects = [delivery.subject for delivery in deliveries]
        if isinstance(error, UNAVAILABLE_ERRORS):
            await self._health.record_item_failure(Loop.EVENTS, subjects, error)
            return
        try:
            await self._store_failures(deliveries, error)
        except Exception as storing_error:  # noqa: BLE001 - it is counted and shown, and no other customer waits for it
            await self._health.record_item_failure(Loop.EVENTS, subjects, storing_error)
        else:
            self._backoff.clear(subjects)

    async def _store_failures(self, deliveries: Sequence[DueDelivery], error: Exception) -> None:
        details = describe_error(error)
        log.error(
            "delivery.failed",
            connection=self._connection_id,
            keys=[delivery.fact_key for delivery in deliveries],
            code=details.code,
            error=details.class_name,
            at=frames(error),
        )
        results = [
            AttemptResult(
                delivery.fact_key,
                DeliveryState.FAILED,
                Reason.NOT_FINISHED,
                response_detail=details.sentence,
                error_code=details.code,
                error_traceback=details.traceback,
            )
            for delivery in deliveries
        ]
        profiles = {delivery.subject: dict[str, Any]() for delivery in deliveries if delivery.is_profile}
        async with self._db.transaction() as tx:
            await delivery_attempts.record_results(tx, self._connection_id, results)
            await sent_profiles.mark_for_full_resend(tx, self._connection_id, profiles)

    async def record_results(self, sent: Sequence[DueDelivery], results: Sequence[AttemptResult]) -> None:
        """Store the results of a bulk import. Deliveries whose result cannot be stored fail."""
        if sent:
            await self._store_in_parts(_Attempt(sent, [Delivered()] * len(sent), results))

    async def record_outcome(self, outcome: Outcome, started_at: datetime, *, is_profile: bool = False) -> None:
        """Record a response that concerns no delivery, only the connection's status."""
        async with self._db.transaction() as tx:
            now = datetime.now(UTC)
            await self.circuit_breaker.record(tx, outcome, started_at=started_at, now=now, is_profile=is_profile)

    async def _decide_all(
        self, sent: Sequence[DueDelivery], outcome: Outcome, rejected_reason: Reason, now: datetime
    ) -> list[Decision]:
        if isinstance(outcome, Refused):
            return [GiveUp(rejected_reason)] * len(sent)
        status = await self.circuit_breaker.status()
        return [self._decide(delivery, outcome, status, now) for delivery in sent]

    def _decide(self, delivery: DueDelivery, outcome: Outcome, status: ConnectionStatus, now: datetime) -> Decision:
        history = DeliveryHistory(
            delivery.own_failures,
            delivery.last_attempt_at,
            status.last_accepted_at,
            status.accepted_at[delivery.is_profile],
        )
        return decide(outcome, history, now=now, rng=random.random, retry=self._retry)

    async def _store(self, attempt: _Attempt, outcome: Outcome, started_at: datetime, now: datetime) -> None:
        async with self._db.transaction() as tx:
            await self._store_results(tx, attempt)
            is_profile = attempt.sent[0].is_profile
            await self.circuit_breaker.record(tx, outcome, started_at=started_at, now=now, is_profile=is_profile)

    async def _store_results(self, tx: Transaction, attempt: _Attempt) -> None:
        results = [result for result in attempt.results if result is not None]
        await delivery_attempts.record_results(tx, self._connection_id, results)
        if attempt.extra_writes is not None:
            await attempt.extra_writes(tx, attempt.decisions)

    async def _store_separately(
        self, attempt: _Attempt, error: Exception, outcome: Outcome, started_at: datetime
    ) -> list[Decision]:
        """Store the results in parts, fail the deliveries that prevent it, then store the connection's status."""
        log.warning("delivery.attempt_not_recorded", connection=self._connection_id, deliveries=len(attempt.sent))
        failed = {delivery.fact_key for delivery in await self._store_in_parts(attempt)}
        if not failed:
            await self._health.record_failure(Loop.EVENTS, error)
        try:
            await self.record_outcome(outcome, started_at, is_profile=attempt.sent[0].is_profile)
        except Exception as recording_error:
            raise RecordingFailed from recording_error
        return [
            GiveUp(Reason.NOT_FINISHED) if delivery.fact_key in failed else decision
            for delivery, decision in zip(attempt.sent, attempt.decisions, strict=True)
        ]

    async def _store_in_parts(self, attempt: _Attempt) -> list[DueDelivery]:
        """Store results by bisection, without the connection's status. Return the deliveries that had to fail."""
        try:
            async with self._db.transaction() as tx:
                await self._store_results(tx, attempt)
        except UNAVAILABLE_ERRORS:
            self._block(attempt.sent)
            raise
        except Exception as error:  # noqa: BLE001 - it concerns one delivery, and the others are stored
            if len(attempt.sent) == 1 or attempt.extra_writes is not None:
                await self.fail(attempt.sent, error)
                return list(attempt.sent)
            middle = len(attempt.sent) // 2
            return [
                *await self._store_in_parts(attempt.part(range(middle))),
                *await self._store_in_parts(attempt.part(range(middle, len(attempt.sent)))),
            ]
        self._unblock(attempt.sent)
        return []

    def _block(self, deliveries: Sequence[DueDelivery]) -> None:
        self._backoff.record_failures(delivery.subject for delivery in deliveries)

    def _unblock(self, deliveries: Sequence[DueDelivery]) -> None:
        self._backoff.clear(delivery.subject for delivery in deliveries)

    def _log(self, sent: Sequence[DueDelivery], outcome: Outcome, seconds: float) -> None:
        """Log one line per request. The vendor's message stays in the database, since it may repeat an address."""
        log.info(
            "delivery.attempted",
            connection=self._connection_id,
            deliveries=len(sent),
            key=sent[0].fact_key,
            outcome=type(outcome).__name__,
            status=outcome.status,
            request_id=outcome.request_id,
            seconds=round(seconds, 3),
        )


def _result(
    delivery: DueDelivery, decision: Decision, outcome: Outcome, note: Note, now: datetime
) -> AttemptResult | None:
    """Return what to store for a delivery; None when it is retried unchanged."""
    result = AttemptResult(
        delivery.fact_key,
        DeliveryState.DELIVERED,
        response_status=outcome.status,
        response_request_id=outcome.request_id,
        response_detail=None if isinstance(outcome, Accepted) else outcome.detail,
    )
    match decision:
        case Delivered(note=accepted_note):
            return replace(result, reason=note.reason, response_detail=accepted_note or note.detail)
        case RetryAt(at=None):
            return None
        case RetryAt(at=at, reason=reason, is_own_failure=is_own_failure):
            return replace(
                result,
                state=DeliveryState.PENDING,
                reason=reason,
                due_at=at,
                last_attempt_at=now,
                is_own_failure=is_own_failure,
            )
        case GiveUp(reason=reason):
            return replace(result, state=DeliveryState.FAILED, reason=reason)
