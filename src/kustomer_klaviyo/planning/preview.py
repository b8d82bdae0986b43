"""Previews what would be sent for one customer: plans it in a transaction that is rolled back."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.facts import CustomerObserved
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest, combine_requests, profile_resource
from kustomer_klaviyo.kustomer.interpret import interpret_customer
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_id, decode_resource
from kustomer_klaviyo.mapping.profile_mapping import MappedEntry, map_entries
from kustomer_klaviyo.planning.customer_updates import save_customers
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.planning.profile_planner import enqueue_profile_updates
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import outbox
from kustomer_klaviyo.store.customers import Customer
from kustomer_klaviyo.store.database import Database


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be sent for one customer."""

    customer: Customer
    entries: tuple[MappedEntry, ...]
    """The result of each entry of the mapping."""
    body: dict[str, Any] | None
    """The profile resource that would be sent; None if nothing would."""
    reason: Reason | None
    """Why nothing would be sent."""


async def preview_customer(db: Database, context: ConnectionContext, document: bytes) -> Preview:
    """Preview a customer, given the document from Kustomer's API. Raises ValueError if it is not a customer's."""
    observed = _read(document)
    customer = identify(observed, context.rules)
    async with db.dry_run_transaction() as tx:
        await save_customers(tx, context, [customer])
        await enqueue_profile_updates(tx, context, [customer.customer_id])
        rows = await outbox.pending_profiles(tx, context.connection.id, customer.customer_id)
    requests = [msgspec.convert(row["request"], ProfileRequest) for row in rows]
    body = profile_resource(combine_requests(requests)) if requests else None
    entries = tuple(map_entries(context.rules.mapping, customer.customer_id, observed.attributes))
    return Preview(customer, entries, body, None if requests else _reason(customer, context))


def _read(document: bytes) -> CustomerObserved:
    try:
        resource = decode_resource(document)
    except MalformedJSON as error:
        raise ValueError("Kustomer's response is not a JSON document") from error
    customer_id = as_id(resource.id)
    if customer_id is None:
        raise ValueError("Kustomer's response is not a customer")
    customer = interpret_customer(resource, customer_id, observed_at=datetime.now(UTC)).customer
    if customer is None:
        raise ValueError("Kustomer's response is not a customer")
    return customer


def _reason(customer: Customer, context: ConnectionContext) -> Reason:
    if customer.removed:
        return Reason.CUSTOMER_REMOVED
    if customer.skip_reason is not None:
        return Reason(customer.skip_reason)
    if customer.email is None and customer.phone is None:
        return Reason.NO_IDENTIFIER
    return Reason.UP_TO_DATE if context.options.profiles == "everyone" else Reason.PROFILES_NOT_WANTED
