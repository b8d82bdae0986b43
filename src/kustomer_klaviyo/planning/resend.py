"""Resends failed deliveries and events on an admin's request."""

from dataclasses import dataclass

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.facts import Fact
from kustomer_klaviyo.planning.customer_updates import read_fact
from kustomer_klaviyo.planning.event_planner import plan_delivery, with_latest_conversation
from kustomer_klaviyo.planning.profile_planner import enqueue_profile_updates
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import conversations, customers, inbox, lookups, outbox, refused_values, sent_profiles
from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.lookups import Lookup, LookupKind
from kustomer_klaviyo.store.outbox import DeliveryState, ReplannedDelivery

BATCH_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ResendResult:
    """How many deliveries and events are queued for another attempt."""

    deliveries: int
    events: int


async def resend_failed(db: Database, context: ConnectionContext, *, fact_key: str | None = None) -> ResendResult:
    """Queue failed deliveries, one or all, for another attempt; without a key also failed events and lookups."""
    connection_id = context.connection.id
    resent, batch = await _resend_profiles(db, context, fact_key), 1
    while batch:
        batch = await _replan_failed_events(db, context, fact_key)
        resent += batch
    async with db.transaction() as tx:
        events = 0 if fact_key is not None else await inbox.retry_failed(tx, connection_id)
        if fact_key is None:
            await lookups.retry_failed(tx, connection_id)
        await tx.execute("SELECT pg_notify('work', %s)", (connection_id,))
    return ResendResult(resent, events)


async def _resend_profiles(db: Database, context: ConnectionContext, fact_key: str | None) -> int:
    """Enqueue the whole profile in place of each failed write."""
    connection_id = context.connection.id
    async with db.transaction() as tx:
        customer_ids = await outbox.retry_failed_profiles(tx, connection_id, fact_key)
        await refused_values.clear_refusals(tx, connection_id, customer_ids)
        former_values = {customer_id: dict[str, object]() for customer_id in customer_ids}
        await sent_profiles.mark_for_full_resend(tx, connection_id, former_values)
        return await enqueue_profile_updates(tx, context, customer_ids)


async def _replan_failed_events(db: Database, context: ConnectionContext, fact_key: str | None) -> int:
    """Replan a batch of failed events with current customer data; look removed customers up again."""
    connection_id = context.connection.id
    async with db.transaction() as tx:
        facts = await _read_failed(tx, connection_id, fact_key)
        subjects = sorted({fact.conversation.customer_id or "" for fact in facts.values()})
        await refused_values.clear_refusals(tx, connection_id, subjects)
        identifiers = await customers.identifiers(tx, connection_id, subjects)
        replanned: list[ReplannedDelivery] = []
        unknown: set[str] = set()
        for key, fact in facts.items():
            subject = fact.conversation.customer_id or ""
            customer = identifiers.get(subject)
            plan = plan_delivery(fact, None if customer is None or customer.removed else customer, context.rules)
            if plan.reason == Reason.LOOKING_UP_CUSTOMER:
                unknown.add(subject)
            replanned.append(plan.to_replanned(key, fact))
        if replanned:
            await outbox.replan(tx, connection_id, replanned)
            await customers.reset_removed(tx, connection_id, sorted(unknown))
            await lookups.enqueue(
                tx, connection_id, [Lookup(LookupKind.CUSTOMER, customer_id) for customer_id in sorted(unknown)]
            )
    return sum(delivery.state is not DeliveryState.FAILED for delivery in replanned)


async def _read_failed(tx: Transaction, connection_id: str, fact_key: str | None) -> dict[str, Fact]:
    """Return the readable facts of failed events, with their current conversation, by fact key."""
    rows = await outbox.failed_events(tx, connection_id, fact_key, BATCH_SIZE)
    facts = {row["fact_key"]: fact for row in rows if (fact := read_fact(row)) is not None}
    newest = await conversations.newest(tx, connection_id, [fact.conversation.id for fact in facts.values()])
    return {key: with_latest_conversation(fact, newest.get(fact.conversation.id)) for key, fact in facts.items()}
