"""Refreshes the cards that are requested, in the connection's worker: one process reads from Klaviyo for all agents."""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.backoff import next_wait
from kustomer_klaviyo.card.card_build import UNAVAILABLE_RETRY_SECONDS, CardBuild, read_insight
from kustomer_klaviyo.card.card_fetch import CardFetch
from kustomer_klaviyo.card.card_status import CardError, CardStatus, deciding_error
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.health.item_errors import frames
from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.store import cards, customers, lookups
from kustomer_klaviyo.store.cards import DueCard, FetchedCard, RefreshReason
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.lookups import Lookup, LookupKind

MAX_BATCH = 50
"""Cards fetched together."""

MAX_BATCHES = 4
PREFETCH_RETRY_SECONDS = 2.0
"""The delay after which the rate limits are checked again for free prefetch slots."""

LOOKUP_POLL_SECONDS = 0.2
LOOKUP_TIMEOUT = timedelta(seconds=20)
RETRY_TIMEOUT = timedelta(minutes=2)
"""How long failed parts are retried; after that only when an agent opens the card again."""

SHORT_MAX_AGE = timedelta(minutes=1)

PREFETCH_MAX_AGE_MINUTES = 15
"""Older prefetch requests are dropped."""

log = structlog.get_logger()


class CardRefresher:
    """Refreshes the cards of one connection."""

    def __init__(self, db: Database, context: ConnectionContext, fetch: CardFetch, health: LoopHealth) -> None:
        self._db = db
        self._health = health
        self._backoff = health.item_backoff(Loop.CARDS)
        self._context = context
        self._fetch = fetch
        self._prefetch: asyncio.Task[None] | None = None
        self._prefetch_from = 0.0
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def run_once(self, on_progress: Callable[[], None]) -> float | None:
        """Start the fetches that can start. Returns the seconds until the next run, None to wait for a wake-up.

        Opened cards are fetched at once, however few. Prefetches are collected while others are fetched.
        """
        blocked = {str(customer_id) for customer_id in self._backoff.blocked()}
        due = await cards.due(self._db, self._id, MAX_BATCH, exclude=self.in_flight.keys() | blocked)
        opened = [card for card in due if card.refresh_reason is RefreshReason.OPENED]
        prefetches = [card for card in due if card.refresh_reason is RefreshReason.PREFETCH]
        if opened and len({*self.in_flight.values()}) < MAX_BATCHES:
            prefetches = await self._start_opened(opened, prefetches, on_progress)
        if prefetches and self._prefetch is None:
            wait = await self._start_prefetch(prefetches, on_progress)
            if wait is not None:
                return wait
        if self.in_flight:
            return None
        next_due = await cards.next_due(self._db, self._id, exclude=blocked)
        return next_wait(next_due, datetime.now(UTC), self._backoff.seconds_to_next())

    async def _start_opened(
        self, opened: Sequence[DueCard], prefetches: list[DueCard], on_progress: Callable[[], None]
    ) -> list[DueCard]:
        """Start opened cards, filled up with prefetches that cost no more requests. Returns the other prefetches."""
        fill = prefetches[: await self._fetch.spare_slots(len(opened))]
        self._start([*opened, *fill], on_progress)
        if fill:
            self._prefetch_from = time.monotonic() + await self._fetch.prefetch_interval()
        return prefetches[len(fill) :]

    async def _start_prefetch(self, prefetches: Sequence[DueCard], on_progress: Callable[[], None]) -> float | None:
        """Start a prefetch. Returns the seconds to wait if it cannot start now."""
        wait = self._prefetch_from - time.monotonic()
        if wait > 0:
            return min(wait, PREFETCH_RETRY_SECONDS)
        slots = await self._fetch.prefetch_slots()
        if slots == 0:
            await cards.expire_prefetches(self._db, self._id, minutes=PREFETCH_MAX_AGE_MINUTES)
            return PREFETCH_RETRY_SECONDS
        self._prefetch_from = time.monotonic() + await self._fetch.prefetch_interval()
        self._prefetch = self._start(prefetches[:slots], on_progress)
        return None

    async def finish(self) -> None:
        """Wait until the running fetches end."""
        await asyncio.gather(*{*self.in_flight.values()})

    @property
    def _id(self) -> str:
        return self._context.connection.id

    def _start(self, due_cards: Sequence[DueCard], on_progress: Callable[[], None]) -> asyncio.Task[None]:
        task = asyncio.create_task(self._process(due_cards, on_progress))
        self.in_flight |= dict.fromkeys((card.customer_id for card in due_cards), task)
        return task

    async def _process(self, due_cards: Sequence[DueCard], on_progress: Callable[[], None]) -> None:
        customer_ids = [card.customer_id for card in due_cards]
        try:
            await self._fetch_isolating_errors(due_cards)
            self._backoff.clear(customer_ids)
        except Exception as error:  # noqa: BLE001 - the result cannot be saved: do not fetch it again at once
            await self._health.record_item_failure(Loop.CARDS, customer_ids, error)
        finally:
            for card in due_cards:
                del self.in_flight[card.customer_id]
            if self._prefetch is asyncio.current_task():
                self._prefetch = None
            on_progress()

    async def _fetch_isolating_errors(self, due_cards: Sequence[DueCard]) -> None:
        """Fetch cards. If one of them causes an error, find it by halving and postpone only that card."""
        try:
            await self._fetch_cards(due_cards)
        except UNAVAILABLE_ERRORS:
            raise
        except Exception as error:  # noqa: BLE001 - any error of one card must not stop the others
            log.warning(
                "cards.fetch_failed",
                connection=self._id,
                customers=[card.customer_id for card in due_cards],
                error=type(error).__name__,
                at=frames(error),
            )
            if len(due_cards) == 1:
                await cards.save(self._db, self._id, [self._postponed(due_cards[0])])
                return
            middle = len(due_cards) // 2
            for half in (due_cards[:middle], due_cards[middle:]):
                await self._fetch_half(half)

    async def _fetch_half(self, due_cards: Sequence[DueCard]) -> None:
        try:
            await self._fetch_isolating_errors(due_cards)
        except Exception as error:  # noqa: BLE001 - any error of one half must not stop the other
            await self._health.record_item_failure(Loop.CARDS, [card.customer_id for card in due_cards], error)

    def _postponed(self, card: DueCard) -> FetchedCard:
        now = datetime.now(UTC)
        retry_at = (
            now + timedelta(seconds=UNAVAILABLE_RETRY_SECONDS) if now - card.requested_at < RETRY_TIMEOUT else None
        )
        return _unchanged(card, CardError.KLAVIYO_UNAVAILABLE, retry_at)

    async def _fetch_cards(self, due_cards: Sequence[DueCard]) -> None:
        known = await customers.identities(self._db, self._id, [card.customer_id for card in due_cards])
        for card in due_cards:
            if card.customer_id not in known:
                await self._look_up_customer(card)
        known_cards = [card for card in due_cards if card.customer_id in known]
        placeholders = self._context.options.placeholders
        builds = [CardBuild(known[card.customer_id], read_insight(card.document), placeholders) for card in known_cards]
        await self._fetch.fetch(builds)
        await cards.save(self._db, self._id, list(map(self._fetched, known_cards, builds)))
        log.info(
            "cards.fetched",
            connection=self._id,
            cards=len(builds),
            refresh_reason=due_cards[0].refresh_reason,
            errors=sorted({error for build in builds for error in build.insight.errors.values()}),
        )

    def _fetched(self, card: DueCard, build: CardBuild) -> FetchedCard:
        insight, now = build.insight, datetime.now(UTC)
        retry_seconds = build.retry_seconds if now - card.requested_at < RETRY_TIMEOUT else None
        max_age = timedelta(minutes=self._context.options.card_max_age_minutes)
        if insight.errors or insight.status is CardStatus.CUSTOMER_UNKNOWN:
            # A replaced key or a new profile is to be visible soon.
            max_age = min(max_age, SHORT_MAX_AGE)
        return FetchedCard(
            card.customer_id,
            msgspec.to_builtins(insight),
            is_complete=not insight.errors,
            fresh_until=now + max_age if build.retry_seconds is None else now,
            error=deciding_error(insight.errors.values()),
            retry_at=None if retry_seconds is None else now + timedelta(seconds=retry_seconds),
        )

    async def _look_up_customer(self, card: DueCard) -> None:
        """Queue a lookup of the customer in Kustomer. The card waits a short time for the response."""
        now = datetime.now(UTC)
        if now - card.requested_at > LOOKUP_TIMEOUT:
            await cards.save(self._db, self._id, [_unchanged(card, CardError.NOT_IN_KUSTOMER, None)])
            return
        async with self._db.transaction() as tx:
            await lookups.enqueue(tx, self._id, [Lookup(LookupKind.CUSTOMER, card.customer_id, for_card=True)])
        retry_at = now + timedelta(seconds=LOOKUP_POLL_SECONDS)
        await cards.save(self._db, self._id, [_unchanged(card, None, retry_at)])


def _unchanged(card: DueCard, error: CardError | None, retry_at: datetime | None) -> FetchedCard:
    """Return a card that keeps its old data."""
    return FetchedCard(
        card.customer_id, card.document, is_complete=False, fresh_until=None, error=error, retry_at=retry_at
    )
