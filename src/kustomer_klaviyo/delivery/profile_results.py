"""Stores what follows from a profile write: profile ids, rejected values and conflicts, and the writes that remain."""

from collections.abc import Sequence
from datetime import datetime

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.delivery.attempt_recorder import AttemptRecorder
from kustomer_klaviyo.delivery.pending_profile_write import PendingProfileWrite
from kustomer_klaviyo.delivery.profile_writer import WriteResult
from kustomer_klaviyo.delivery.retry_policy import Decision, GiveUp
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY
from kustomer_klaviyo.klaviyo.rejected_fields import rejected_contact
from kustomer_klaviyo.outcomes import Accepted
from kustomer_klaviyo.planning.customer_updates import replan_deliveries
from kustomer_klaviyo.planning.profile_planner import enqueue_profile_updates
from kustomer_klaviyo.planning.refused_contacts import switch_to_next_contact
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import cards, delivery_attempts, refused_values, sent_profiles
from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.delivery_attempts import AttemptResult
from kustomer_klaviyo.store.outbox import DeliveryState


class ProfileResults:
    """Stores the results of one connection's profile writes."""

    def __init__(self, db: Database, context: ConnectionContext, recorder: AttemptRecorder) -> None:
        self._db = db
        self._context = context
        self._connection_id = context.connection.id
        self._recorder = recorder

    async def save(self, write: PendingProfileWrite, result: WriteResult, started_at: datetime) -> None:
        """Store the result of a write, and plan another one where Klaviyo rejected a contact or too many values."""
        may_replan = not (write.request.erase or write.request.must_exist)
        contact = rejected_contact(write.request, result.outcome)
        if may_replan and contact is not None and await self._use_next_contact(write, contact):
            return
        if may_replan and result.has_more_rejected:
            await self._continue_without_rejected(write, result)
        elif result.is_missing:
            await self._skip(write)
        else:
            await self._record(write, result, started_at)

    async def _record(self, write: PendingProfileWrite, result: WriteResult, started_at: datetime) -> None:
        async def save_result(tx: Transaction, decisions: Sequence[Decision]) -> None:
            if isinstance(result.outcome, Accepted):
                await self._save_accepted(tx, write, result)
            elif any(isinstance(decision, GiveUp) for decision in decisions):
                await self._mark_for_full_resend(tx, write)
                await self._refuse_fields(tx, write, result)

        await self._recorder.record(
            write.deliveries,
            result.outcome_with_notes(),
            started_at,
            rejected_reason=result.rejected_reason,
            extra_writes=save_result,
        )

    async def _use_next_contact(self, write: PendingProfileWrite, contact: str) -> bool:
        """Plan the write again under the customer's next contact; returns False where there is none."""
        request, is_known = write.request, write.profile_id is not None
        former_values = {
            **write.unchanged_values,
            "email": request.former_email or (request.email if is_known else None),
            "phone": request.former_phone or (request.phone if is_known and not request.email else None),
        }
        async with self._db.transaction() as tx:
            await sent_profiles.mark_for_full_resend(tx, self._connection_id, {write.subject: former_values})
            has_next = await switch_to_next_contact(tx, self._context, write.subject, contact)
            if has_next:
                await self._record_skipped(tx, write, Reason.NEXT_CONTACT, contact)
        return has_next

    async def _continue_without_rejected(self, write: PendingProfileWrite, result: WriteResult) -> None:
        """Plan another write without all values rejected so far. Each one has fewer values, so this ends."""
        detail = f"{len(result.rejected_values)} values"
        async with self._db.transaction() as tx:
            await self._mark_for_full_resend(tx, write)
            await self._refuse_fields(tx, write, result)
            await self._record_skipped(tx, write, Reason.WITHOUT_REFUSED_FIELDS, detail)
            await enqueue_profile_updates(tx, self._context, [write.subject])

    async def _skip(self, write: PendingProfileWrite) -> None:
        """Skip the write of a customer without a Klaviyo profile. If one appears later, everything is sent."""
        reason = Reason.NOT_IN_KLAVIYO if self._context.options.update_only else Reason.PROFILE_REMOVED
        async with self._db.transaction() as tx:
            await self._record_skipped(tx, write, reason)
            await sent_profiles.set_profile_ids(tx, self._connection_id, {write.subject: None})
            await sent_profiles.mark_for_full_resend(tx, self._connection_id, {write.subject: {}})

    async def _save_accepted(self, tx: Transaction, write: PendingProfileWrite, result: WriteResult) -> None:
        """Store the profile id, and plan another write if this one went to another profile than before."""
        if write.request.erase:
            return
        former_id = write.profile_id
        await sent_profiles.set_profile_ids(tx, self._connection_id, {write.subject: result.profile_id})
        await cards.invalidate_unknown(tx, self._connection_id, [write.subject])
        if result.rejected_values:
            await self._refuse_fields(tx, write, result)
        needs_update = await self._save_phone_conflict(tx, write, result)
        has_moved = result.is_new or (former_id is not None and result.profile_id != former_id)
        if has_moved and not write.request.is_whole:
            await sent_profiles.mark_for_full_resend(tx, self._connection_id, {write.subject: {}})
            needs_update = True
        if needs_update:
            await enqueue_profile_updates(tx, self._context, [write.subject])

    async def _save_phone_conflict(self, tx: Transaction, write: PendingProfileWrite, result: WriteResult) -> bool:
        """Store whether the phone number identifies the customer; returns whether its property is yet to be sent."""
        if result.phone_conflict is None:
            return False
        phone = write.request.phone if result.phone_conflict else None
        sent_as = PHONE_PROPERTY if result.is_phone_property_written else None
        has_changed = await refused_values.set_conflicting_phone(
            tx, self._connection_id, write.subject, phone, sent_as_property=sent_as
        )
        if not has_changed:
            return False
        await replan_deliveries(tx, self._context, [write.subject])
        return not result.is_phone_property_written

    async def _mark_for_full_resend(self, tx: Transaction, write: PendingProfileWrite) -> None:
        await sent_profiles.mark_for_full_resend(tx, self._connection_id, {write.subject: write.unchanged_values})

    async def _refuse_fields(self, tx: Transaction, write: PendingProfileWrite, result: WriteResult) -> None:
        await refused_values.refuse_fields(tx, self._connection_id, write.subject, result.rejected_values)

    async def _record_skipped(
        self, tx: Transaction, write: PendingProfileWrite, reason: Reason, detail: str | None = None
    ) -> None:
        results = [
            AttemptResult(fact_key, DeliveryState.SKIPPED, reason, response_detail=detail)
            for fact_key in write.fact_keys
        ]
        await delivery_attempts.record_results(tx, self._connection_id, results)
