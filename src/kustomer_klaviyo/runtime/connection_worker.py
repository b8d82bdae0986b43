"""One connection's turn at work in one process: understand, look up, deliver, until nothing is left to do."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from kustomer_klaviyo.card.card_refresh import Cards
from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.delivery.event_delivery import Deliverer
from kustomer_klaviyo.delivery.profile_delivery import ProfileDeliverer
from kustomer_klaviyo.health.loop_health import Health, Loop
from kustomer_klaviyo.planning.inbox_processor import understand_some
from kustomer_klaviyo.reconcile.lookup_runner import LookUp
from kustomer_klaviyo.store import connection_status, lookups
from kustomer_klaviyo.store.database import UNREACHABLE, Database, is_out_of_reach
from kustomer_klaviyo.store.lookups import DueQuestion, Kind
from kustomer_klaviyo.tasks import end, together

LINGER_SECONDS = 5.0
"""A run stays this long without work, so that light traffic finds it there."""

QUESTIONS_AT_ONCE = 8

Turn = Callable[[], Awaitable[float | None]]
"""Does some work; returns the seconds until it wants another turn (0: at once, None: when woken)."""


class Run:
    """Works for one connection. ``work`` ends by itself after some idle seconds, or soon after ``end``."""

    def __init__(
        self,
        database: Database,
        joined: Joined,
        *,
        deliverer: Deliverer,
        profiles: ProfileDeliverer,
        look_up: LookUp,
        cards: Cards,
        note: Callable[[], str | None],
        health: Health,
    ) -> None:
        self._database = database
        self._joined = joined
        self._deliverer = deliverer
        self._profiles = profiles
        self._look_up = look_up
        self._cards = cards
        self._note = note
        self._health = health
        self._noted: str | None = None
        self._asking: dict[tuple[Kind, str], asyncio.Task[None]] = {}
        self._woken: list[asyncio.Event] = []
        self._ended = asyncio.Event()
        self._active_at = time.monotonic()

    @property
    def revision(self) -> int:
        """The revision of the connection that this run works with."""
        return self._joined.connection.revision

    def wake(self) -> None:
        """Look for work now."""
        for woken in self._woken:
            woken.set()

    def end(self) -> None:
        """Finish what is in flight, begin nothing new."""
        self._ended.set()
        self.wake()

    async def work(self) -> None:
        """Do what there is to do."""
        turns = {
            Loop.INBOX: self.understand,
            Loop.LOOKUPS: self.ask,
            Loop.EVENTS: self.deliver,
            Loop.PROFILES: self.write_profiles,
            Loop.CARDS: self.fetch_cards,
        }
        await together(*(self._repeat(loop, turn) for loop, turn in turns.items()), self._end_when_idle())
        await self._deliverer.finish()
        await self._profiles.finish()
        await self._cards.finish()
        # These only read, and may wait long for their turn.
        await end(self._asking.values())

    async def _repeat(self, loop: Loop, turn: Turn) -> None:
        woken = asyncio.Event()
        self._woken.append(woken)
        await self._pause(self._health.seconds_to_wait(loop))
        while not self._ended.is_set():
            woken.clear()
            try:
                wait = await turn()
                await self._health.succeeded(loop)
            except Exception as error:
                pause = await self._health.failed(loop, error)
                if is_out_of_reach(error):
                    # Another process may have taken over meanwhile: this run is over.
                    raise
                await self._pause(pause)
                continue
            if wait == 0:
                self._active_at = time.monotonic()
                continue
            try:
                async with asyncio.timeout(min(LINGER_SECONDS, wait or LINGER_SECONDS)):
                    await woken.wait()
            except TimeoutError:
                pass

    async def _pause(self, seconds: float) -> None:
        """Wait so long, whoever wakes; not when the run is to end."""
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            pass

    async def _end_when_idle(self) -> None:
        while not self._ended.is_set():
            await self._take_note()
            idle = time.monotonic() - self._active_at
            if idle > LINGER_SECONDS and not self._is_busy:
                self.end()
            try:
                async with asyncio.timeout(LINGER_SECONDS / 5):
                    await self._ended.wait()
            except TimeoutError:
                pass

    async def _take_note(self) -> None:
        """Tell the admins what they should know of this run."""
        if (note := self._note()) != self._noted:
            await connection_status.note(self._database, self._joined.connection.id, note)
            self._noted = note

    @property
    def _is_busy(self) -> bool:
        return bool(self.in_flight)

    @property
    def in_flight(self) -> list[asyncio.Task[None]]:
        """What is being sent, written, fetched or asked."""
        parts = (self._deliverer.in_flight, self._profiles.in_flight, self._cards.in_flight, self._asking)
        return [task for part in parts for task in part.values()]

    async def understand(self) -> float | None:
        """Understand the oldest events."""
        understood = await understand_some(self._database, self._joined)
        if understood.events:
            self.wake()
            return 0
        return None

    async def deliver(self) -> float | None:
        """Send events that are due."""
        return await self._deliverer.turn(on_progress=self.wake)

    async def write_profiles(self) -> float | None:
        """Write profiles that are due."""
        return await self._profiles.turn(on_progress=self.wake)

    async def fetch_cards(self) -> float | None:
        """Fetch cards that are wanted."""
        return await self._cards.turn(on_progress=self.wake)

    async def ask(self) -> float | None:
        """Put questions to Kustomer that may be asked now."""
        self._reap()
        connection_id, room = self._joined.connection.id, self._look_up.room(QUESTIONS_AT_ONCE) - len(self._asking)
        backoff = self._health.items(Loop.LOOKUPS)
        but = self._asking.keys() | backoff.waiting()
        due = await lookups.due(self._database, connection_id, QUESTIONS_AT_ONCE, but=but) if room > 0 else []
        for question in due[:room]:
            self._asking[question.kind, question.id] = asyncio.create_task(self._answer(question))
        if self._asking:
            return None
        if room <= 0:
            return self._look_up.seconds_held
        next_due = await lookups.next_due(self._database, connection_id, but=but)
        wait = None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())
        return min((one for one in (wait, backoff.seconds_to_next()) if one is not None), default=None)

    def _reap(self) -> None:
        """Let go of the questions that were answered."""
        for key, task in list(self._asking.items()):
            if task.done():
                del self._asking[key]

    async def _answer(self, question: DueQuestion) -> None:
        key = (question.kind, question.id)
        try:
            await self._look_up.answer(question)
            self._health.items(Loop.LOOKUPS).succeeded([key])
        except Exception as error:  # noqa: BLE001 - a question that fails is that question's matter
            await self._set_aside(question, error)
        finally:
            self.wake()

    async def _set_aside(self, question: DueQuestion, error: Exception) -> None:
        """Let a question fail by itself; where not even that can be written down, it waits longer each time."""
        key = (question.kind, question.id)
        if isinstance(error, UNREACHABLE):
            await self._health.item_failed(Loop.LOOKUPS, [key], error)
            return
        try:
            await self._look_up.failed(question, error)
        except Exception as second:  # noqa: BLE001 - it is counted and shown
            await self._health.item_failed(Loop.LOOKUPS, [key], second)
        else:
            self._health.items(Loop.LOOKUPS).succeeded([key])
