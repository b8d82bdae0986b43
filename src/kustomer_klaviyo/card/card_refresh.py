"""Fetches the cards that are wanted, in the connection's own run: whichever process it is, one asks Klaviyo for all."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.card.card_build import AWAY_SECONDS, Draft, read_insight
from kustomer_klaviyo.card.card_fetch import InsightFetch
from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.health.item_errors import frames
from kustomer_klaviyo.health.loop_health import Health, Loop
from kustomer_klaviyo.store import cards, customers, lookups
from kustomer_klaviyo.store.cards import DueCard, Fetched, Wish
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.lookups import Kind, Question

MOST_AT_ONCE = 50
"""Cards fetched together."""

BATCHES_AT_ONCE = 4
AHEAD_AGAIN_SECONDS = 2.0
"""After this long it is looked again whether Klaviyo's limits leave room for cards that nobody looks at yet."""

STRANGER_AGAIN_SECONDS = 0.2
STRANGER_GIVE_UP = timedelta(seconds=20)
GIVE_UP = timedelta(minutes=2)
"""So long Klaviyo is asked again for what it did not give; then only when an agent looks again."""

SHORT_AGE = timedelta(minutes=1)

AHEAD_MINUTES = 15
"""A wish ahead older than this is dropped."""

UNKNOWN_IN_KUSTOMER = "Kustomer did not say who this customer is"

log = structlog.get_logger()


