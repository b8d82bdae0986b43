"""Processes the inbox: pending events become facts, and facts become deliveries, in one transaction (commit 2)."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog

from kustomer_klaviyo.cleaning import clean
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.facts import ConversationObserved, epoch_milliseconds
from kustomer_klaviyo.health.item_errors import describe_error, frames
from kustomer_klaviyo.kustomer.interpret import Observation, interpret
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.unreadable_ids import EntityRef, find_entity
from kustomer_klaviyo.kustomer.webhook_notes import invalid_values
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.customer_updates import save_customers
from kustomer_klaviyo.planning.event_planner import KIND_OF, EventPlanner
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.planning.profile_planner import enqueue_profile_updates
from kustomer_klaviyo.reasons import InboxReason
from kustomer_klaviyo.store import conversations, customers, inbox, lookups, outbox, recorded_facts
from kustomer_klaviyo.store.conversations import ConversationRow
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database, Transaction
from kustomer_klaviyo.store.inbox import EventResult, InboxEvent, InboxState
from kustomer_klaviyo.store.lookups import Lookup, LookupKind

BATCH_SIZE = 500
MAX_DETAIL = 200

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class BatchResult:
    """How many events were processed, and how many deliveries they led to."""

    events: int
    planned: int


@dataclass(frozen=True, slots=True)
class _ParsedEvent:
    """An event and its observation, with a note for each invalid value."""

    event_id: str
    observation: Observation
    invalid_values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _UnprocessedEvent:
    """An event that cannot be read or processed, and the entity that it is about, if known."""

    event_id: str
    reason: InboxReason
    detail: str
    entity: EntityRef | None
    error_traceback: str | None = None

    def result(self) -> EventResult:
        """Return the result; an oversized event whose entity is fetched instead has not failed."""
        follow_up = "the customer or conversation is unknown; its next webhook contains the same data"
        if self.entity is not None:
            follow_up = f"{self.entity.kind} {self.entity.id} is fetched from Kustomer instead"
        is_fetched = self.reason is InboxReason.TOO_LARGE and self.entity is not None
        note = f"{clean(self.detail, MAX_DETAIL)}; {follow_up}"
        return EventResult(
            self.event_id,
            note,
            state=InboxState.PROCESSED if is_fetched else InboxState.FAILED,
            reason=self.reason,
            error_traceback=self.error_traceback,
        )

    def lookup(self) -> Lookup | None:
        """Return the lookup that fetches the entity."""
        return None if self.entity is None else Lookup(LookupKind(self.entity.kind), self.entity.id)


async def process_inbox(db: Database, context: ConnectionContext) -> BatchResult:
    """Process the oldest pending events; one that cannot be processed fails and does not block the others."""
    events = await inbox.pending(db, context.connection.id, BATCH_SIZE)
    if not events:
        return BatchResult(0, 0)
    try:
        return await _process(db, context, events)
    except UNAVAILABLE_ERRORS:
        raise
    except Exception as error:  # noqa: BLE001 - the events that cause it are isolated
        log.warning(
            "inbox.batch_failed", connection=context.connection.id, error=type(error).__name__, at=frames(error)
        )
        return await _process_halves(db, context, events, error)


async def _process_halves(
    db: Database, context: ConnectionContext, events: Sequence[InboxEvent], error: Exception
) -> BatchResult:
    """Process a failed batch in halves; an event that fails alone is marked as failed, with the traceback."""
    if len(events) == 1:
        await _fail(db, context, events[0], error)
        return BatchResult(1, 0)
    total, unsaved_error, middle = BatchResult(0, 0), None, len(events) // 2
    for half in (events[:middle], events[middle:]):
        result = BatchResult(0, 0)
        try:
            result = await _process(db, context, half)
        except UNAVAILABLE_ERRORS:
            raise
        except Exception as half_error:  # noqa: BLE001 - see above
            try:
                result = await _process_halves(db, context, half, half_error)
            except Exception as failure:  # noqa: BLE001 - raised after the other half
                unsaved_error = failure
        total = BatchResult(total.events + result.events, total.planned + result.planned)
    if unsaved_error is not None:
        raise unsaved_error
    return total


async def _fail(db: Database, context: ConnectionContext, event: InboxEvent, error: Exception) -> None:
    log.error(
        "inbox.event_failed",
        connection=context.connection.id,
        event_id=event.event_id,
        error=type(error).__name__,
        at=frames(error),
    )
    traceback = describe_error(error).traceback
    failed = _UnprocessedEvent(event.event_id, InboxReason.FAULT, type(error).__name__, None, traceback)
    async with db.transaction() as tx:
        await inbox.save_results(tx, context.connection.id, [failed.result()])


async def _process(db: Database, context: ConnectionContext, events: Sequence[InboxEvent]) -> BatchResult:
    connection_id = context.connection.id
    parsed = [_read(event) for event in events]
    readable = [event for event in parsed if isinstance(event, _ParsedEvent)]
    unreadable = [event for event in parsed if isinstance(event, _UnprocessedEvent)]
    observations = [event.observation for event in readable]
    async with db.transaction() as tx:
        changed = await _save_customers(tx, context, observations)
        changed |= await _save_conversations(tx, context, observations)
        planner = await _load_planner(tx, context, observations)
        results = [EventResult(event.event_id, _plan(planner, event)) for event in readable]
        results += [event.result() for event in unreadable]
        planner.replan_unsent()
        await _save_plans(tx, connection_id, planner)
        await _enqueue_lookups(tx, connection_id, unreadable)
        event_ids = {
            event.observation.customer_id: event.event_id for event in readable if event.observation.customer_id
        }
        await enqueue_profile_updates(tx, context, changed | planner.subjects, event_ids=event_ids)
        await inbox.save_results(tx, connection_id, results)
    return BatchResult(len(events), len(planner.new_deliveries) + len(planner.replanned))


def _read(event: InboxEvent) -> _ParsedEvent | _UnprocessedEvent:
    if event.full_size is not None:
        detail, entity = f"{event.full_size:,} bytes", find_entity(event.body)
        return _UnprocessedEvent(event.event_id, InboxReason.TOO_LARGE, detail, entity)
    try:
        envelope = decode_webhook(event.body)
        observation = interpret(envelope, received_at=event.received_at)
        return _ParsedEvent(event.event_id, observation, invalid_values(envelope))
    except MalformedJSON as error:
        detail = f"{len(event.body):,} bytes: {error}"
        return _UnprocessedEvent(event.event_id, InboxReason.UNREADABLE, detail, find_entity(event.body))


async def _save_customers(tx: Transaction, context: ConnectionContext, observations: Sequence[Observation]) -> set[str]:
    """Save the observed customers; returns the changed ones."""
    observed = [observation.customer for observation in observations if observation.customer is not None]
    if not observed:
        return set()
    return await save_customers(tx, context, [identify(customer, context.rules) for customer in observed])


async def _save_conversations(
    tx: Transaction, context: ConnectionContext, observations: Sequence[Observation]
) -> set[str]:
    """Save the observed conversations; returns the customers whose conversations changed."""
    rows = [
        _conversation_row(observation.conversation)
        for observation in observations
        if observation.conversation is not None
    ]
    return await conversations.save(tx, context.connection.id, rows) if rows else set()


def _conversation_row(observed: ConversationObserved) -> ConversationRow:
    conversation = observed.conversation
    return ConversationRow(
        conversation.id,
        conversation.customer_id,
        conversation.rev,
        observed.fingerprint,
        msgspec.to_builtins(observed),
        {str(epoch_milliseconds(observed.status_changed_at)): observed.is_open},
        conversation.rev if observed.is_unanswered else 0,
    )


async def _load_planner(
    tx: Transaction, context: ConnectionContext, observations: Sequence[Observation]
) -> EventPlanner:
    """Return a planner with what is recorded and known about the observed conversations and customers."""
    connection_id = context.connection.id
    hints = [observation.refetch_hint for observation in observations if observation.refetch_hint is not None]
    conversation_ids = {fact.conversation.id for observation in observations for fact in observation.facts}
    conversation_ids |= {hint.conversation_id for hint in hints}
    customer_ids = {
        observation.customer_id for observation in observations if observation.facts and observation.customer_id
    }
    if not conversation_ids:
        return EventPlanner(context.rules, {}, {}, {})
    recorded = await recorded_facts.of_conversations(tx, connection_id, sorted(conversation_ids))
    newest = await conversations.newest(tx, connection_id, sorted(conversation_ids))
    customer_ids |= {observed.customer_id for observed in newest.values() if observed.customer_id is not None}
    identifiers = await customers.identifiers(tx, connection_id, sorted(customer_ids)) if customer_ids else {}
    return EventPlanner(context.rules, recorded, identifiers, newest)


def _plan(planner: EventPlanner, event: _ParsedEvent) -> str:
    """Plan an event's facts; returns a note on the results."""
    observation = event.observation
    notes = [f"{KIND_OF[type(fact)]}: {planner.plan(fact, event.event_id)}" for fact in observation.facts]
    if observation.customer is not None:
        notes.append("customer: observed")
    if observation.refetch_hint is not None:
        notes.append(f"survey: {planner.plan_refetch(observation.refetch_hint)}")
    return "; ".join((*(notes or ["no facts"]), *observation.notes, *event.invalid_values))


async def _save_plans(tx: Transaction, connection_id: str, planner: EventPlanner) -> None:
    if planner.new_deliveries:
        await outbox.insert(tx, connection_id, list(planner.new_deliveries.values()))
    if planner.replanned:
        await outbox.replan(tx, connection_id, list(planner.replanned.values()))
    if planner.lookups:
        await lookups.enqueue(tx, connection_id, list(planner.lookups.values()))


async def _enqueue_lookups(tx: Transaction, connection_id: str, events: Sequence[_UnprocessedEvent]) -> None:
    """Look up the entities of unreadable events."""
    wanted = {(lookup.kind, lookup.id): lookup for event in events if (lookup := event.lookup()) is not None}
    if wanted:
        await lookups.enqueue(tx, connection_id, list(wanted.values()))
