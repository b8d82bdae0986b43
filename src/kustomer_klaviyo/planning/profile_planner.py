"""Enqueues profile writes: for each changed customer, what the profile in Klaviyo lacks."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.facts import ConversationObserved, CsatSubmitted, OpenCount
from kustomer_klaviyo.klaviyo.profile_request import Fields
from kustomer_klaviyo.planning.profile_diff import ProfileUpdate, diff_profile
from kustomer_klaviyo.planning.support_state import SupportState, combine, count_open, support_fields
from kustomer_klaviyo.store import conversations, customers, outbox, recorded_facts, sent_profiles
from kustomer_klaviyo.store.database import Transaction
from kustomer_klaviyo.store.outbox import DeliveryKind, DeliveryState, NewDelivery
from kustomer_klaviyo.store.sent_profiles import CustomerProfile


async def enqueue_profile_updates(
    tx: Transaction,
    context: ConnectionContext,
    customer_ids: Collection[str],
    *,
    event_ids: Mapping[str, str] | None = None,
) -> int:
    """Enqueue the profile writes of customers; returns how many there are.

    ``event_ids`` holds the event that each customer was observed in.
    """
    connection_id = context.connection.id
    if not customer_ids:
        return 0
    merge_targets = await customers.merge_targets(tx, connection_id, sorted(customer_ids))
    targets = sorted({merge_targets.get(customer_id, customer_id) for customer_id in customer_ids})
    profiles = await sent_profiles.lock_profiles(tx, connection_id, targets)
    support = await _support_fields(tx, context, profiles, merge_targets)
    deliveries, sent = [], []
    for profile in profiles:
        update = diff_profile(profile, support.get(profile.customer_id, {}), context.rules)
        if update is not None:
            deliveries.append(_delivery(profile, update, (event_ids or {}).get(profile.customer_id)))
            sent.append((profile.customer_id, msgspec.to_builtins(update.sent), profile.sent_version + 1))
    if deliveries:
        await outbox.insert(tx, connection_id, deliveries)
        await sent_profiles.save_sent(tx, connection_id, sent)
    return len(deliveries)


async def _support_fields(
    tx: Transaction,
    context: ConnectionContext,
    profiles: Sequence[CustomerProfile],
    merge_targets: Mapping[str, str],
) -> dict[str, Fields]:
    """Return the support state of each profile, with that of the customers merged into it."""
    if not context.options.support_state:
        return {}
    connection_id = context.connection.id
    members = {profile.customer_id: [profile.customer_id] for profile in profiles}
    for source, target in merge_targets.items():
        members.setdefault(target, [target]).append(source)
    everyone = sorted({customer_id for group in members.values() for customer_id in group})
    history = await recorded_facts.support_history(tx, connection_id, everyone)
    counted_at = {
        customer_id: profile.open_count_at for profile in profiles for customer_id in members[profile.customer_id]
    }
    opened = await conversations.count_open_since(tx, connection_id, counted_at)
    changed = await conversations.changed_since(tx, connection_id, counted_at)
    fields: dict[str, Fields] = {}
    for profile in profiles:
        group = members[profile.customer_id]
        state = combine([_support_state(history[customer_id]) for customer_id in group if customer_id in history])
        rows = [row for customer_id in group for row in changed.get(customer_id, ())]
        opened_since = sum(opened.get(customer_id, 0) for customer_id in group)
        changed_since = [msgspec.convert(row, ConversationObserved) for row in rows]
        fields[profile.customer_id] = support_fields(
            state, count_open(_open_count(profile), opened_since, changed_since)
        )
    return fields


def _support_state(row: Mapping[str, Any]) -> SupportState:
    last_csat = None if row["last_csat"] is None else msgspec.convert(row["last_csat"], CsatSubmitted)
    return SupportState(row["created_at"], row["done_at"], last_csat, row["rating_count"], row["rating_sum"])


def _open_count(profile: CustomerProfile) -> OpenCount | None:
    if profile.open_count is None or profile.open_count_at is None:
        return None
    return OpenCount(profile.open_count, profile.open_count_at)


def _delivery(profile: CustomerProfile, update: ProfileUpdate, event_id: str | None) -> NewDelivery:
    request = update.request
    return NewDelivery(
        fact_key=f"profile:{profile.customer_id}:{profile.sent_version + 1}",
        kind=DeliveryKind.PROFILE,
        subject=profile.customer_id,
        conversation_id="",
        occurred_at=datetime.now(UTC),
        rev=0,
        state=DeliveryState.PENDING,
        fact={"notes": update.notes} if update.notes else {},
        event_id=event_id,
        identifier=request.identifier,
        request=msgspec.to_builtins(request),
        blocks_events=profile.sent_version == 0 or bool(request.former_email or request.former_phone),
    )