class Cards:
    """Fetches one connection's cards."""

    def __init__(self, database: Database, joined: Joined, fetch: InsightFetch, health: Health) -> None:
        self._database = database
        self._health = health
        self._backoff = health.items(Loop.CARDS)
        self._joined = joined
        self._fetch = fetch
        self._ahead: asyncio.Task[None] | None = None
        self._ahead_from = 0.0
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def turn(self, on_progress: Callable[[], None]) -> float | None:
        """Begin what can be begun; returns the seconds until another turn is wanted, None when woken.

        Cards that agents look at go at once, however few; those wished for ahead gather while others are fetched.
        """
        waiting = {str(one) for one in self._backoff.waiting()}
        due = await cards.due(self._database, self._id, MOST_AT_ONCE, but=self.in_flight.keys() | waiting)
        looked_at = [card for card in due if card.wish is Wish.OPENED]
        ahead = [card for card in due if card.wish is Wish.AHEAD]
        if looked_at and len({*self.in_flight.values()}) < BATCHES_AT_ONCE:
            # A request about a group tells of as many as fit: who waits ahead comes along for nothing.
            fill = ahead[: await self._fetch.beside(len(looked_at))]
            self._begin([*looked_at, *fill], on_progress)
            ahead = ahead[len(fill) :]
            if fill:
                self._ahead_from = time.monotonic() + await self._fetch.pause()
        if ahead and self._ahead is None:
            gather = self._ahead_from - time.monotonic()
            if gather > 0:
                return min(gather, AHEAD_AGAIN_SECONDS)
            room = await self._fetch.ahead()
            if room == 0:
                await cards.give_up_ahead(self._database, self._id, minutes=AHEAD_MINUTES)
                return AHEAD_AGAIN_SECONDS
            self._ahead_from = time.monotonic() + await self._fetch.pause()
            self._ahead = self._begin(ahead[:room], on_progress)
        if self.in_flight:
            return None
        next_due = await cards.next_due(self._database, self._id, but=waiting)
        wait = None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())
        return min((one for one in (wait, self._backoff.seconds_to_next()) if one is not None), default=None)

    async def finish(self) -> None:
        """Wait for the cards being fetched."""
        await asyncio.gather(*{*self.in_flight.values()})

    @property
    def _id(self) -> str:
        return self._joined.connection.id

    def _begin(self, due_cards: Sequence[DueCard], on_progress: Callable[[], None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._serve(due_cards, on_progress))
        self.in_flight |= dict.fromkeys((card.customer_id for card in due_cards), task)
        return task

    async def _serve(self, due_cards: Sequence[DueCard], on_progress: Callable[[], None]) -> None:
        wanted = [card.customer_id for card in due_cards]
        try:
            await self._fetch_one_way_or_another(due_cards)
            self._backoff.succeeded(wanted)
        except Exception as error:  # noqa: BLE001 - what came cannot be kept: it must not be fetched again at once
            await self._health.item_failed(Loop.CARDS, wanted, error)
        finally:
            for card in due_cards:
                del self.in_flight[card.customer_id]
            if self._ahead is asyncio.current_task():
                self._ahead = None
            on_progress()

    async def _fetch_one_way_or_another(self, due_cards: Sequence[DueCard]) -> None:
        """Fetch cards; a fault that one of them leads to is its own, and not for ever."""
        try:
            await self._fetch_cards(due_cards)
        except UNREACHABLE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the others must not wait for it
            log.warning(
                "cards.failed",
                connection=self._id,
                customers=[card.customer_id for card in due_cards],
                error=type(error).__name__,
                at=frames(error),
            )
            if len(due_cards) == 1:
                await cards.save(self._database, self._id, [self._put_off(due_cards[0])])
                return
            middle = len(due_cards) // 2
            for half in (due_cards[:middle], due_cards[middle:]):
                await self._fetch_safely(half)

    async def _fetch_safely(self, due_cards: Sequence[DueCard]) -> None:
        try:
            await self._fetch_one_way_or_another(due_cards)
        except Exception as error:  # noqa: BLE001 - the other half goes on
            await self._health.item_failed(Loop.CARDS, [card.customer_id for card in due_cards], error)

    def _put_off(self, card: DueCard) -> Fetched:
        now = datetime.now(UTC)
        again_at = now + timedelta(seconds=AWAY_SECONDS) if now - card.wished_at < GIVE_UP else None
        return Fetched(
            card.customer_id, card.document, is_whole=False, fresh_until=None, trouble="away", again_at=again_at
        )

    async def _fetch_cards(self, due_cards: Sequence[DueCard]) -> None:
        wanted = [card.customer_id for card in due_cards]
        known = await customers.reachable(self._database, self._id, wanted)
        for card in due_cards:
            if card.customer_id not in known:
                await self._ask_who(card)
        met = [card for card in due_cards if card.customer_id in known]
        placeholders = self._joined.options.placeholders
        drafts = [Draft(known[card.customer_id], read_insight(card.document), placeholders) for card in met]
        await self._fetch.fetch(drafts)
        await cards.save(self._database, self._id, list(map(self._fetched, met, drafts)))
        troubles = {trouble for draft in drafts for trouble in draft.insight.troubles.values()}
        log.info(
            "cards.fetched",
            connection=self._id,
            cards=len(drafts),
            wish=due_cards[0].wish,
            troubles=sorted(troubles),
        )

    def _fetched(self, card: DueCard, draft: Draft) -> Fetched:
        insight, now = draft.insight, datetime.now(UTC)
        again_in = draft.again_in if now - card.wished_at < GIVE_UP else None
        age = timedelta(minutes=self._joined.options.card_minutes)
        if insight.troubles or insight.status == "unknown":
            # A key that somebody mends, a profile that is being made: it is to be seen soon.
            age = min(age, SHORT_AGE)
        return Fetched(
            card.customer_id,
            msgspec.to_builtins(insight),
            is_whole=not insight.troubles,
            fresh_until=now + age if draft.again_in is None else now,
            trouble="; ".join(sorted(set(insight.troubles.values()))) or None,
            again_at=None if again_in is None else now + timedelta(seconds=again_in),
        )

    async def _ask_who(self, card: DueCard) -> None:
        """Have Kustomer asked who this is; the card waits a little for the answer."""
        now = datetime.now(UTC)
        gives_up = now - card.wished_at > STRANGER_GIVE_UP
        if not gives_up:
            async with self._database.transaction() as connection:
                await lookups.ask(connection, self._id, [Question(Kind.CUSTOMER, card.customer_id, for_card=True)])
        still = Fetched(
            card.customer_id,
            card.document,
            is_whole=False,
            fresh_until=None,
            trouble=UNKNOWN_IN_KUSTOMER if gives_up else None,
            again_at=None if gives_up else now + timedelta(seconds=STRANGER_AGAIN_SECONDS),
        )
        await cards.save(self._database, self._id, [still])
