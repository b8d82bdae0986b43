"""An outage of Klaviyo: how failures are counted, and how soon delivery resumes."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kustomer_klaviyo.settings import Settings
from support.kustomer_documents import conversation, customer, email
from support.pipeline import FAST_RETRIES, Pipeline, run_pipeline
from support.timeouts import wait_until

BEGIN = datetime(2026, 11, 1, tzinfo=UTC)

log = logging.getLogger(__name__)


@pytest.fixture
async def slow_retries(settings: Settings) -> AsyncIterator[Pipeline]:
    """A pipeline with the retry intervals of production."""
    async with run_pipeline(
        replace(settings, retry=replace(FAST_RETRIES, initial_seconds=1.0, max_seconds=900.0))
    ) as pipeline:
        yield pipeline


def customers(number: int) -> list[dict[str, Any]]:
    ids = [f"5f19aa0b1c2d3e4f5a6b{one:04d}" for one in range(number)]
    return [customer(customer_id=one, emails=[email(f"p{place}@lantern.example")]) for place, one in enumerate(ids)]


async def connection_status(pipeline: Pipeline) -> dict[str, Any]:
    [found] = await pipeline.sql("SELECT * FROM connection_status")
    return found


async def test_parallel_failures_count_once(slow_retries: Pipeline) -> None:
    await slow_retries.connect()
    await slow_retries.add_fault(kind="status", status=503, path="/api/profile-import", times=8)
    await slow_retries.receive_webhooks(*customers(8))
    await slow_retries.worker.write_profiles()
    await asyncio.gather(*slow_retries.worker.in_flight)
    assert (await slow_retries.fault_hits(), (await connection_status(slow_retries))["consecutive_failures"]) == (8, 1)


async def test_after_parallel_failures_one_probe_is_sent_at_a_time(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.add_fault(kind="status", status=503, path="/api/profile-import")
    await pipeline.receive_webhooks(*customers(8))
    await pipeline.worker.write_profiles()
    assert len(pipeline.worker.in_flight) == 8
    for _ in range(3):
        await asyncio.gather(*pipeline.worker.in_flight)
        await wait_until(lambda: is_probing(pipeline), "a probe may be sent")
        await pipeline.worker.write_profiles()
        await pipeline.worker.deliver_events()
        assert len(pipeline.worker.in_flight) <= 1


async def is_probing(pipeline: Pipeline) -> bool:
    await pipeline.worker.write_profiles()
    return bool(pipeline.worker.in_flight)


@pytest.mark.parametrize("seconds", [0.2, 1.5])
async def test_everything_arrives_after_an_outage_without_own_failures(pipeline: Pipeline, seconds: float) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers(12))
    conversation_ids = [f"67dd47dfbc632c1804db{number:04d}" for number in range(12)]
    customer_ids = [one["id"] for one in customers(12)]
    await pipeline.receive_webhooks(
        *(
            conversation(conversation_id=one, customer=who)
            for one, who in zip(conversation_ids, customer_ids, strict=True)
        )
    )
    await pipeline.add_fault(kind="status", status=503, path="/api", seconds=seconds)
    started_at = time.monotonic()
    await wait_until(lambda: all_is_delivered(pipeline), "everything arrived")
    log.info("outage %6.1f s -> all arrived %4.1f s after its end", seconds, time.monotonic() - started_at - seconds)
    assert await pipeline.sql("SELECT FROM deliveries WHERE own_failures > 0") == []
    assert (await connection_status(pipeline))["consecutive_failures"] == 0


async def all_is_delivered(pipeline: Pipeline) -> bool:
    await pipeline.worker.write_profiles()
    await pipeline.worker.deliver_events()
    await asyncio.gather(*pipeline.worker.in_flight)
    return not await pipeline.sql("SELECT FROM deliveries WHERE state = 'pending'")
