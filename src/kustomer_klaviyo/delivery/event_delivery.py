"""Delivers the events that a connection owes: claim, send, decide, settle. Few go one by one, many in bulk.

One run per connection at a time, whichever machine it is on, so that order and rate limit need no further lock.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.delivery.attempt_recorder import Settler
from kustomer_klaviyo.delivery.existing_profiles import Acquaintance
from kustomer_klaviyo.delivery.retry_policy import Again
from kustomer_klaviyo.delivery.sender import Sender
from kustomer_klaviyo.klaviyo.answers import TOO_LARGE, blamed_entries
from kustomer_klaviyo.klaviyo.batches import Batch, compose, halves, only
from kustomer_klaviyo.klaviyo.blamed_fields import NOT_TAKEN, refused_contact, refused_properties, without_properties
from kustomer_klaviyo.klaviyo.event_request import EventCall, is_dropped
from kustomer_klaviyo.outcomes import Outcome, Refused
from kustomer_klaviyo.planning.refused_contacts import refuse_contact
from kustomer_klaviyo.store import outbox
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.outbox import DueDelivery

MOST_DUE = 2000
"""Deliveries looked at in one turn."""

BULK_FROM = 20
"""This many due deliveries go through the bulk endpoint."""

AT_ONCE = 16
"""Customers whose deliveries are sent side by side, one request each."""

LONE_AFTER = 1
"""After this many failures while others got through a delivery goes alone, so that it cannot fail its neighbours."""

PROBE_AGAIN_SECONDS = 0.1

MOST_NARROWED = 8
"""So many times a batch is sent again without what Klaviyo blamed; then what is left of it goes one by one."""

DROPPED = "accepted, but Klaviyo is known to drop events for addresses at example.com and test.com without a word"


@dataclass(frozen=True, slots=True)
class Owed:
    """A delivery whose turn it is, with its call read."""

    delivery: DueDelivery
    call: EventCall

    @property
    def remark(self) -> str | None:
        """What to note if it is accepted."""
        return DROPPED if is_dropped(self.call.email) else None


class Deliverer:
    """Sends one connection's events while its run lasts."""

    def __init__(
        self,
        database: Database,
        joined: Joined,
        sender: Sender,
        settler: Settler,
        *,
        acquaintance: Acquaintance | None = None,
    ) -> None:
        """``acquaintance`` keeps events of people whom Klaviyo does not know from being sent."""
        self._database = database
        self._joined = joined
        self._connection_id = joined.connection.id
        self._sender = sender
        self._settler = settler
        self._acquaintance = acquaintance
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def turn(self, *, on_progress: Callable[[], None]) -> float | None:
        """Send what is due; returns the seconds until the next turn is wanted (0: at once, None: when woken).

        ``on_progress`` is called when a request that outlives the turn has ended.
        """
        wait = await self._settler.seconds_held()
        if wait > 0:
            return wait
        # As of before the query: what is settled while it runs would still look due in its answer.
        busy, began = self.in_flight.keys() | self._settler.waiting, datetime.now(UTC)
        due = await outbox.due_events(self._database, self._connection_id, MOST_DUE)
        owed = await self._read([delivery for delivery in due if delivery.subject not in busy])
        if owed and await self._settler.circuit.is_half_open():
            return await self._probe(owed, on_progress)
        known = owed if self._acquaintance is None else await self._acquaintance.known(owed)
        many, lone = _share_out(known)
        if many:
            await self._send_many(await self._compose(many), {one.call.unique_id: one for one in many})
        self._start_lone(lone, on_progress)
        if many or len(known) < len(owed):
            return 0
        if self.in_flight:
            return None
        next_due = await outbox.next_due(self._database, self._connection_id, after=began)
        due_in = None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())
        return min((one for one in (due_in, self._settler.seconds_to_next) if one is not None), default=None)

    async def _read(self, due: Sequence[DueDelivery]) -> list[Owed]:
        """Read the calls; a delivery whose call cannot be read is failed."""
        read = []
        for delivery in due:
            try:
                read.append(Owed(delivery, msgspec.convert(delivery.call, EventCall)))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this delivery's
                await self._settler.set_aside([delivery], error)
        return read

    async def _compose(self, many: Sequence[Owed]) -> list[Batch]:
        """Put events into requests; one that cannot be encoded is failed."""
        try:
            return compose([one.call for one in many])
        except Exception:  # noqa: BLE001 - found out below, one by one
            good = []
        for one in many:
            try:
                compose([one.call])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is this delivery's
                await self._settler.set_aside([one.delivery], error)
            else:
                good.append(one)
        return compose([one.call for one in good])

    async def finish(self) -> None:
        """Wait for the requests in flight."""
        await asyncio.gather(*self.in_flight.values())

    async def _probe(self, owed: Sequence[Owed], on_progress: Callable[[], None]) -> float | None:
        """Find out with one event whether Klaviyo is back: with the one that was tried the longest ago, if ever."""
        if not await self._settler.circuit.may_probe(self):
            return PROBE_AGAIN_SECONDS
        firsts = {one.delivery.subject: one for one in reversed(owed)}
        one = min(firsts.values(), key=lambda first: first.delivery.turn)
        known = [one] if self._acquaintance is None else await self._acquaintance.known([one])
        if known:
            self._start_lone(known, on_progress)
            return None
        self._settler.circuit.probed(self)
        return PROBE_AGAIN_SECONDS

    def _start_lone(self, lone: Sequence[Owed], on_progress: Callable[[], None]) -> None:
        """Send each customer's deliveries in turn, the customers side by side."""
        by_subject: dict[str, list[Owed]] = {}
        for one in lone:
            by_subject.setdefault(one.delivery.subject, []).append(one)
        for subject, queue in by_subject.items():
            if len(self.in_flight) >= AT_ONCE:
                break
            self.in_flight[subject] = asyncio.create_task(self._send_in_turn(subject, queue, on_progress))

    async def _send_in_turn(self, subject: str, queue: Sequence[Owed], on_progress: Callable[[], None]) -> None:
        try:
            for one in queue:
                if not await self._send_safely(one):
                    break
        finally:
            del self.in_flight[subject]
            self._settler.circuit.probed(self)
            on_progress()

    async def _send_safely(self, one: Owed) -> bool:
        """Send one delivery unless sending is held; an error of ours fails this one and no other."""
        try:
            return await self._settler.seconds_held() <= 0 and await self._send_one(one)
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on
            await self._settler.set_aside([one.delivery], error)
            return not isinstance(error, UNREACHABLE)

    async def _send_one(self, one: Owed) -> bool:
        """Send one delivery by itself; returns whether the customer's next one may follow."""
        began = datetime.now(UTC)
        outcome, left_out = await self._send(one.call)
        contact = refused_contact(one.call, outcome)
        if contact is not None and await self._turn_to_next(one, contact):
            return False
        remark = "; ".join([*left_out, *([one.remark] if one.remark else [])]) or None
        verdicts = await self._settler.settle([one.delivery], outcome, began, remarks=[remark])
        return not isinstance(verdicts[0], Again)

    async def _send(self, call: EventCall) -> tuple[Outcome, list[str]]:
        """Send an event without whatever Klaviyo blames of it; returns how that ended, and what was left out.

        Each further try leaves out at least one property more.
        """
        left_out: list[str] = []
        outcome = await self._sender.send_event(call)
        while isinstance(outcome, Refused) and (names := refused_properties(call, outcome)):
            left_out += [f"{name} left out: {NOT_TAKEN} ({outcome.detail})" for name in sorted(names)]
            call = without_properties(call, names)
            outcome = await self._sender.send_event(call)
        return outcome, left_out

    async def _turn_to_next(self, one: Owed, contact: str) -> bool:
        """Have an event go to the next of the customer's contacts; returns False where there is none."""
        async with self._database.transaction() as db:
            return await refuse_contact(db, self._joined, one.delivery.subject, contact)

    async def _send_many(self, batches: Sequence[Batch], owed: dict[str, Owed]) -> None:
        for batch in batches:
            if await self._settler.seconds_held() > 0:
                return
            await self._send_batch(batch, owed)

    async def _send_batch(self, batch: Batch, owed: dict[str, Owed]) -> None:
        """Send a batch; what the vendor refuses in it is narrowed down, and the rest still sent."""
        members = [owed[call.unique_id] for call in batch.calls]
        for _ in range(MOST_NARROWED):
            if len(members) < 2 or await self._settler.seconds_held() > 0:
                break
            began = datetime.now(UTC)
            outcome = await self._sender.send_events(batch)
            blamed = blamed_entries(outcome, len(members))
            if outcome.status == TOO_LARGE or (isinstance(outcome, Refused) and not blamed):
                # Whoever says that it is too large, Klaviyo or somebody on the way to it: less may pass.
                await self._send_many(halves(batch), owed)
                return
            if not isinstance(outcome, Refused):
                remarks = [one.remark for one in members]
                await self._settler.settle([one.delivery for one in members], outcome, began, remarks=remarks)
                return
            # Alone each gets its own answer from the vendor, whatever the pointer was worth.
            waiting = await self._send_each([members[index] for index in blamed])
            left = [
                index
                for index, one in enumerate(members)
                if index not in blamed and one.delivery.subject not in waiting
            ]
            batch, members = only(batch, left), [members[index] for index in left]
        await self._send_each(members)

    async def _send_each(self, owed: Sequence[Owed]) -> set[str]:
        """Send deliveries one by one; returns the customers whose next one may not follow."""
        waiting: set[str] = set()
        for one in owed:
            if one.delivery.subject not in waiting and not await self._send_safely(one):
                waiting.add(one.delivery.subject)
        return waiting


def _share_out(owed: Sequence[Owed]) -> tuple[list[Owed], list[Owed]]:
    """Part what goes together from what goes alone; all of one customer goes the same way, to keep its order."""
    wary = {one.delivery.subject for one in owed if one.delivery.own_failures >= LONE_AFTER}
    many = [one for one in owed if one.delivery.subject not in wary]
    if len(many) < BULK_FROM:
        return [], list(owed)
    return many, [one for one in owed if one.delivery.subject in wary]
