"""Runs lookups: reads from Kustomer what no webhook reported.

A document that was read goes into the inbox as an event, so that all events take the same path.
"""

import random
import time
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.backoff import MIN_WAIT_SECONDS, RetrySettings, backoff_seconds
from kustomer_klaviyo.connections.clock import save_clock_skew
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.health.item_errors import describe_error, frames
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.kustomer_responses import is_unavailable
from kustomer_klaviyo.kustomer.listings import is_document, is_list, read_merge_target
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.planning import merges_deletions
from kustomer_klaviyo.planning.customer_updates import save_customers
from kustomer_klaviyo.reasons import LookupReason, Reason
from kustomer_klaviyo.reconcile.deleted_customers import Sweep
from kustomer_klaviyo.reconcile.webhook_watch import WebhookWatch
from kustomer_klaviyo.store import customers, inbox, lookups, outbox
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.inbox import NewEvent
from kustomer_klaviyo.store.lookups import DueLookup, Lookup, LookupKind

MERGE_TARGET_SECONDS = 2.0
"""The merge waits this long for the lookup of an unknown customer who was merged into."""

MAX_LOCKED_OUT_SECONDS = 60.0
"""The longest wait while the API key is rejected: lookups resume this soon after an admin corrects it."""

log = structlog.get_logger()


class _Response(msgspec.Struct):
    data: msgspec.Raw


class _Event(msgspec.Struct, rename="camel"):
    name: str
    created_at: str
    data: msgspec.Raw


class LookupRunner:
    """Runs one connection's lookups."""

    def __init__(
        self, db: Database, context: ConnectionContext, client: KustomerClient, *, retry: RetrySettings
    ) -> None:
        self._db = db
        self._retry = retry
        self._context = context
        self._client = client
        self._sweep = Sweep(db, context, client)
        self._webhook_watch = WebhookWatch(db, context, client)

    async def run(self, lookup: DueLookup) -> None:
        """Run one lookup and act on the outcome; without a usable response it is rescheduled."""
        match lookup.kind:
            case LookupKind.WEBHOOK:
                await self._webhook_watch.check(lookup)
            case LookupKind.SWEEP:
                failure = await self._sweep.run(lookup)
                if failure is not None:
                    await self._reschedule(lookup, failure)
            case _ if lookup.is_obsolete:
                await self._complete(lookup, None)
            case _:
                await self._act_on(lookup, _validated(await self._read(lookup), lookup))
        await save_clock_skew(self._db, self._id, self._client)

    async def _act_on(self, lookup: DueLookup, outcome: Outcome) -> None:
        match outcome:
            case Accepted(body=body) if lookup.kind is LookupKind.MERGE:
                await self._complete_merge(lookup, read_merge_target(body, lookup.id))
            case Accepted(body=body):
                await self._complete(lookup, body)
            case Refused(status=404) if lookup.kind is LookupKind.MERGE:
                await self._complete_merge(lookup, None)
            case Refused(status=404):
                await self._complete_missing(lookup)
            case Refused() | Unreadable() if lookup.attempts + 1 >= self._retry.max_attempts:
                await self._give_up(lookup, outcome)
            case _:
                await self._reschedule(lookup, outcome)

    async def fail(self, lookup: DueLookup, error: Exception) -> None:
        """Mark a lookup that caused an error of this program as failed; a recurring one is rescheduled."""
        details = describe_error(error)
        fields = {"kind": lookup.kind, "id": lookup.id, "error": details.class_name}
        log.error("lookup.failed", connection=self._id, **fields, at=frames(error))
        reason = LookupReason.LOOKUP_FAULT
        if lookup.kind not in lookups.RECURRING:
            await self._fail(lookup, reason, details.sentence, details.traceback)
            return
        due_at = self._due_after_failure(lookup, self._retry.max_seconds)
        await lookups.reschedule(self._db, self._id, lookup, due_at=due_at, reason=reason, note=details.sentence)

    def capacity(self, limit: int) -> int:
        """Return how many lookups may run at once: a single probe while Kustomer is unreachable."""
        return self._client.outage.max_concurrent(time.monotonic(), limit)

    @property
    def seconds_to_next_probe(self) -> float:
        """The seconds until the next probe while Kustomer is unreachable."""
        return max(MIN_WAIT_SECONDS, self._client.outage.wait_seconds(time.monotonic()))

    async def _read(self, lookup: DueLookup) -> Outcome:
        read = {
            LookupKind.CUSTOMER: self._client.customer,
            LookupKind.CONVERSATION: self._client.conversation,
            LookupKind.MERGE: self._client.merges,
        }[lookup.kind]
        outcome = await read(lookup.id)
        fields = {"kind": lookup.kind, "id": lookup.id, "outcome": type(outcome).__name__}
        log.info("lookup.completed", connection=self._id, **fields)
        return outcome

    @property
    def _id(self) -> str:
        return self._context.connection.id

    async def _complete(self, lookup: DueLookup, body: bytes | None) -> None:
        async with self._db.transaction() as tx:
            if body is not None:
                await inbox.insert(tx, [_as_event(self._id, lookup, body)])
            await lookups.complete(tx, self._id, lookup)

    async def _complete_missing(self, lookup: DueLookup) -> None:
        async with self._db.transaction() as tx:
            if lookup.kind is LookupKind.CUSTOMER:
                await save_customers(tx, self._context, [customers.removed_customer(lookup.id)])
            await lookups.complete(tx, self._id, lookup)

    async def _complete_merge(self, lookup: DueLookup, target: str | None) -> None:
        """Apply the merge or the deletion of a removed customer. An unknown merge target is looked up first."""
        async with self._db.transaction() as tx:
            if target is None:
                await merges_deletions.apply_deletion(tx, self._context, lookup.id)
            elif not await customers.identifiers(tx, self._id, [target]):
                await lookups.enqueue(tx, self._id, [Lookup(LookupKind.CUSTOMER, target)])
                due_at = datetime.now(UTC) + timedelta(seconds=MERGE_TARGET_SECONDS)
                await lookups.repeat(tx, self._id, lookup, due_at=due_at)
                return
            else:
                await merges_deletions.apply_merge(tx, self._context, source=lookup.id, target=target)
            await lookups.complete(tx, self._id, lookup)

    async def _give_up(self, lookup: DueLookup, outcome: Refused | Unreadable) -> None:
        note = f"{lookup.attempts + 1} attempts: {outcome.detail}"
        log.warning("lookup.failed", connection=self._id, kind=lookup.kind, id=lookup.id, note=note)
        await self._fail(lookup, _reason_of(outcome), note)

    async def _fail(self, lookup: DueLookup, reason: LookupReason, note: str, traceback: str | None = None) -> None:
        """Stop until an admin retries or an event needs the same lookup; the events that wait for it fail."""
        async with self._db.transaction() as tx:
            await lookups.fail(tx, self._id, lookup, reason=reason, note=note, error_traceback=traceback)
            if lookup.kind is LookupKind.CUSTOMER:
                waiting, failed = Reason.LOOKING_UP_CUSTOMER, Reason.CUSTOMER_NOT_READ
                await outbox.fail_unidentified(tx, self._id, lookup.id, current_reason=waiting, reason=failed)

    async def _reschedule(self, lookup: DueLookup, outcome: Outcome) -> None:
        is_locked_out = isinstance(outcome, LockedOut)
        is_outage = self._client.outage.failures > 1 and is_unavailable(outcome) and not is_locked_out
        # An outage is no lookup's fault: it does not count as an attempt, and none waits long after its end.
        max_seconds = self._retry.max_seconds
        if is_outage or is_locked_out:
            max_seconds = min(max_seconds, self._retry.max_probe_seconds if is_outage else MAX_LOCKED_OUT_SECONDS)
        await lookups.reschedule(
            self._db,
            self._id,
            lookup,
            due_at=self._due_after_failure(lookup, max_seconds),
            reason=_reason_of(outcome),
            note=_note_of(outcome),
            counts_attempt=not is_outage,
        )

    def _due_after_failure(self, lookup: DueLookup, max_seconds: float) -> datetime:
        wait = backoff_seconds(self._retry.initial_seconds, max_seconds, lookup.attempts, random.random)
        return datetime.now(UTC) + timedelta(seconds=wait)


