"""Sends one connection's due events and records the results: few as single requests, many in batches.

Only one worker per connection runs at a time, on whichever machine, so that order and rate limits need no further lock.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from kustomer_klaviyo.backoff import next_wait
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.delivery.attempt_recorder import AttemptRecorder, Note
from kustomer_klaviyo.delivery.existing_profiles import ExistingProfileFilter
from kustomer_klaviyo.delivery.retry_policy import RetryAt
from kustomer_klaviyo.klaviyo.batches import Batch, batch_events, select, split
from kustomer_klaviyo.klaviyo.event_request import EventRequest, is_dropped_by_klaviyo
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.klaviyo_responses import TOO_LARGE, rejected_entries
from kustomer_klaviyo.klaviyo.rejected_fields import drop_properties, rejected_contact, rejected_properties
from kustomer_klaviyo.outcomes import Outcome, Refused
from kustomer_klaviyo.planning.refused_contacts import switch_to_next_contact
from kustomer_klaviyo.reasons import DeliveryNote, Reason, sentence
from kustomer_klaviyo.store import delivery_attempts
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.delivery_attempts import DueDelivery

MAX_DUE = 2000
"""Deliveries loaded in one pass."""

MIN_BATCH = 20
"""From this many due deliveries, the bulk endpoint is used."""

MAX_CONCURRENT = 16
"""Customers whose deliveries are sent concurrently as single requests."""

SINGLE_AFTER_FAILURES = 1
"""After this many own failures a delivery is sent alone, so that it cannot fail the others of a batch."""

PROBE_RETRY_SECONDS = 0.1

MAX_BATCH_ATTEMPTS = 8
"""How often a batch is sent again without its rejected events; then the remaining ones are sent as single requests."""


@dataclass(frozen=True, slots=True)
class DueEvent:
    """A delivery that is due, with its parsed request."""

    delivery: DueDelivery
    request: EventRequest

    @property
    def subject(self) -> str:
        """The customer."""
        return self.delivery.subject

    def note(self, detail: str | None = None) -> Note:
        """Return what is stored if Klaviyo accepts the event."""
        return Note(Reason.LIKELY_DROPPED if is_dropped_by_klaviyo(self.request.email) else None, detail)


class EventDeliverer:
    """Sends one connection's events while its worker runs."""

    def __init__(
        self,
        db: Database,
        context: ConnectionContext,
        keys: ApiKeyRing[KlaviyoClient],
        recorder: AttemptRecorder,
        *,
        existing_profiles: ExistingProfileFilter | None = None,
    ) -> None:
        """``existing_profiles`` excludes events of customers without a Klaviyo profile."""
        self._db = db
        self._context = context
        self._connection_id = context.connection.id
        self._keys = keys
        self._recorder = recorder
        self._existing_profiles = existing_profiles
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def run_once(self, *, on_progress: Callable[[], None]) -> float | None:
        """Send what is due. Return the seconds until the next pass (0: at once, None: when woken).

        ``on_progress`` is called when a request that outlives this pass has finished.
        """
        wait = await self._recorder.seconds_held()
        if wait > 0:
            return wait
        # Taken before the query: a delivery that completes while the query runs would still be returned as due.
        busy, started_at = self.in_flight.keys() | self._recorder.blocked_subjects, datetime.now(UTC)
        due = await delivery_attempts.due_events(self._db, self._connection_id, MAX_DUE)
        events = await self._parse([delivery for delivery in due if delivery.subject not in busy])
        if events and await self._recorder.circuit_breaker.is_half_open():
            return await self._probe(events, on_progress)
        sendable = await self._filter(events)
        batched, single = _split_batch_and_single(sendable)
        if batched:
            events_by_id = {event.request.unique_id: event for event in batched}
            await self._send_batches(await self._batch(batched), events_by_id)
        self._start_single(single, on_progress)
        if batched or len(sendable) < len(events):
            return 0
        if self.in_flight:
            return None
        next_due = await delivery_attempts.next_due(self._db, self._connection_id, after=started_at)
        return next_wait(next_due, datetime.now(UTC), self._recorder.seconds_to_next)

    async def finish(self) -> None:
        """Wait for the requests in flight."""
        await asyncio.gather(*self.in_flight.values())

    async def _parse(self, due: Sequence[DueDelivery]) -> list[DueEvent]:
        """Parse the stored requests. A delivery whose request cannot be parsed fails."""
        events = []
        for delivery in due:
            try:
                events.append(DueEvent(delivery, msgspec.convert(delivery.request, EventRequest)))
            except Exception as error:  # noqa: BLE001 - it concerns only this delivery
                await self._recorder.fail([delivery], error)
        return events

    async def _filter(self, events: Sequence[DueEvent]) -> list[DueEvent]:
        """Exclude events that must not be sent because the customer has no Klaviyo profile."""
        return list(events) if self._existing_profiles is None else await self._existing_profiles.filter(events)

    async def _probe(self, events: Sequence[DueEvent], on_progress: Callable[[], None]) -> float | None:
        """Probe Klaviyo with one event: one that was never tried, else the one whose last attempt is the oldest."""
        if not await self._recorder.circuit_breaker.may_probe(self):
            return PROBE_RETRY_SECONDS
        first_of_customer = {event.subject: event for event in reversed(events)}
        probe = min(first_of_customer.values(), key=lambda event: event.delivery.retry_order)
        sendable = await self._filter([probe])
        if sendable:
            self._start_single(sendable, on_progress)
            return None
        self._recorder.circuit_breaker.end_probe(self)
        return PROBE_RETRY_SECONDS

    def _start_single(self, events: Sequence[DueEvent], on_progress: Callable[[], None]) -> None:
        """Send each customer's events in order, and the customers concurrently."""
        by_subject: dict[str, list[DueEvent]] = {}
        for event in events:
            by_subject.setdefault(event.subject, []).append(event)
        for subject, queue in by_subject.items():
            if len(self.in_flight) >= MAX_CONCURRENT:
                break
            self.in_flight[subject] = asyncio.create_task(self._send_in_order(subject, queue, on_progress))

    async def _send_in_order(self, subject: str, queue: Sequence[DueEvent], on_progress: Callable[[], None]) -> None:
        try:
            for event in queue:
                if not await self._send_guarded(event):
                    break
        finally:
            del self.in_flight[subject]
            self._recorder.circuit_breaker.end_probe(self)
            on_progress()

    async def _send_guarded(self, event: DueEvent) -> bool:
        """Send an event unless the connection is held. An error of this program fails only this event."""
        try:
            return await self._recorder.seconds_held() <= 0 and await self._send_single(event)
        except Exception as error:  # noqa: BLE001 - the other events continue, whatever the error
            await self._recorder.fail([event.delivery], error)
            return not isinstance(error, UNAVAILABLE_ERRORS)

    async def _send_single(self, event: DueEvent) -> bool:
        """Send one event as a single request. Return whether the customer's next event may follow."""
        started_at = datetime.now(UTC)
        outcome, notes = await self._send_without_rejected(event.request)
        contact = rejected_contact(event.request, outcome)
        if contact is not None and await self._use_next_contact(event, contact):
            return False
        note = event.note("; ".join(notes) or None)
        decisions = await self._recorder.record([event.delivery], outcome, started_at, notes=[note])
        return not isinstance(decisions[0], RetryAt)

    async def _send_without_rejected(self, request: EventRequest) -> tuple[Outcome, list[str]]:
        """Send an event and drop the properties that Klaviyo rejects. Return the outcome and notes on what was dropped.

        Each further attempt drops at least one more property.
        """
        notes: list[str] = []
        outcome = await self._create_event(request)
        while isinstance(outcome, Refused) and (names := rejected_properties(request, outcome)):
            notes += [sentence(DeliveryNote.VALUE_REJECTED, f"{name}: {outcome.detail}") for name in sorted(names)]
            request = drop_properties(request, names)
            outcome = await self._create_event(request)
        return outcome, notes

    async def _create_event(self, request: EventRequest) -> Outcome:
        return await self._keys.call(lambda client: client.create_event(request))

    async def _use_next_contact(self, event: DueEvent, contact: str) -> bool:
        """Replan the event for the customer's next contact; returns False where there is none."""
        async with self._db.transaction() as tx:
            return await switch_to_next_contact(tx, self._context, event.subject, contact)

    async def _batch(self, events: Sequence[DueEvent]) -> list[Batch]:
        """Put events into batches. An event that cannot be encoded fails."""
        try:
            return batch_events([event.request for event in events])
        except Exception:  # noqa: BLE001 - the loop below finds the event that causes it
            encodable = []
        for event in events:
            try:
                batch_events([event.request])
            except Exception as error:  # noqa: BLE001 - it concerns only this event
                await self._recorder.fail([event.delivery], error)
            else:
                encodable.append(event)
        return batch_events([event.request for event in encodable])

    async def _send_batches(self, batches: Sequence[Batch], events_by_id: dict[str, DueEvent]) -> None:
        for batch in batches:
            if await self._recorder.seconds_held() > 0:
                return
            await self._send_batch(batch, events_by_id)

    async def _send_batch(self, batch: Batch, events_by_id: dict[str, DueEvent]) -> None:
        """Send a batch. Rejected events are sent alone, and the others again without them."""
        events = [events_by_id[request.unique_id] for request in batch.requests]
        for _ in range(MAX_BATCH_ATTEMPTS):
            if len(events) < 2 or await self._recorder.seconds_held() > 0:
                break
            started_at = datetime.now(UTC)
            outcome = await self._create_events(batch)
            rejected = rejected_entries(outcome, len(events))
            if outcome.status == TOO_LARGE or (isinstance(outcome, Refused) and not rejected):
                # Klaviyo or a proxy calls it too large, or names no entry: smaller batches may pass.
                await self._send_batches(split(batch), events_by_id)
                return
            if not isinstance(outcome, Refused):
                notes = [event.note() for event in events]
                await self._recorder.record([event.delivery for event in events], outcome, started_at, notes=notes)
                return
            # A single request gives each rejected event its own response, even if the pointer was wrong.
            pending = await self._send_each([events[index] for index in rejected])
            remaining = [
                index for index, event in enumerate(events) if index not in rejected and event.subject not in pending
            ]
            batch, events = select(batch, remaining), [events[index] for index in remaining]
        await self._send_each(events)

    async def _create_events(self, batch: Batch) -> Outcome:
        return await self._keys.call(lambda client: client.create_events(batch))

    async def _send_each(self, events: Sequence[DueEvent]) -> set[str]:
        """Send events as single requests. Return the customers whose next event may not follow."""
        pending: set[str] = set()
        for event in events:
            if event.subject not in pending and not await self._send_guarded(event):
                pending.add(event.subject)
        return pending


def _split_batch_and_single(events: Sequence[DueEvent]) -> tuple[list[DueEvent], list[DueEvent]]:
    """Return the events for batches and the events for single requests. A customer's events stay together, in order."""
    failed_subjects = {event.subject for event in events if event.delivery.own_failures >= SINGLE_AFTER_FAILURES}
    batched = [event for event in events if event.subject not in failed_subjects]
    if len(batched) < MIN_BATCH:
        return [], list(events)
    return batched, [event for event in events if event.subject in failed_subjects]
