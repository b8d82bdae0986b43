"""Delivers what a connection owes: claim, send, decide, settle. Few go one by one, many through the bulk endpoint.

One run per connection at a time, whichever machine it is on, so that order and rate limit need no further lock.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.retry import Again, Delivered, History, Patience, SetAside, Verdict, decide, hold
from kustomer_klaviyo.flow.sender import Sender
from kustomer_klaviyo.klaviyo.answers import blamed_entry
from kustomer_klaviyo.klaviyo.batches import Batch, compose, halves, without
from kustomer_klaviyo.klaviyo.express import EventCall, is_dropped
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled
from kustomer_klaviyo.store import deliveries, lanes
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.deliveries import DueDelivery, Settled, State
from kustomer_klaviyo.store.lanes import Lane

MOST_DUE = 2000
"""Deliveries looked at in one turn."""

BULK_FROM = 20
"""This many due deliveries go through the bulk endpoint."""

AT_ONCE = 16
"""Customers whose deliveries are sent side by side, one request each."""

LONE_AFTER = 2
"""After this many failures a delivery goes alone, so that it cannot fail its neighbours."""

DROPPED = "accepted, but Klaviyo is known to drop events for addresses at example.com and test.com without a word"

log = structlog.get_logger()


class Owed(msgspec.Struct, frozen=True):
    """A delivery whose turn it is, with its call read."""

    delivery: DueDelivery
    call: EventCall


class Deliverer:
    """Sends one connection's deliveries while its run lasts."""

    def __init__(self, database: Database, connection_id: str, sender: Sender, *, patience: Patience) -> None:
        self._database = database
        self._connection_id = connection_id
        self._sender = sender
        self._patience = patience
        self._lane: Lane | None = None
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def turn(self, *, on_progress: Callable[[], None]) -> float | None:
        """Send what is due; returns the seconds until the next turn is wanted (0: at once, None: when woken).

        ``on_progress`` is called when a request that outlives the turn has ended.
        """
        wait = await self._seconds_held()
        if wait > 0:
            return wait
        # As of before the query: what is settled while it runs would still look due in its answer.
        busy = set(self.in_flight)
        due = await deliveries.due(self._database, self._connection_id, MOST_DUE)
        owed = [_read(delivery) for delivery in due if delivery.subject not in busy]
        many, lone = _share_out(owed)
        if many:
            await self._send_many(compose([one.call for one in many]), {one.call.unique_id: one for one in many})
        self._start_lone(lone, on_progress)
        if many:
            return 0
        if self.in_flight:
            return None
        return await self._seconds_to_next()

    async def finish(self) -> None:
        """Wait for the requests in flight."""
        await asyncio.gather(*self.in_flight.values())

    async def _seconds_held(self) -> float:
        if self._lane is None:
            self._lane = await lanes.get(self._database, self._connection_id)
        until = self._lane.wait_until
        return 0.0 if until is None else (until - datetime.now(UTC)).total_seconds()

    async def _seconds_to_next(self) -> float | None:
        next_due = await deliveries.next_due(self._database, self._connection_id)
        return None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())

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
                if await self._seconds_held() > 0 or not await self._send_one(one):
                    break
        finally:
            del self.in_flight[subject]
            on_progress()

    async def _send_one(self, one: Owed) -> bool:
        """Send one delivery by itself; returns whether the customer's next one may follow."""
        began = datetime.now(UTC)
        outcome = await self._sender.send_event(one.call)
        verdicts = await self._settle([one], outcome, began)
        return not isinstance(verdicts[0], Again)

    async def _send_many(self, batches: Sequence[Batch], owed: dict[str, Owed]) -> None:
        for batch in batches:
            if await self._seconds_held() > 0:
                return
            await self._send_batch(batch, owed)

    async def _send_batch(self, batch: Batch, owed: dict[str, Owed]) -> None:
        """Send a batch; what the vendor refuses in it is narrowed down, and the rest still sent."""
        members = [owed[call.unique_id] for call in batch.calls]
        if len(members) == 1:
            await self._send_one(members[0])
            return
        began = datetime.now(UTC)
        outcome = await self._sender.send_events(batch)
        if not isinstance(outcome, Refused):
            await self._settle(members, outcome, began)
            return
        blamed = blamed_entry(outcome.pointer)
        if blamed is not None and blamed < len(members):
            # Alone it gets its own answer from the vendor, whatever the pointer was worth.
            await self._send_one(members[blamed])
            await self._send_many([without(batch, blamed)], owed)
        else:
            await self._send_many(halves(batch), owed)

    async def _settle(self, sent: Sequence[Owed], outcome: Outcome, began: datetime) -> list[Verdict]:
        now = datetime.now(UTC)
        self._log(sent, outcome, (now - began).total_seconds())
        lane = self._lane or await lanes.get(self._database, self._connection_id)
        verdicts = [self._decide(one, outcome, lane, now) for one in sent]
        news = [_settled(one, verdict, outcome) for one, verdict in zip(sent, verdicts, strict=True)]
        async with self._database.transaction() as connection:
            if not isinstance(outcome, Throttled | LockedOut):
                await deliveries.settle(connection, self._connection_id, news)
            self._lane = await self._settle_lane(connection, lane, outcome, began=began, now=now)
        return verdicts

    def _decide(self, one: Owed, outcome: Outcome, lane: Lane, now: datetime) -> Verdict:
        history = History(one.delivery.attempts, one.delivery.first_attempt_at, lane.last_accepted_at)
        return decide(outcome, history, now=now, chance=random.random, patience=self._patience)

    async def _settle_lane(
        self, connection: AsyncConnection[DictRow], lane: Lane, outcome: Outcome, *, began: datetime, now: datetime
    ) -> Lane:
        if lane.held_at is not None and lane.held_at > began:
            return lane
        if isinstance(outcome, Accepted):
            if lane.is_worth_noting(now):
                await lanes.accepted(connection, self._connection_id)
            return lane.after_acceptance(now)
        held = hold(outcome, lane.failures, now=now, chance=random.random, patience=self._patience)
        if held is None:
            return lane
        await lanes.hold(connection, self._connection_id, until=held.until, reason=held.reason, paused=held.paused)
        return lane.after_hold(until=held.until, reason=held.reason, paused=held.paused, now=now)

    def _log(self, sent: Sequence[Owed], outcome: Outcome, seconds: float) -> None:
        """Write one wide line; the vendor's words stay in the database, since they may repeat an address."""
        log.info(
            "delivery.attempted",
            connection=self._connection_id,
            deliveries=len(sent),
            key=sent[0].delivery.key,
            outcome=type(outcome).__name__,
            status=outcome.status,
            request_id=outcome.request_id,
            seconds=round(seconds, 3),
        )


