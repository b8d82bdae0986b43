"""Delivers the profile writes that a connection owes: few one by one, many by a bulk import whose end is waited for.

Of one person all waiting writes go as one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.delivery.attempt_recorder import Settler
from kustomer_klaviyo.delivery.bulk_import_runner import Imports
from kustomer_klaviyo.delivery.profile_writer import NOBODY, UNKNOWN, ProfileWriter, Written
from kustomer_klaviyo.delivery.retry_policy import SetAside, Verdict
from kustomer_klaviyo.klaviyo.blamed_fields import NOT_TAKEN, refused_contact
from kustomer_klaviyo.klaviyo.profile_request import PHONE_PROPERTY, ProfileCall, joined
from kustomer_klaviyo.klaviyo.profile_wire import encode_entry
from kustomer_klaviyo.outcomes import Accepted
from kustomer_klaviyo.planning.customer_updates import restate
from kustomer_klaviyo.planning.profile_planner import owe_profiles
from kustomer_klaviyo.planning.refused_contacts import refuse_contact
from kustomer_klaviyo.store import cards, customers, outbox, refused_values
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.outbox import DueDelivery, Settled, State

MOST_DUE = 10_000
"""Writes looked at in one turn: as many as one bulk import takes."""

FEW_DUE = 500
"""The same where they go one by one anyway: each look costs, and one follows every write."""

LOOK_FAR_AGAIN_SECONDS = 5.0
"""After this long it is looked again whether enough wait that an import can carry."""

BULK_FROM = 50
"""This many people's writes go through a bulk import; it is not meant for a few
(developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api)."""

BULK_FROM_AT_THE_LIMIT = 2
"""While the limit of single writes is used up, an import is the quicker way even for a few."""

PROBE_AGAIN_SECONDS = 0.1

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
        return all(one.own_failures == 0 for one in self.deliveries)


class ProfileDeliverer:
    """Writes one connection's profiles while its run lasts."""

    def __init__(
        self, database: Database, joined: Joined, *, writer: ProfileWriter, imports: Imports, settler: Settler
    ) -> None:
        self._database = database
        self._joined = joined
        self._id = joined.connection.id
        self._writer = writer
        self._imports = imports
        self._settler = settler
        self._few_until = float("-inf")
        self._identifiers: set[str] = set()
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def turn(self, *, on_progress: Callable[[], None]) -> float | None:
        """Write what is due; returns the seconds until the next turn is wanted (0: at once, None: when woken)."""
        wait = await self._settler.seconds_held()
        if wait > 0:
            return wait
        busy, began = self.in_flight.keys() | self._settler.waiting, datetime.now(UTC)
        if await self._settler.circuit.is_half_open() and (few := await self._probes(busy)):
            return await self._probe(few, on_progress)
        if await self._imports.ask():
            on_progress()
        is_bulk = self._may_import()
        due = await outbox.due_profiles(self._database, self._id, MOST_DUE if is_bulk else FEW_DUE)
        owed = await self._free(await self._read([one for one in due if one.subject not in busy]))
        many, lone = self._share_out(owed) if is_bulk else ([], owed)
        if is_bulk and not many and len(due) > FEW_DUE:
            self._few_until = time.monotonic() + LOOK_FAR_AGAIN_SECONDS
        has_begun = bool(many) and await self._begin(many)
        self._start_lone(lone, on_progress)
        if many:
            # What Klaviyo took no import of goes one by one in the next turn.
            return 0 if has_begun else 0.01
        if self.in_flight:
            return await self._imports.seconds_to_next()
        waits = [
            await self._imports.seconds_to_next(),
            await self._seconds_to_next(began),
            self._settler.seconds_to_next,
        ]
        return min((one for one in waits if one is not None), default=None)

    async def _probes(self, busy: set[str]) -> list[OwedProfile]:
        """Return the writes by which it may be found out whether Klaviyo is back."""
        due = await outbox.due_profiles(self._database, self._id, FEW_DUE)
        return await self._free(await self._read([one for one in due if one.subject not in busy]))

    async def _probe(self, owed: Sequence[OwedProfile], on_progress: Callable[[], None]) -> float | None:
        """Find out with one write whether Klaviyo is back: with the one that was tried the longest ago, if ever."""
        if not await self._settler.circuit.may_probe(self):
            return PROBE_AGAIN_SECONDS
        self._start_lone([min(owed, key=lambda one: one.deliveries[0].turn)], on_progress)
        return None

    async def _read(self, due: Sequence[DueDelivery]) -> list[OwedProfile]:
        """Read the writes; those of a person that cannot be read are failed."""
        read = []
        for those in by_person(due):
            try:
                read.append(read_owed(those))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this person's
                await self._settler.set_aside(those, error)
        return read

    async def _begin(self, many: Sequence[OwedProfile]) -> bool:
        """Begin imports; a write that cannot be encoded is failed, and the others go in the next turn."""
        try:
            return await self._imports.begin(many)
        except UNREACHABLE:
            raise
        except Exception:
            if not [one for one in many if await self._is_unencodable(one)]:
                raise
            return True

    async def _is_unencodable(self, one: OwedProfile) -> bool:
        try:
            encode_entry(one.call)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this person's
            await self._settler.set_aside(one.deliveries, error)
            return True
        return False

    async def finish(self) -> None:
        """Wait for the requests in flight."""
        await asyncio.gather(*self.in_flight.values())

    async def _seconds_to_next(self, began: datetime) -> float | None:
        next_due = await outbox.next_due(self._database, self._id, after=began)
        return None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())

    def _may_import(self) -> bool:
        now = time.monotonic()
        return not self._joined.options.update_only and self._imports.are_possible(now) and now >= self._few_until

    def _share_out(self, owed: Sequence[OwedProfile]) -> tuple[list[OwedProfile], list[OwedProfile]]:
        """Part what goes into an import from what goes alone."""
        fit = [one for one in owed if one.is_untried and one.call.is_plain]
        enough = BULK_FROM_AT_THE_LIMIT if self._writer.is_at_its_limit else BULK_FROM
        if len(fit) < enough:
            return [], list(owed)
        subjects = {one.subject for one in fit}
        return fit, [one for one in owed if one.subject not in subjects]

    async def _free(self, owed: Sequence[OwedProfile]) -> list[OwedProfile]:
        """Leave for later who could be taken for someone whose write is under way, or goes before."""
        taken = self._identifiers | await self._imports.identifiers()
        free = []
        for one in owed:
            if not one.call.identifiers & taken:
                free.append(one)
            taken |= one.call.identifiers
        return free

    def _start_lone(self, owed: Sequence[OwedProfile], on_progress: Callable[[], None]) -> None:
        for one in owed:
            if len(self.in_flight) >= AT_ONCE:
                break
            self._identifiers |= one.call.identifiers
            self.in_flight[one.subject] = asyncio.create_task(self._write(one, on_progress))

    async def _write(self, one: OwedProfile, on_progress: Callable[[], None]) -> None:
        try:
            if await self._settler.seconds_held() <= 0:
                await self._write_one(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await self._settler.set_aside(one.deliveries, error)
        finally:
            self._identifiers -= one.call.identifiers
            del self.in_flight[one.subject]
            self._settler.circuit.probed(self)
            on_progress()

    async def _write_one(self, one: OwedProfile) -> None:
        began, known = datetime.now(UTC), one.deliveries[0].klaviyo_id
        written = await self._writer.write(one.call, known)
        contact = refused_contact(one.call, written.outcome)
        renews = not (one.call.erase or one.call.must_exist)
        if renews and contact is not None and await self._turn_to_next(one, contact):
            return
        if renews and written.is_cut_short:
            await self._go_on_without(one, written)
            return

        async def beside(connection: AsyncConnection[DictRow], verdicts: Sequence[Verdict]) -> None:
            if isinstance(written.outcome, Accepted):
                await self._note_written(connection, one, written)
            elif any(isinstance(verdict, SetAside) for verdict in verdicts):
                await customers.doubt(connection, self._id, {one.subject: _former(one.call)})
                await refused_values.refuse_fields(connection, self._id, one.subject, written.refused)

        if written.is_unknown:
            await self._skip(one)
        else:
            await self._settler.settle(one.deliveries, written.noted(), began, beside=beside)

    async def _turn_to_next(self, one: OwedProfile, contact: str) -> bool:
        """Write a person's profile under the next of their contacts; returns False where there is none."""
        call, is_known = one.call, one.deliveries[0].klaviyo_id is not None
        former = {
            **_former(call),
            "email": call.former_email or (call.email if is_known else None),
            "phone": call.former_phone or (call.phone if is_known and not call.email else None),
        }
        async with self._database.transaction() as db:
            await customers.doubt(db, self._id, {one.subject: former})
            has_next = await refuse_contact(db, self._joined, one.subject, contact)
            if has_next:
                said = f"superseded: {contact} left out, {NOT_TAKEN}; the profile is written under the next contact"
                await outbox.settle(db, self._id, [Settled(key, State.SKIPPED, said) for key in one.keys])
        return has_next

    async def _go_on_without(self, one: OwedProfile, written: Written) -> None:
        """Owe another write, without all that Klaviyo blamed so far: each leaves some values less, so that it ends."""
        said = f"superseded: {len(written.refused)} values left out, {NOT_TAKEN}; the rest is written next"
        async with self._database.transaction() as db:
            await customers.doubt(db, self._id, {one.subject: _former(one.call)})
            await refused_values.refuse_fields(db, self._id, one.subject, written.refused)
            await outbox.settle(db, self._id, [Settled(key, State.SKIPPED, said) for key in one.keys])
            await owe_profiles(db, self._joined, [one.subject])

    async def _note_written(self, connection: AsyncConnection[DictRow], one: OwedProfile, written: Written) -> None:
        """Remember where Klaviyo keeps the person, and owe the rest where that is not where it was."""
        if one.call.erase:
            return
        known = one.deliveries[0].klaviyo_id
        await customers.name_profiles(connection, self._id, {one.subject: written.profile_id})
        await cards.known_by_now(connection, self._id, [one.subject])
        if written.refused:
            await refused_values.refuse_fields(connection, self._id, one.subject, written.refused)
        is_untold = await self._note_number(connection, one, written)
        has_moved = written.is_new or (known is not None and written.profile_id != known)
        if has_moved and not one.call.is_whole:
            await customers.doubt(connection, self._id, {one.subject: {}})
            is_untold = True
        if is_untold:
            await owe_profiles(connection, self._joined, [one.subject])

    async def _note_number(self, db: AsyncConnection[DictRow], one: OwedProfile, written: Written) -> bool:
        """Remember whether a number is nothing to know the person by; returns whether a property is owed for it."""
        if written.number_taken is None:
            return False
        taken = one.call.phone if written.number_taken else None
        told_as = PHONE_PROPERTY if written.is_number_told else None
        if not await refused_values.note_taken_phone(db, self._id, one.subject, taken, told_as=told_as):
            return False
        await restate(db, self._joined, [one.subject])
        return not written.is_number_told

    async def _skip(self, one: OwedProfile) -> None:
        """Set a write aside for a person whom Klaviyo does not know; should it know them later, all is written."""
        reason = UNKNOWN if self._joined.options.update_only else NOBODY
        async with self._database.transaction() as connection:
            news = [Settled(key, State.SKIPPED, reason) for key in one.keys]
            await outbox.settle(connection, self._id, news)
            await customers.name_profiles(connection, self._id, {one.subject: None})
            await customers.doubt(connection, self._id, {one.subject: {}})


def _former(call: ProfileCall) -> dict[str, Any]:
    """Return what Klaviyo still has although a write was to change it: by what it knows the person, what to clear."""
    former = {"email": call.former_email, "phone": call.former_phone}
    uncleared = [name for name, value in call.fields.items() if value is None]
    return {name: value for name, value in former.items() if value is not None} | {"fields": dict.fromkeys(uncleared)}


def by_person(due: Sequence[DueDelivery]) -> list[list[DueDelivery]]:
    """Put the due writes of each person together, the people in the order of their first."""
    found: dict[str, list[DueDelivery]] = {}
    for delivery in due:
        found.setdefault(delivery.subject, []).append(delivery)
    return list(found.values())


def read_owed(due: Sequence[DueDelivery]) -> OwedProfile:
    """Make one write of all that are due of a person. What follows an erasure waits for it."""
    those: list[tuple[DueDelivery, ProfileCall]] = []
    for delivery in due:
        if not (those and those[-1][1].erase):
            those.append((delivery, msgspec.convert(delivery.call, ProfileCall)))
    return OwedProfile(tuple(one for one, _ in those), joined([call for _, call in those]))