def _validated(outcome: Outcome, lookup: DueLookup) -> Outcome:
    """Return the outcome, or Unreadable if its document is not the requested one."""
    if not isinstance(outcome, Accepted):
        return outcome
    is_merge, body = lookup.kind is LookupKind.MERGE, outcome.body
    is_requested = is_list(body) if is_merge else is_document(body, lookup.kind, lookup.id)
    detail = f"Kustomer's response is not about the {lookup.kind} that was requested"
    return outcome if is_requested else Unreadable(detail, outcome.status)


def _as_event(connection_id: str, lookup: DueLookup, body: bytes) -> NewEvent:
    now = datetime.now(UTC)
    data = msgspec.json.decode(body, type=_Response).data
    event = _Event(name=f"kustomer.{lookup.kind}.update", created_at=now.isoformat(), data=data)
    is_customer = lookup.kind is LookupKind.CUSTOMER
    return NewEvent(
        connection_id=connection_id,
        event_id=f"read-{lookup.kind}-{lookup.id}-{round(now.timestamp() * 1000)}",
        event_name=f"kustomer.{lookup.kind}.read",
        conversation_id=None if is_customer else lookup.id,
        customer_id=lookup.id if is_customer else None,
        body=msgspec.json.encode(event),
        received_at=now,
    )


def _reason_of(outcome: Outcome) -> LookupReason:
    match outcome:
        case LockedOut():
            return LookupReason.KUSTOMER_KEY_REJECTED
        case Throttled():
            return LookupReason.KUSTOMER_RATE_LIMITED
        case Unreadable():
            return LookupReason.KUSTOMER_UNREADABLE
        case Unreachable():
            return LookupReason.KUSTOMER_UNAVAILABLE
        case Refused() | Accepted():
            return LookupReason.KUSTOMER_REFUSED


def _note_of(outcome: Outcome) -> str:
    match outcome:
        case LockedOut(status=status, detail=detail):
            return f"{status}: {detail}"
        case Refused(detail=detail) | Throttled(detail=detail) | Unreachable(detail=detail):
            return detail
        case Accepted():
            return ""