def _read(delivery: DueDelivery) -> Owed:
    return Owed(delivery, msgspec.convert(delivery.call, EventCall))


def _share_out(owed: Sequence[Owed]) -> tuple[list[Owed], list[Owed]]:
    """Part what goes together from what goes alone; all of one customer goes the same way, to keep its order."""
    wary = {one.delivery.subject for one in owed if one.delivery.attempts >= LONE_AFTER}
    many = [one for one in owed if one.delivery.subject not in wary]
    if len(many) < BULK_FROM:
        return [], list(owed)
    return many, [one for one in owed if one.delivery.subject in wary]


def _settled(one: Owed, verdict: Verdict, outcome: Outcome) -> Settled:
    request_id = outcome.request_id
    key = one.delivery.key
    match verdict:
        case Delivered(note=note):
            note = DROPPED if note is None and is_dropped(one.call.email) else note
            return Settled(key, State.DELIVERED, note, status=outcome.status, request_id=request_id, detail=note)
        case Again(at=at, reason=reason):
            return Settled(key, State.WAITING, reason, at, outcome.status, request_id, _detail(outcome))
        case SetAside(reason=reason):
            return Settled(
                key, State.FAILED, reason, status=outcome.status, request_id=request_id, detail=_detail(outcome)
            )


def _detail(outcome: Outcome) -> str | None:
    return None if isinstance(outcome, Accepted) else outcome.detail
