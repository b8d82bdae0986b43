"""Whom Klaviyo knows already: with the option ``update_only``, events of others are set aside."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol, TypeVar

from kustomer_klaviyo.delivery.attempt_recorder import Settler
from kustomer_klaviyo.delivery.profile_writer import UNKNOWN, ProfileWriter
from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall
from kustomer_klaviyo.outcomes import Accepted, Refused
from kustomer_klaviyo.store import customers, outbox
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.outbox import DueDelivery, Settled, State

MOST_ASKED = 100
"""People whom one turn asks Klaviyo about."""

AT_ONCE = 8
SEEN_LATELY = timedelta(days=1)
"""A profile that was seen so long ago may have been deleted since."""


class Sendable(Protocol):
    """An event that is due."""

    @property
    def delivery(self) -> DueDelivery:
        """What is owed."""

    @property
    def call(self) -> EventCall:
        """What would be sent."""


Event = TypeVar("Event", bound=Sendable)


class Acquaintance:
    """Tells one connection's events of people whom Klaviyo knows from those of strangers."""

    def __init__(self, database: Database, connection_id: str, writer: ProfileWriter, settler: Settler) -> None:
        self._database = database
        self._connection_id = connection_id
        self._writer = writer
        self._settler = settler

    async def known(self, owed: Sequence[Event]) -> list[Event]:
        """Return the events of people whom Klaviyo knows; those of strangers are set aside, the rest wait."""
        if not owed:
            return []
        calls = {one.delivery.subject: one.call for one in owed}
        known = await customers.named(self._database, self._connection_id, list(calls), age=SEEN_LATELY)
        unclear = [subject for subject in calls if subject not in known][:MOST_ASKED]
        gate = asyncio.Semaphore(AT_ONCE)
        found = await asyncio.gather(*(self._ask(calls[subject], gate) for subject in unclear))
        ids = {subject: one for subject, one in zip(unclear, found, strict=True) if one}
        strangers = {subject for subject, one in zip(unclear, found, strict=True) if one == ""}
        news = [Settled(one.delivery.key, State.SKIPPED, UNKNOWN) for one in owed if one.delivery.subject in strangers]
        try:
            async with self._database.transaction() as connection:
                await customers.name_profiles(connection, self._connection_id, ids)
                await outbox.settle(connection, self._connection_id, news)
        except Exception:
            # They must not be asked about again at once.
            self._settler.hold_back(unclear)
            raise
        return [one for one in owed if one.delivery.subject in known or one.delivery.subject in ids]

    async def _ask(self, call: EventCall, gate: asyncio.Semaphore) -> str | None:
        """Return the id of the person's profile, an empty one for a stranger, None when Klaviyo does not answer."""
        async with gate:
            if await self._settler.seconds_held() > 0:
                return None
            began = datetime.now(UTC)
            written = await self._writer.find(ProfileCall(email=call.email, phone=call.phone))
            if isinstance(written.outcome, Accepted | Refused):
                return written.profile_id or ""
            await self._settler.note(written.outcome, began)
            return None
