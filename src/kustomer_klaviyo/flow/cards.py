"""Fetches the cards that are wanted, in the connection's own run: whichever process it is, one asks Klaviyo for all."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.insight import InsightFetch, read_insight
from kustomer_klaviyo.store import insights, lookups, people
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.insights import DueCard, Wish
from kustomer_klaviyo.store.lookups import Kind, Question

AT_ONCE = 8
LEISURE = 0.4
"""Cards are fetched ahead only while this part of Klaviyo's scarcest limit is left for agents who look."""

LEISURE_AGAIN_SECONDS = 2.0
STRANGER_AGAIN_SECONDS = 0.2
STRANGER_GIVE_UP = timedelta(seconds=20)
GIVE_UP = timedelta(minutes=2)
"""So long Klaviyo is asked again for what it did not give; then only when an agent looks again."""

AHEAD_MINUTES = 15
"""A wish ahead older than this is dropped."""

UNKNOWN_IN_KUSTOMER = "Kustomer did not say who this customer is"

log = structlog.get_logger()


class Cards:
    """Fetches one connection's cards."""

    def __init__(self, database: Database, joined: Joined, fetch: InsightFetch) -> None:
        self._database = database
        self._joined = joined
        self._fetch = fetch
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def turn(self, on_progress: Callable[[], None]) -> float | None:
        """Begin what can be begun; returns the seconds until another turn is wanted, None when woken."""
        room = AT_ONCE - len(self.in_flight)
        due = await insights.due(self._database, self._id, room, but=self.in_flight) if room else []
        held_back = False
        for card in due:
            if card.wish is Wish.AHEAD and self._fetch.leisure < LEISURE:
                held_back = True
                continue
            self.in_flight[card.customer_id] = asyncio.create_task(self._serve(card, on_progress))
        if held_back:
            await insights.give_up_ahead(self._database, self._id, minutes=AHEAD_MINUTES)
            return LEISURE_AGAIN_SECONDS
        if self.in_flight:
            return None
        next_due = await insights.next_due(self._database, self._id)
        return None if next_due is None else max(0.01, (next_due - datetime.now(UTC)).total_seconds())

    async def finish(self) -> None:
        """Wait for the cards being fetched."""
        await asyncio.gather(*self.in_flight.values())

    @property
    def _id(self) -> str:
        return self._joined.connection.id

    async def _serve(self, card: DueCard, on_progress: Callable[[], None]) -> None:
        try:
            await self._fetch_card(card)
        finally:
            del self.in_flight[card.customer_id]
            on_progress()

    async def _fetch_card(self, card: DueCard) -> None:
        person = await people.reachable(self._database, self._id, card.customer_id)
        if person is None:
            await self._ask_who(card)
            return
        fetched = await self._fetch.fetch(person, read_insight(card.document))
        insight, now = fetched.insight, datetime.now(UTC)
        again_in = fetched.again_in if now - card.wished_at < GIVE_UP else None
        age = timedelta(minutes=self._joined.options.card_minutes)
        log.info(
            "card.fetched",
            connection=self._id,
            customer=card.customer_id,
            wish=card.wish,
            status=insight.status,
            troubles=insight.troubles,
        )
        await insights.save(
            self._database,
            self._id,
            card.customer_id,
            document=msgspec.to_builtins(insight),
            fetched=not insight.troubles,
            fresh_until=now + age if fetched.again_in is None else now,
            trouble="; ".join(sorted(set(insight.troubles.values()))) or None,
            again_at=None if again_in is None else now + timedelta(seconds=again_in),
        )

    async def _ask_who(self, card: DueCard) -> None:
        """Have Kustomer asked who this is; the card waits a little for the answer."""
        gives_up = datetime.now(UTC) - card.wished_at > STRANGER_GIVE_UP
        again_at = None if gives_up else datetime.now(UTC) + timedelta(seconds=STRANGER_AGAIN_SECONDS)
        if not gives_up:
            async with self._database.transaction() as connection:
                await lookups.ask(connection, self._id, [Question(Kind.CUSTOMER, card.customer_id)])
        await insights.save(
            self._database,
            self._id,
            card.customer_id,
            document=card.document,
            fetched=False,
            fresh_until=None,
            trouble=UNKNOWN_IN_KUSTOMER if gives_up else None,
            again_at=again_at,
        )
