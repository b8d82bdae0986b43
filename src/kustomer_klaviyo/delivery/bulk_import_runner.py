"""Bulk imports of profiles: begun, asked about until they end, and each error brought back to its customer.

How imports work: developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import msgspec
import structlog

from kustomer_klaviyo.delivery.attempt_recorder import Settler
from kustomer_klaviyo.delivery.sender import Sender
from kustomer_klaviyo.health.loop_health import Health, Loop
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall
from kustomer_klaviyo.klaviyo.profile_wire import (
    IMPORT_END,
    IMPORT_START,
    MOST_BYTES,
    MOST_PROFILES,
    ImportFault,
    ImportStanding,
    encode_entry,
    read_faults,
    read_id,
    read_imports,
    read_standing,
)
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable
from kustomer_klaviyo.store import bulk_imports
from kustomer_klaviyo.store.bulk_imports import DueImport
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.outbox import DueDelivery, Settled, State

FIRST_POLL_SECONDS, LONGEST_POLL_SECONDS = 0.5, 15.0
HOLD_SECONDS = 60.0
"""Events wait for the import of their person's profile no longer than this."""

WITHOUT_SECONDS = 600.0
"""So long imports are not tried again after Klaviyo refused one."""

HOLD_OFF_SECONDS = 5.0
TRIES = 3
UNSURE_SECONDS, UNSURE_GIVE_UP = 1.0, timedelta(minutes=10)
CLOCKS_APART = timedelta(minutes=1)
GIVE_UP = timedelta(hours=1)
"""An import that takes so long is taken for stuck, and what it carries goes one by one."""

MOST_PAGES = 2 * MOST_PROFILES // 100
"""Pages of an import's errors, a hundred on each: Klaviyo may blame a profile twice."""

BEGIN, POLL = "begin", "poll"
"""What waits, with the import's id, when it could not be written down how a request ended."""

IMPORTED = "imported in bulk"
CANCELLED = "Klaviyo gave the bulk import up, or does not say how it ended; sent again by itself"

log = structlog.get_logger()


class Writable(Protocol):
    """What one person's entry of an import needs."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The deliveries it settles."""

    @property
    def call(self) -> ProfileCall:
        """What is written."""


@dataclass(frozen=True, slots=True)
class _Unsure:
    """An import whose beginning Klaviyo did not answer: it may be under way."""

    began: datetime
    members: tuple[Writable, ...]


