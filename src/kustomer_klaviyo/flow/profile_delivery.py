"""Delivers the profile writes that a connection owes: few one by one, many by a bulk import whose end is waited for.

Of one person all waiting writes go as one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.imports import Imports
from kustomer_klaviyo.flow.profile_writer import UNKNOWN, ProfileWriter
from kustomer_klaviyo.flow.retry import SetAside, Verdict
from kustomer_klaviyo.flow.settling import Settler
from kustomer_klaviyo.klaviyo.profiles import ProfileCall, joined
from kustomer_klaviyo.store import deliveries, people
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.deliveries import DueDelivery, Settled, State

MOST_DUE = 10_000
"""Writes looked at in one turn: as many as one bulk import takes."""

BULK_FROM = 50
"""This many people's writes go through a bulk import; it is not meant for a few
(developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api)."""

BULK_FROM_AT_THE_LIMIT = 2
"""While the limit of single writes is used up, an import is the quicker way even for a few."""

AT_ONCE = 8
"""People whose profiles are written side by side, one request each."""


@dataclass(frozen=True, slots=True)
class OwedProfile:
    """All that is due to be written of one person."""

    deliveries: tuple[DueDelivery, ...]
    call: ProfileCall

    @property
    def subject(self) -> str:
        """The customer."""
        return self.deliveries[0].subject

    @property
    def keys(self) -> tuple[str, ...]:
        """The deliveries that the write settles."""
        return tuple(one.key for one in self.deliveries)

    @property
    def is_untried(self) -> bool:
        """Whether it may go with others; what failed once gets an answer of its own."""
        return all(one.attempts == 0 for one in self.deliveries)

    @property
    def identifiers(self) -> set[str]:
        """By what Klaviyo could take two people for one; their writes must not overtake one another."""
        call = self.call
        found = (call.email, call.phone, call.former_email, call.former_phone)
        return {one.lower() for one in found if one}


class ProfileDeliverer:
    """Writes one connection's profiles while its run lasts."""

    def __init__(
        self,
        database: Database,
        connection_id: str,
        *,
        writer: ProfileWriter,
        imports: Imports,
        settler: Settler,
        update_only: bool,
    ) -> None:
        self._database = database
        self._connection_id = connection_id
        self._writer = writer
        self._imports = imports
        self._settler = settler
        self._update_only = update_only
        self._identifiers: set[str] = set()
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def turn(self, *, on_progress: Callable[[], None]) -> float | None:
        """Write what is due; returns the seconds until the next turn is wanted (0: at once, None: when woken)."""
        wait = await self._settler.seconds_held()
        if wait > 0:
            return wait
        busy, began = set(self.in_flight), datetime.now(UTC)
        if await self._imports.ask():
            on_progress()
        due = await deliveries.due_profiles(self._database, self._connection_id, MOST_DUE)
        owed = self._free([one for one in read_owed(due) if one.subject not in busy])
        many, lone = self._share_out(owed)
        has_begun = bool(many) and await self._imports.begin(many)
        self._start_lone(lone, on_progress)
        if many:
            # What Klaviyo took no import of goes one by one in the next turn.
            return 0 if has_begun else 0.01
        if self.in_flight:
            return await self._imports.seconds_to_next()
        waits = [await self._imports.seconds_to_next(), await self._seconds_to_next(began)]
        return min((one for one in waits if one is not None), default=None)

    async def finish(self) -> None:
        """Wait for the requests in flight."""
        await asyncio.gather(*self.in_flight.values())

    async def _seconds_to_next(self, began: datetime) -> float | None:
        next_due = await deliveries.next_due(self._database, self._connection_id, after=began)
        return None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())

    def _share_out(self, owed: Sequence[OwedProfile]) -> tuple[list[OwedProfile], list[OwedProfile]]:
        """Part what goes into an import from what goes alone."""
        fit = [one for one in owed if one.is_untried and one.call.is_plain and not self._update_only]
        enough = BULK_FROM_AT_THE_LIMIT if self._writer.is_at_its_limit else BULK_FROM
        if len(fit) < enough or not self._imports.are_possible(time.monotonic()):
            return [], list(owed)
        subjects = {one.subject for one in fit}
        return fit, [one for one in owed if one.subject not in subjects]

    def _free(self, owed: Sequence[OwedProfile]) -> list[OwedProfile]:
        """Leave for later who could be taken for someone whose write is under way, or goes before."""
        taken = self._identifiers | self._imports.identifiers
        free = []
        for one in owed:
            if not one.identifiers & taken:
                free.append(one)
            taken |= one.identifiers
        return free

    def _start_lone(self, owed: Sequence[OwedProfile], on_progress: Callable[[], None]) -> None:
        for one in owed:
            if len(self.in_flight) >= AT_ONCE:
                break
            self._identifiers |= one.identifiers
            self.in_flight[one.subject] = asyncio.create_task(self._write(one, on_progress))

    async def _write(self, one: OwedProfile, on_progress: Callable[[], None]) -> None:
        try:
            if await self._settler.seconds_held() <= 0:
                await self._write_one(one)
        finally:
            self._identifiers -= one.identifiers
            del self.in_flight[one.subject]
            on_progress()

    async def _write_one(self, one: OwedProfile) -> None:
        began, known = datetime.now(UTC), one.deliveries[0].klaviyo_id
        written = await self._writer.write(one.call, known)
        if written.is_unknown:
            await self._skip(one)
            return

        async def beside(connection: AsyncConnection[DictRow], verdicts: Sequence[Verdict]) -> None:
            if written.profile_id != known:
                await people.name_profiles(connection, self._connection_id, {one.subject: written.profile_id})
            if any(isinstance(verdict, SetAside) for verdict in verdicts):
                await people.unstate(connection, self._connection_id, [one.subject])

        await self._settler.settle(one.deliveries, written.noted(), began, beside=beside)

    async def _skip(self, one: OwedProfile) -> None:
        """Set a write aside for a person whom Klaviyo does not know; should it know them later, all is written."""
        async with self._database.transaction() as connection:
            news = [Settled(key, State.SKIPPED, UNKNOWN) for key in one.keys]
            await deliveries.settle(connection, self._connection_id, news)
            await people.unstate(connection, self._connection_id, [one.subject])


def read_owed(due: Sequence[DueDelivery]) -> list[OwedProfile]:
    """Put all due writes of each person together, the people in the order of their first."""
    by_subject: dict[str, list[DueDelivery]] = {}
    for delivery in due:
        by_subject.setdefault(delivery.subject, []).append(delivery)
    return [
        OwedProfile(tuple(those), joined([msgspec.convert(one.call, ProfileCall) for one in those]))
        for those in by_subject.values()
    ]
