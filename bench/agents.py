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
from traffic import CARD_SECRET, customer_id, customer_writes

AGENTS = 100
OPEN_INTERVAL_SECONDS = 10.0
"""Each agent opens one card in this time: 600 a minute together, two of three for another customer."""

RAMP_SECONDS = 30.0
"""The agents start within this time, one after another."""

LEAD_SECONDS = (5.0, 30.0)
"""How long before the card is opened the customer writes."""

RETURNING = 1 / 3
"""The share of cards that are opened for a customer whose card was opened before in this shift."""

GRACE_SECONDS = 5.0
"""How long to wait for responses after the last card was opened."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A customer who writes, and whose card is opened afterwards; times are seconds since the beginning."""

    customer: int
    writes_at: float
    opens_at: float


@dataclass(frozen=True, slots=True)
class Open:
    """One opened card, as its agent sees it."""

    seconds: float
    """Until the whole response was read, or until waiting ended."""
    is_warm: bool
    """All parts were present, and fetched before the card was opened."""
    has_response: bool


@dataclass(frozen=True, slots=True)
class Shift:
    """All opened cards, including those of the ramp."""

    opens: list[Open]

    @property
    def warm(self) -> float:
        """The percentage of cards with warm data."""
        return self._percentage(lambda card: card.is_warm)

    @property
    def fast(self) -> float:
        """The percentage of cards with warm data in under 50 ms."""
        return self._percentage(lambda card: card.is_warm and card.seconds < 0.05)

    @property
    def with_response(self) -> float:
        """The percentage of cards with a response at all."""
        return self._percentage(lambda card: card.has_response)

    @property
    def slow(self) -> int:
        """The number of cards that took more than 2 s."""
        return sum(card.seconds > 2 for card in self.opens)

    def milliseconds(self, part: float) -> float:
        """Return the time within which the given part got a response."""
        return quantile([card.seconds for card in self.opens], part) * 1e3

    def _percentage(self, condition: Callable[[Open], bool]) -> float:
        return 100 * sum(map(condition, self.opens)) / len(self.opens)


def plan_shift(steady: float) -> list[Visit]:
    """Plan a shift with this many seconds after the ramp; the same each time."""
    rng = random.Random(600)
    first = LEAD_SECONDS[1]
    end = first + RAMP_SECONDS + steady
    opens = []
    for agent in range(AGENTS):
        start = first + RAMP_SECONDS * agent / AGENTS
        while start < end:
            opens.append(start + rng.uniform(0, OPEN_INTERVAL_SECONDS))
            start += OPEN_INTERVAL_SECONDS
    timely = sorted(at for at in opens if at < end)
    numbers: list[int] = []
    for _ in timely:
        is_returning = bool(numbers) and rng.random() < RETURNING
        numbers.append(rng.choice(numbers) if is_returning else max(numbers, default=-1) + 1)
    return [Visit(number, at - rng.uniform(*LEAD_SECONDS), at) for number, at in zip(numbers, timely, strict=True)]


async def run_shift(service: str, cards: str, visits: list[Visit], hook: str) -> Shift:
    """Let customers write and agents open their cards, each at its time.

    An agent does not wait for one card before opening the next, so slow responses do not reduce the load.
    """
    begins = time.perf_counter()
    headers = {"Authorization": f"Bearer {CARD_SECRET}"}
    async with aiohttp.ClientSession(headers=headers, connector=aiohttp.TCPConnector(limit=0)) as session:
        messages = [asyncio.create_task(_write(service, hook, visit, begins)) for visit in visits]
        opens = [asyncio.create_task(_open(session, f"{service}{cards}", visit, begins)) for visit in visits]
        last = max(visit.opens_at for visit in visits)
        await asyncio.wait(opens, timeout=last + GRACE_SECONDS)
        for task in opens:
            task.cancel()
        await asyncio.gather(*messages)
        return Shift(await asyncio.gather(*opens))


async def _write(service: str, hook: str, visit: Visit, begins: float) -> None:
    await asyncio.sleep(begins + visit.writes_at - time.perf_counter())
    await send(service, [customer_writes(visit.customer, hook)], at_once=1)


async def _open(session: aiohttp.ClientSession, cards: str, visit: Visit, begins: float) -> Open:
    await asyncio.sleep(begins + visit.opens_at - time.perf_counter())
    opened_at, start = datetime.now(UTC), time.perf_counter()
    try:
        async with session.post(f"{cards}/customers/{customer_id(visit.customer)}") as response:
            body = await response.json()
    except asyncio.CancelledError:
        return Open(time.perf_counter() - start, is_warm=False, has_response=False)
    seconds = time.perf_counter() - start
    if response.status != 200:
        raise RuntimeError(f"{response.status} {body}")
    return Open(seconds, is_warm=_is_warm(body["card"], opened_at), has_response=True)


def _is_warm(card: dict[str, Any], opened_at: datetime) -> bool:
    if card["status"] != "ok" or any(card[part] is None for part in ("lists", "segments", "campaigns")):
        return False
    return datetime.fromisoformat(card["fetched_at"]) < opened_at