class Imports:
    """One connection's bulk imports while its run lasts."""

    def __init__(
        self, database: Database, connection_id: str, sender: Sender, settler: Settler, health: Health
    ) -> None:
        self._database = database
        self._health = health
        self._backoff = health.items(Loop.PROFILES)
        self._connection_id = connection_id
        self._sender = sender
        self._settler = settler
        self._without_until = float("-inf")
        self._failures = 0
        self._unsure: _Unsure | None = None
        self._unsure_tries, self._unsure_at = 0, 0.0
        self._under_way: dict[str, set[str]] | None = None

    async def identifiers(self) -> set[str]:
        """Return the identifiers of those who are being imported, or may be: no newer write may overtake that."""
        if self._under_way is None:
            self._under_way = {}
            for row in await bulk_imports.calls(self._database, self._connection_id):
                known = self._under_way.setdefault(row["import"], set())
                # What cannot be read any more keeps nobody waiting; it is failed when the import ends.
                with suppress(Exception):
                    known.update(msgspec.convert(row["call"], ProfileCall).identifiers)
        unsure = set[str]() if self._unsure is None else _identifiers(self._unsure.members)
        return unsure.union(*self._under_way.values())

    def are_possible(self, now: float) -> bool:
        """Say whether an import may be tried, at a monotonic time."""
        return now >= self._without_until and self._unsure is None and BEGIN not in self._backoff.waiting()

    async def begin(self, owed: Sequence[Writable]) -> bool:
        """Begin imports of these; returns False when Klaviyo takes none, so that they go one by one.

        That the endpoint is away concerns imports only: events and single writes find out for themselves.
        """
        for members, entries in parted(owed):
            began = datetime.now(UTC)
            outcome = await self._sender.import_profiles(entries)
            import_id = read_id(outcome.body) if isinstance(outcome, Accepted) else None
            if import_id is not None:
                self._failures = 0
                await self._note_begun_once(import_id, began, members)
                continue
            if isinstance(outcome, Unreachable):
                self._unsure = _Unsure(began, tuple(members))
            if isinstance(outcome, Unreachable | Throttled):
                self._hold_off(outcome)
            elif isinstance(outcome, Accepted | Refused) or _is_closed(outcome):
                log.warning("imports.refused", connection=self._connection_id, status=outcome.status)
                self._without_until = time.monotonic() + WITHOUT_SECONDS
            else:
                await self._settler.note(outcome, began)
            return False
        return True

    async def _note_begun_once(self, import_id: str, began: datetime, members: Sequence[Writable]) -> None:
        """Note that an import began; where that cannot be written, no other begins for a while."""
        try:
            await self._note_begun(import_id, members)
        except Exception:
            self._backoff.failed([BEGIN])
            self._unsure = _Unsure(began, tuple(members))
            raise
        self._backoff.succeeded([BEGIN])

    def _hold_off(self, outcome: Unreachable | Throttled) -> None:
        """Wait a while before the next try; after several, do without imports for longer."""
        self._failures += 1
        wait = WITHOUT_SECONDS if self._failures >= TRIES else HOLD_OFF_SECONDS * self._failures
        self._without_until = time.monotonic() + max(wait, outcome.retry_after or 0.0)

    async def _find_unsure(self) -> None:
        """Find out whether an import began whose beginning was not answered, and count it as begun if it did."""
        unsure = self._unsure
        if unsure is None or time.monotonic() < self._unsure_at:
            return
        self._unsure_tries += 1
        self._unsure_at = time.monotonic() + min(LONGEST_POLL_SECONDS, UNSURE_SECONDS * 1.5**self._unsure_tries)
        outcome = await self._sender.recent_imports()
        if not isinstance(outcome, Accepted):
            if datetime.now(UTC) - unsure.began > UNSURE_GIVE_UP:
                self._unsure = None
            return
        known = await bulk_imports.ids(self._database, self._connection_id)
        for one in read_imports(outcome.body):
            is_it = one.profiles == len(unsure.members) and one.created_at > unsure.began - CLOCKS_APART
            if is_it and one.id not in known:
                await self._note_begun(one.id, unsure.members)
                break
        self._unsure, self._unsure_tries, self._unsure_at = None, 0, 0.0

    async def _note_begun(self, import_id: str, members: Sequence[Writable]) -> None:
        now = datetime.now(UTC)
        async with self._database.transaction() as connection:
            await bulk_imports.begin(
                connection,
                self._connection_id,
                import_id,
                [key for member in members for key in member.keys],
                poll_at=now + timedelta(seconds=FIRST_POLL_SECONDS),
                hold_until=now + timedelta(seconds=HOLD_SECONDS),
            )
        if self._under_way is not None:
            self._under_way[import_id] = _identifiers(members)
        log.info("imports.begun", connection=self._connection_id, profiles=len(members))

    async def seconds_to_next(self) -> float | None:
        """Return when an import is to be asked about next; None when none is under way."""
        if self._unsure is not None:
            return max(0.01, self._unsure_at - time.monotonic())
        poll_at = await bulk_imports.next_due(self._database, self._connection_id)
        soonest = 0.01 if self._backoff.seconds_to_next() is None else UNSURE_SECONDS
        return None if poll_at is None else max(soonest, (poll_at - datetime.now(UTC)).total_seconds())

    async def ask(self) -> bool:
        """Ask about the imports whose time has come; returns whether any has ended."""
        await self._find_unsure()
        ended = False
        for one in await bulk_imports.due(self._database, self._connection_id):
            if (POLL, one.id) not in self._backoff.waiting():
                ended |= await self._ask_safely(one)
        return ended

    async def _ask_safely(self, one: DueImport) -> bool:
        """Ask about one import; whatever goes wrong is its own matter, and it is not asked about again at once."""
        try:
            ended = await self._ask_about(one)
        except UNREACHABLE:
            self._backoff.failed([(POLL, one.id)])
            raise
        except Exception as error:  # noqa: BLE001 - the others go on
            await self._health.item_failed(Loop.PROFILES, [(POLL, one.id)], error)
            return False
        self._backoff.succeeded([(POLL, one.id)])
        return ended

    async def _ask_about(self, one: DueImport) -> bool:
        began = datetime.now(UTC)
        is_late = began - one.submitted_at > GIVE_UP
        outcome = await self._sender.profile_import(one.id)
        match outcome:
            case Accepted(body=body):
                return await self._take_standing(one, outcome, read_standing(body), is_late=is_late)
            case Refused() | LockedOut(status=403 | 404 | 405 | 410):
                # A key that may begin imports but not ask about them does without.
                self._without_until = time.monotonic() + WITHOUT_SECONDS
                return await self._give_up(one, outcome)
            case LockedOut():
                await self._settler.note(outcome, began)
        if is_late:
            return await self._give_up(one, outcome)
        await self._ask_later(one)
        return False

    async def _give_up(self, one: DueImport, outcome: Outcome) -> bool:
        """Ask about an import no more: whatever became of it, its people go one by one."""
        log.warning("imports.given_up", connection=self._connection_id)
        await self._end(one, outcome, [], failed=0, lost=True)
        return True

    async def _take_standing(
        self, one: DueImport, outcome: Outcome, standing: ImportStanding, *, is_late: bool
    ) -> bool:
        """Act on how an import stands; returns whether it has ended."""
        if not standing.is_over and is_late:
            return await self._give_up(one, outcome)
        faults = await self._faults(one) if standing.is_over and standing.failed != 0 else []
        if not standing.is_over or (faults is None and not is_late):
            await self._ask_later(one)
            return False
        await self._end(one, outcome, faults or [], failed=standing.failed or 0, lost=standing.was_cancelled)
        return True

    async def _ask_later(self, one: DueImport) -> None:
        wait = min(LONGEST_POLL_SECONDS, FIRST_POLL_SECONDS * 1.5**one.polls)
        poll_at = datetime.now(UTC) + timedelta(seconds=wait)
        await bulk_imports.later(self._database, self._connection_id, one.id, poll_at=poll_at)

    async def _faults(self, one: DueImport) -> list[ImportFault] | None:
        """Read all that could not be imported; None when Klaviyo does not say now."""
        found: list[ImportFault] = []
        cursor: str | None = None
        cursors: set[str | None] = set()
        while cursor not in cursors and len(cursors) < MOST_PAGES:
            cursors.add(cursor)
            outcome = await self._sender.import_errors(one.id, cursor)
            if not isinstance(outcome, Accepted):
                return None
            page, cursor = read_faults(outcome.body)
            found += page
        return found

    async def _end(
        self, one: DueImport, outcome: Outcome, faults: Sequence[ImportFault], *, failed: int, lost: bool
    ) -> None:
        """Settle what the import carried: what failed is tried once more alone, for an answer of its own."""
        carried = [
            DueDelivery(**row) for row in await bulk_imports.carried(self._database, self._connection_id, one.id)
        ]
        reasons = _reasons(carried, faults)
        blamed = {delivery.subject for delivery in carried if delivery.key in reasons}
        is_vague = len(blamed) < failed
        news = []
        for delivery in carried:
            reason = CANCELLED if lost else reasons.get(delivery.key)
            if reason is None and not is_vague:
                news.append(Settled(delivery.key, State.DELIVERED, IMPORTED, status=outcome.status))
            else:
                said = reason or "Klaviyo's bulk import failed for some and does not say for whom"
                again = Settled(delivery.key, State.WAITING, said, datetime.now(UTC), outcome.status, detail=said)
                news.append(replace(again, is_own_failure=True))
        await self._settler.write_down(carried, news)
        async with self._database.transaction() as connection:
            await bulk_imports.end(connection, self._connection_id, one.id)
        if self._under_way is not None:
            self._under_way.pop(one.id, None)
        log.info("imports.ended", connection=self._connection_id, deliveries=len(carried), failed=failed)


