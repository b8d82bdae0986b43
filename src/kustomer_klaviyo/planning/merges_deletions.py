"""Applies merges and deletions of customers in Kustomer, which no webhook announces.

Merges: developer.kustomer.com/api (customer merges). Each decision is recorded as a delivery.
"""

from datetime import UTC, datetime

import msgspec
import structlog

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest
from kustomer_klaviyo.planning.customer_updates import replan_deliveries
from kustomer_klaviyo.planning.profile_diff import SentProfile, clear_request, erasure_request, read_sent_profile
from kustomer_klaviyo.planning.profile_planner import enqueue_profile_updates
from kustomer_klaviyo.planning.support_state import SUPPORT_PROPERTIES
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import cards, customers, lookups, outbox, sent_profiles
from kustomer_klaviyo.store.database import Transaction
from kustomer_klaviyo.store.lookups import Lookup, LookupKind
from kustomer_klaviyo.store.outbox import DeliveryKind, DeliveryState, NewDelivery
from kustomer_klaviyo.store.sent_profiles import CustomerProfile

log = structlog.get_logger()


async def apply_merge(tx: Transaction, context: ConnectionContext, *, source: str, target: str) -> None:
    """Send everything of the source to the target from now on. The target must be known."""
    connection_id = context.connection.id
    # Profiles are locked before anything else of a customer, as everywhere.
    await sent_profiles.lock_profiles(tx, connection_id, [source, target])
    merge_target = await customers.merge(tx, connection_id, source=source, target=target)
    if merge_target is None:
        return
    log.info("customer.merged", connection=connection_id, source=source, target=merge_target)
    await cards.delete(tx, connection_id, [source])
    await replan_deliveries(tx, context, [source, merge_target])
    # A merge changes the target, and may not cause a webhook.
    await lookups.enqueue(tx, connection_id, [Lookup(LookupKind.CUSTOMER, merge_target)])
    profile = await _sent_profile(tx, context, source)
    if profile is not None:
        # Nothing is sent to the source's address any more: its open conversations would stay open permanently.
        is_shared = bool(await _sharing_contact(tx, context, profile))
        request = None if is_shared else clear_request(profile, only=SUPPORT_PROPERTIES)
        await _record_removal(tx, context, profile, request, Reason.CUSTOMER_MERGED, f"into customer {merge_target}")
    await enqueue_profile_updates(tx, context, [merge_target])


async def apply_deletion(tx: Transaction, context: ConnectionContext, customer_id: str) -> None:
    """Handle a deleted customer's profile as the option ``on_deletion`` says."""
    connection_id, action = context.connection.id, context.options.on_deletion
    await cards.delete(tx, connection_id, [customer_id])
    profile = await _sent_profile(tx, context, customer_id)
    if profile is None:
        return
    log.info("customer.deleted", connection=connection_id, customer=customer_id, action=action)
    if action == "nothing":
        await _record_removal(tx, context, profile, None, Reason.DELETED_PROFILE_KEPT)
    elif others := await _sharing_contact(tx, context, profile):
        await _record_removal(tx, context, profile, None, Reason.DELETED_PROFILE_SHARED, f"customer {others[0]}")
        await sent_profiles.mark_for_full_resend(tx, connection_id, {other: {} for other in others})
        await enqueue_profile_updates(tx, context, others)
    elif action == "erase":
        # An event that is sent after the erasure would create the profile again.
        await outbox.fail_pending_events(tx, connection_id, customer_id, reason=Reason.CUSTOMER_ERASED)
        await _record_removal(tx, context, profile, erasure_request(profile), Reason.CUSTOMER_ERASED)
    else:
        await _record_removal(tx, context, profile, clear_request(profile), Reason.DELETED_PROFILE_CLEARED)


async def _sent_profile(tx: Transaction, context: ConnectionContext, customer_id: str) -> CustomerProfile | None:
    """Return and lock the profile of a customer; None if it was never sent."""
    profiles = await sent_profiles.lock_profiles(tx, context.connection.id, [customer_id])
    return profiles[0] if profiles and profiles[0].sent_version else None


async def _sharing_contact(tx: Transaction, context: ConnectionContext, profile: CustomerProfile) -> list[str]:
    """Return the other customers with the same contact, who share the profile in Klaviyo."""
    last = read_sent_profile(profile.last_sent)
    contacts = [contact for contact in (last.email, last.phone) if contact is not None]
    return await customers.sharing_contact(tx, context.connection.id, profile.customer_id, contacts)


async def _record_removal(
    tx: Transaction,
    context: ConnectionContext,
    profile: CustomerProfile,
    request: ProfileRequest | None,
    reason: Reason,
    detail: str | None = None,
) -> None:
    """Record the decision as a delivery; without a request as a skipped one."""
    sends_request = reason in (Reason.CUSTOMER_ERASED, Reason.DELETED_PROFILE_CLEARED)
    if sends_request and request is None:
        reason = Reason.DELETED_NOTHING_SENT
    version = profile.sent_version + 1
    delivery = NewDelivery(
        fact_key=f"removal:{profile.customer_id}:{version}",
        kind=DeliveryKind.PROFILE,
        subject=profile.customer_id,
        conversation_id="",
        occurred_at=datetime.now(UTC),
        rev=0,
        state=DeliveryState.SKIPPED if request is None else DeliveryState.PENDING,
        # The delivery replaces the reason with its result, so the notes keep it.
        fact={"notes": [reason, *filter(None, [detail])]},
        reason=reason,
        identifier=None if request is None else request.identifier,
        request=None if request is None else msgspec.to_builtins(request),
        is_removal=True,
    )
    sent = SentProfile() if request is not None else read_sent_profile(profile.last_sent)
    await outbox.insert(tx, context.connection.id, [delivery])
    document = msgspec.to_builtins(sent)
    await sent_profiles.save_sent(tx, context.connection.id, [(profile.customer_id, document, version)])
