"""Works for one connection in one process: processes its inbox, runs lookups, delivers, until nothing is left to do."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from kustomer_klaviyo.card.card_refresh import CardRefresher
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.delivery.event_delivery import EventDeliverer
from kustomer_klaviyo.delivery.profile_delivery import ProfileDeliverer
from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.planning.inbox_processor import process_inbox
from kustomer_klaviyo.reconcile.lookup_queue import LookupQueue
from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.database import Database, is_unreachable
from kustomer_klaviyo.task_group import cancel_all, open_task_group

IDLE_SECONDS = 5.0
"""A worker stays this long without work, so that light traffic needs no new one."""

Step = Callable[[], Awaitable[float | None]]
"""Does some work; returns the seconds until it is needed again (0: at once, None: when woken)."""


class ConnectionWorker:
    """Works for one connection. ``run`` returns after some idle seconds, or soon after ``stop``."""

    def __init__(
        self,
        db: Database,
        context: ConnectionContext,
        *,
        events: EventDeliverer,
        profiles: ProfileDeliverer,
        lookups: LookupQueue,
        cards: CardRefresher,
        note: Callable[[], str | None],
        health: LoopHealth,
    ) -> None:
        self._db = db
        self._context = context
        self._events = events
        self._profiles = profiles
        self._lookups = lookups
        self._cards = cards
        self._note = note
        self._health = health
        self._saved_note: str | None = None
        self._wake_ups: list[asyncio.Event] = []
        self._stopped = asyncio.Event()
        self._active_at = time.monotonic()

    @property
    def version(self) -> int:
        """The version of the connection that this worker uses."""
        return self._context.connection.version

    @property
    def is_stopping(self) -> bool:
        """Whether it looks for no more work."""
        return self._stopped.is_set()

    def wake(self) -> None:
        """Look for work now."""
        for wake_up in self._wake_ups:
            wake_up.set()

    def stop(self) -> None:
        """Finish what is in flight, and start nothing new."""
        self._stopped.set()
        self.wake()

    async def run(self) -> None:
        """Work until idle or stopped."""
        steps: dict[Loop, Step] = {
            Loop.INBOX: self.process_inbox,
            Loop.LOOKUPS: self.run_lookups,
            Loop.EVENTS: self.deliver_events,
            Loop.PROFILES: self.write_profiles,
            Loop.CARDS: self.fetch_cards,
        }
        async with open_task_group() as group:
            for loop, step in steps.items():
                group.start_soon(self._repeat, loop, step)
            group.start_soon(self._stop_when_idle)
        await self._events.finish()
        await self._profiles.finish()
        await self._cards.finish()
        # Lookups only read, and may wait long for a response.
        await cancel_all(self._lookups.in_flight.values())

    async def _repeat(self, loop: Loop, step: Step) -> None:
        wake_up = asyncio.Event()
        self._wake_ups.append(wake_up)
        await self._sleep_until_stopped(self._health.seconds_to_wait(loop))
        while not self._stopped.is_set():
            wake_up.clear()
            try:
                wait = await step()
                await self._health.record_success(loop)
            except Exception as error:
                wait = await self._health.record_failure(loop, error)
                if is_unreachable(error):
                    # Another process may have taken over meanwhile: this worker is done.
                    raise
                await self._sleep_until_stopped(wait)
                continue
            if wait == 0:
                self._active_at = time.monotonic()
                continue
            await _wait_for(wake_up, min(IDLE_SECONDS, wait or IDLE_SECONDS))

    async def _sleep_until_stopped(self, seconds: float) -> None:
        """Sleep, even if woken; end early when stopped."""
        await _wait_for(self._stopped, seconds)

    async def _stop_when_idle(self) -> None:
        while not self._stopped.is_set():
            await self._save_note()
            idle_seconds = time.monotonic() - self._active_at
            if idle_seconds > IDLE_SECONDS and not self.in_flight:
                self.stop()
            await self._sleep_until_stopped(IDLE_SECONDS / 5)

    async def _save_note(self) -> None:
        """Store what admins should know about this worker, if it changed."""
        if (note := self._note()) != self._saved_note:
            await connection_status.set_note(self._db, self._context.connection.id, note)
            self._saved_note = note

    @property
    def in_flight(self) -> list[asyncio.Task[None]]:
        """The tasks that send, write, fetch or look up."""
        parts = (self._events, self._profiles, self._cards, self._lookups)
        return [task for part in parts for task in part.in_flight.values()]

    async def process_inbox(self) -> float | None:
        """Process the oldest events of the inbox."""
        result = await process_inbox(self._db, self._context)
        if result.events:
            self.wake()
            return 0
        return None

    async def deliver_events(self) -> float | None:
        """Send the events that are due."""
        return await self._events.run_once(on_progress=self.wake)

    async def write_profiles(self) -> float | None:
        """Write the profiles that are due."""
        return await self._profiles.run_once(on_progress=self.wake)

    async def fetch_cards(self) -> float | None:
        """Fetch the cards that are due."""
        return await self._cards.run_once(on_progress=self.wake)

    async def run_lookups(self) -> float | None:
        """Run the lookups that are due."""
        return await self._lookups.run_once(on_progress=self.wake)


async def _wait_for(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        pass