def parted(owed: Sequence[Writable]) -> Iterator[tuple[list[Writable], list[bytes]]]:
    """Part writes by what one import takes."""
    members: list[Writable] = []
    entries: list[bytes] = []
    size = len(IMPORT_START) + len(IMPORT_END)
    for one in owed:
        entry = encode_entry(one.call)
        if members and (len(members) == MOST_PROFILES or size + len(entry) + 1 > MOST_BYTES):
            yield members, entries
            members, entries, size = [], [], len(IMPORT_START) + len(IMPORT_END)
        members.append(one)
        entries.append(entry)
        size += len(entry) + 1
    if members:
        yield members, entries


def _reasons(carried: Sequence[DueDelivery], faults: Sequence[ImportFault]) -> dict[str, str]:
    """Return why each delivery failed: by the address or number that an error repeats, else by its place."""
    subjects = list(dict.fromkeys(delivery.subject for delivery in carried))
    holders: dict[str, set[str]] = {}
    for delivery in carried:
        with suppress(Exception):
            call = msgspec.convert(delivery.call, ProfileCall)
            for identifier in filter(None, (call.email, call.phone)):
                holders.setdefault(identifier.lower(), set()).add(delivery.subject)
    blamed: dict[str, str] = {}
    for fault in faults:
        those = set().union(*(holders.get(one.lower(), set()) for one in fault.identifiers))
        if not those and fault.entry is not None and fault.entry < len(subjects):
            those = {subjects[fault.entry]}
        blamed |= dict.fromkeys(those, f"Klaviyo's bulk import: {fault.detail}")
    return {delivery.key: blamed[delivery.subject] for delivery in carried if delivery.subject in blamed}


def _identifiers(members: Sequence[Writable]) -> set[str]:
    return {one for member in members for one in member.call.identifiers}


def _is_closed(outcome: Outcome) -> bool:
    """Say whether the endpoint is closed to us while others are not: single imports do as well."""
    return isinstance(outcome, LockedOut) and outcome.status in (403, 404, 405)
