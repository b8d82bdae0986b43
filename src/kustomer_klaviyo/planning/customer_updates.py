"""Saves customers, and replans the deliveries that depend on them."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import Fact
from kustomer_klaviyo.health.item_errors import frames
from kustomer_klaviyo.planning.event_planner import decode_fact, plan_delivery
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import customers, lookups, outbox
from kustomer_klaviyo.store.customers import Customer, Identifiers
from kustomer_klaviyo.store.database import Transaction
from kustomer_klaviyo.store.lookups import Lookup, LookupKind
from kustomer_klaviyo.store.outbox import DeliveryState, ReplannedDelivery

log = structlog.get_logger()


async def save_customers(tx: Transaction, context: ConnectionContext, observed: Sequence[Customer]) -> set[str]:
    """Save customers, replan their deliveries, and look up merges of removed ones; returns the changed customers."""
    connection_id = context.connection.id
    changed = await customers.save(tx, connection_id, observed)
    removed = sorted({customer.customer_id for customer in observed if customer.removed} & changed)
    if removed:
        await lookups.enqueue(tx, connection_id, [Lookup(LookupKind.MERGE, customer_id) for customer_id in removed])
        # Pending events keep their identifier until it is known whether the customer was merged or deleted.
        await replan_deliveries(tx, context, removed, states=(DeliveryState.UNIDENTIFIED,))
    await replan_deliveries(tx, context, sorted(changed - set(removed)))
    return changed


async def replan_deliveries(
    tx: Transaction,
    context: ConnectionContext,
    customer_ids: Sequence[str],
    *,
    states: Sequence[DeliveryState] = (DeliveryState.PENDING, DeliveryState.UNIDENTIFIED),
) -> None:
    """Replan the events of customers with their current identifiers."""
    connection_id = context.connection.id
    rows = await outbox.replannable(
        tx,
        connection_id,
        customer_ids,
        states=states,
        failed_reasons=(Reason.CUSTOMER_REMOVED, Reason.CUSTOMER_NOT_READ),
        skip_reasons=(Reason.ONLY_TAGS, Reason.ONLY_ATTRIBUTES),
    )
    if not rows:
        return
    identifiers = await customers.identifiers(tx, connection_id, sorted({row["subject"] for row in rows}))
    replanned = [replan(row, identifiers.get(row["subject"]), context.rules) for row in rows]
    await outbox.replan(tx, connection_id, replanned)


def replan(row: Mapping[str, Any], customer: Identifiers | None, rules: ConnectionRules) -> ReplannedDelivery:
    """Replan a stored delivery; an unreadable one fails, so that it does not block the others."""
    fact = read_fact(row)
    if fact is None:
        return ReplannedDelivery(row["fact_key"], DeliveryState.FAILED, Reason.FACT_UNREADABLE)
    return plan_delivery(fact, customer, rules).to_replanned(row["fact_key"])


def read_fact(row: Mapping[str, Any]) -> Fact | None:
    """Return the fact of a stored delivery; None if it is unreadable."""
    try:
        return decode_fact(row["kind"], row["fact"])
    except Exception as error:  # noqa: BLE001 - whatever the error, it concerns this delivery only
        log.warning("delivery.unreadable", fact_key=row["fact_key"], error=type(error).__name__, at=frames(error))
        return None
