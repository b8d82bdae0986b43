"""An outage of Klaviyo's: what a round of failures counts for, and how soon delivery goes on after it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from documents import conversation, customer, email
from kustomer_klaviyo.backoff import Patience
from kustomer_klaviyo.delivery.retry_policy import Again, History, decide, hold
from kustomer_klaviyo.outcomes import Unreachable
from kustomer_klaviyo.settings import Settings
from line import IMPATIENT, Line, laid
from patience import until

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)
OUTAGES = [1, 5, 45, 300, 3600, 86_400]
"""Lengths in seconds; ``pytest --log-cli-level=info`` prints the table."""

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """A simulated outage of a vendor, and a connection that probes it; seconds since its beginning."""

    now: float = 0.0
    failures: int = 0
    requests: int = 0

    def live_through(self, outage: float, chance: float) -> float:
        """Return when the first request got through."""
        patience = Patience()
        while True:
            self.requests += 1
            if self.now >= outage:
                return self.now
            at = BEGIN + timedelta(seconds=self.now)
            held = hold(Unreachable("503"), self.failures, now=at, chance=lambda: chance, patience=patience)
            assert held is not None
            self.failures += 1
            self.now = (held.until - BEGIN).total_seconds()


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("outage", OUTAGES)
def test_delivery_goes_on_within_seconds_of_an_outages_end_whatever_its_length(outage: int, chance: float) -> None:
    clock = Clock()
    recovery = clock.live_through(outage, chance) - outage
    log.info("outage %6d s -> recovery %4.1f s after its end, %d requests", outage, recovery, clock.requests)
    assert 0 <= recovery <= 5.0
    assert clock.requests <= 10 + outage / 2.5


def test_a_delivery_tried_all_through_an_outage_is_not_late_after_it() -> None:
    accepted, tried = BEGIN - timedelta(seconds=1), BEGIN
    for minute in range(600):
        now = BEGIN + timedelta(minutes=minute)
        history = History(0, tried, accepted, accepted)
        verdict = decide(Unreachable("503"), history, now=now, chance=lambda: 1.0, patience=Patience())
        assert isinstance(verdict, Again)
        assert verdict.at is not None
        assert (verdict.is_own, verdict.at - now) == (False, timedelta(seconds=1))
        tried = now


def test_a_vendor_that_is_down_and_wishes_for_an_hour_is_asked_again_soon() -> None:
    held = hold(Unreachable("503", retry_after=3600.0), 9, now=BEGIN, chance=lambda: 1.0, patience=Patience())
    assert held is not None
    assert held.until - BEGIN <= timedelta(seconds=Patience().longest_outage_wish)


@pytest.fixture
async def patient(settings: Settings) -> AsyncIterator[Line]:
    """A line that waits as a service does, up to some seconds."""
    async with laid(replace(settings, patience=replace(IMPATIENT, first_wait=1.0, longest_wait=900.0))) as line:
        yield line


def crowd(number: int) -> list[dict[str, Any]]:
    ids = [f"5f19aa0b1c2d3e4f5a6b{one:04d}" for one in range(number)]
    return [customer(customer_id=one, emails=[email(f"p{place}@lantern.example")]) for place, one in enumerate(ids)]


async def lane(line: Line) -> dict[str, Any]:
    [found] = await line.sql("SELECT * FROM delivery_lanes")
    return found


async def test_a_round_of_parallel_failures_counts_once(patient: Line) -> None:
    await patient.connect()
    await patient.misbehave(kind="status", status=503, path="/api/profile-import", times=8)
    await patient.receive(*crowd(8))
    await patient.run.write_profiles()
    await asyncio.gather(*patient.run.in_flight)
    assert (await patient.met(), (await lane(patient))["failures"]) == (8, 1)


async def test_after_a_round_of_failures_one_request_goes_and_the_rest_waits_for_its_answer(line: Line) -> None:
    await line.connect()
    await line.misbehave(kind="status", status=503, path="/api/profile-import")
    await line.receive(*crowd(8))
    await line.run.write_profiles()
    assert len(line.run.in_flight) == 8
    for _ in range(3):
        await asyncio.gather(*line.run.in_flight)
        await until(lambda: probes(line), "the lane may be tried again")
        await line.run.write_profiles()
        await line.run.deliver()
        assert len(line.run.in_flight) <= 1


async def probes(line: Line) -> bool:
    await line.run.write_profiles()
    return bool(line.run.in_flight)


@pytest.mark.parametrize("seconds", [0.2, 1.5])
async def test_all_arrives_after_an_outage_and_no_patience_is_worn_out(line: Line, seconds: float) -> None:
    await line.connect()
    await line.receive(*crowd(12))
    begun = [f"67dd47dfbc632c1804db{number:04d}" for number in range(12)]
    people = [one["id"] for one in crowd(12)]
    await line.receive(*map(lambda one, who: conversation(conversation_id=one, customer=who), begun, people))
    await line.misbehave(kind="status", status=503, path="/api", seconds=seconds)
    began = time.monotonic()
    await until(lambda: all_is_delivered(line), "everything arrived")
    log.info("outage %6.1f s -> all arrived %4.1f s after its end", seconds, time.monotonic() - began - seconds)
    assert await line.sql("SELECT FROM deliveries WHERE own_failures > 0") == []
    assert (await lane(line))["failures"] == 0


async def all_is_delivered(line: Line) -> bool:
    await line.run.write_profiles()
    await line.run.deliver()
    await asyncio.gather(*line.run.in_flight)
    return not await line.sql("SELECT FROM deliveries WHERE state = 'waiting'")
