"""A support team at work: customers write, and moments later agents open their cards."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import aiohttp

from load import quantile, send
from traffic import CARD_SECRET, customer_id, written

AGENTS = 100
TURN_SECONDS = 10.0
"""In which each agent opens one card: together 600 a minute, each of another customer."""

RAMP_SECONDS = 30.0
"""In which the agents come on, one after another."""

AHEAD_SECONDS = (5.0, 30.0)
"""So long before an agent opens the card the customer has written."""

GRACE_SECONDS = 5.0
"""How long answers are waited for after the last card was opened."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A customer who writes, and whose card is opened then; seconds since the beginning."""

    customer: int
    writes_at: float
    opens_at: float


@dataclass(frozen=True, slots=True)
class Open:
    """How the opening of a card went, as seen by who opened it."""

    seconds: float
    """Until the whole answer was read; so long was waited in vain when there was none."""
    is_warm: bool
    """All parts were there, and fetched before the card was opened."""
    is_answered: bool


@dataclass(frozen=True, slots=True)
class Shift:
    """All cards that were opened, those of the ramp included."""

    opens: list[Open]

    @property
    def warm(self) -> float:
        """The percentage answered from warm data."""
        return self._percentage(lambda one: one.is_warm)

    @property
    def swift(self) -> float:
        """The percentage answered from warm data in under 50 ms."""
        return self._percentage(lambda one: one.is_warm and one.seconds < 0.05)

    @property
    def answered(self) -> float:
        """The percentage answered at all."""
        return self._percentage(lambda one: one.is_answered)

    @property
    def slow(self) -> int:
        """How many took more than 2 s."""
        return sum(one.seconds > 2 for one in self.opens)

    def milliseconds(self, part: float) -> float:
        """Return the time within which the given part was answered."""
        return quantile([one.seconds for one in self.opens], part) * 1e3

    def _percentage(self, is_so: Callable[[Open], bool]) -> float:
        return 100 * sum(map(is_so, self.opens)) / len(self.opens)


def plan(steady: float) -> list[Visit]:
    """Plan a shift of so many seconds after the ramp; the same each time."""
    chance = random.Random(600)
    first = AHEAD_SECONDS[1]
    end = first + RAMP_SECONDS + steady
    opens = []
    for agent in range(AGENTS):
        turn = first + RAMP_SECONDS * agent / AGENTS
        while turn < end:
            opens.append(turn + chance.uniform(0, TURN_SECONDS))
            turn += TURN_SECONDS
    timely = sorted(at for at in opens if at < end)
    return [Visit(number, at - chance.uniform(*AHEAD_SECONDS), at) for number, at in enumerate(timely)]


async def work(house: str, cards: str, visits: list[Visit], hook: str) -> Shift:
    """Let the customers write and the agents open their cards below an address, each at its time.

    No agent waits for one card before the next is opened: what is slow cannot slow the traffic down.
    """
    begins = time.perf_counter()
    headers = {"Authorization": f"Bearer {CARD_SECRET}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        writings = [asyncio.create_task(_write(house, hook, visit, begins)) for visit in visits]
        opens = [asyncio.create_task(_open(session, f"{house}{cards}", visit, begins)) for visit in visits]
        last = max(visit.opens_at for visit in visits)
        await asyncio.wait(opens, timeout=last + GRACE_SECONDS)
        for task in opens:
            task.cancel()
        await asyncio.gather(*writings)
        return Shift(await asyncio.gather(*opens))


async def _write(house: str, hook: str, visit: Visit, begins: float) -> None:
    await asyncio.sleep(begins + visit.writes_at - time.perf_counter())
    await send(house, [written(visit.customer, hook)], at_once=1)


async def _open(session: aiohttp.ClientSession, cards: str, visit: Visit, begins: float) -> Open:
    await asyncio.sleep(begins + visit.opens_at - time.perf_counter())
    opened_at, start = datetime.now(UTC), time.perf_counter()
    try:
        async with session.post(f"{cards}/customers/{customer_id(visit.customer)}") as response:
            answer = await response.json()
    except asyncio.CancelledError:
        return Open(time.perf_counter() - start, is_warm=False, is_answered=False)
    seconds = time.perf_counter() - start
    if response.status != 200:
        raise RuntimeError(f"{response.status} {answer}")
    return Open(seconds, is_warm=_is_warm(answer["card"], opened_at), is_answered=True)


def _is_warm(card: dict[str, Any], opened_at: datetime) -> bool:
    if card["face"] != "known" or any(card[part] is None for part in ("lists", "segments", "campaigns")):
        return False
    return datetime.fromisoformat(card["fetched_at"]) < opened_at
