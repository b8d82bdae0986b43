"""Which customers have a Klaviyo profile: with the option ``update_only``, events of the others are skipped."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from kustomer_klaviyo.delivery.attempt_recorder import AttemptRecorder
from kustomer_klaviyo.delivery.profile_writer import ProfileWriter, WriteResult
from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest
from kustomer_klaviyo.outcomes import Accepted, Refused
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import delivery_attempts, sent_profiles
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.delivery_attempts import AttemptResult, DueDelivery
from kustomer_klaviyo.store.outbox import DeliveryState

MAX_LOOKUPS = 100
"""Customers looked up in Klaviyo in one pass."""

MAX_CONCURRENT = 8
CONFIRMED_FOR = timedelta(days=1)
"""A profile that was confirmed longer ago may have been deleted since."""


class Sendable(Protocol):
    """An event that is due."""

    @property
    def delivery(self) -> DueDelivery:
        """The delivery."""

    @property
    def request(self) -> EventRequest:
        """The request to send."""


Event = TypeVar("Event", bound=Sendable)


class ExistingProfileFilter:
    """Separates one connection's events by whether the customer has a Klaviyo profile."""

    def __init__(self, db: Database, connection_id: str, writer: ProfileWriter, recorder: AttemptRecorder) -> None:
        self._db = db
        self._connection_id = connection_id
        self._writer = writer
        self._recorder = recorder

    async def filter(self, events: Sequence[Event]) -> list[Event]:
        """Return the events of customers with a profile. Skip those without one; the others stay pending."""
        if not events:
            return []
        requests = {event.delivery.subject: event.request for event in events}
        confirmed = await sent_profiles.with_confirmed_profile(
            self._db, self._connection_id, list(requests), max_age=CONFIRMED_FOR
        )
        unconfirmed = [subject for subject in requests if subject not in confirmed][:MAX_LOOKUPS]
        results = await self._find_all({subject: requests[subject] for subject in unconfirmed})
        profile_ids = {subject: result.profile_id for subject, result in results.items() if result.profile_id}
        missing = {subject for subject, result in results.items() if not result.profile_id}
        skipped = [event.delivery.fact_key for event in events if event.delivery.subject in missing]
        try:
            await self._save(profile_ids, skipped)
        except Exception:
            # They must not be looked up again at once.
            self._recorder.block_subjects(unconfirmed)
            raise
        return [event for event in events if event.delivery.subject in confirmed | profile_ids.keys()]

    async def _save(self, profile_ids: Mapping[str, str], skipped: Sequence[str]) -> None:
        results = [AttemptResult(fact_key, DeliveryState.SKIPPED, Reason.NOT_IN_KLAVIYO) for fact_key in skipped]
        async with self._db.transaction() as tx:
            await sent_profiles.set_profile_ids(tx, self._connection_id, profile_ids)
            await delivery_attempts.record_results(tx, self._connection_id, results)

    async def _find_all(self, requests: dict[str, EventRequest]) -> dict[str, WriteResult]:
        """Look the customers' profiles up. Customers for whom Klaviyo does not respond are left out."""
        semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        results = await asyncio.gather(*(self._find(request, semaphore) for request in requests.values()))
        return {subject: result for subject, result in zip(requests, results, strict=True) if result is not None}

    async def _find(self, request: EventRequest, semaphore: asyncio.Semaphore) -> WriteResult | None:
        """Look one profile up; None when Klaviyo does not respond."""
        async with semaphore:
            if await self._recorder.seconds_held() > 0:
                return None
            started_at = datetime.now(UTC)
            result = await self._writer.find(ProfileRequest(email=request.email, phone=request.phone))
            if isinstance(result.outcome, Accepted | Refused):
                return result
            await self._recorder.record_outcome(result.outcome, started_at)
            return None
