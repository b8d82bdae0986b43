"""The limits of one Klaviyo account that 3 connections in 4 processes use, with restarts among them."""

import asyncio
import time
from contextlib import AsyncExitStack
from typing import Any

from figures import Figure
from load import send
from processes import Bench, Running
from traffic import conversations, customers

CONNECTIONS = ("eu", "uk", "us")
OPERATION, LIMIT_PER_MINUTE = "bulk_create_events", 20
RATE_SCALE = LIMIT_PER_MINUTE / 150
"""The limits are reduced, so that they can be reached with few events."""

MINUTES, WORKERS = 2, 3
EVENTS = 60_000
"""More than the limit lets through in the minutes measured, at 1,000 in a request."""

RESTART_SECONDS = 25.0


async def measure(bench: Bench) -> list[Figure]:
    """Keep more events waiting than the limit lets through, and restart workers meanwhile."""
    url, count = bench.new_database(), bench.count(EVENTS, least=3000) // len(CONNECTIONS)
    async with AsyncExitStack() as stack:
        klaviyo = await stack.enter_async_context(bench.klaviyo(rate_scale=RATE_SCALE))
        await bench.connect(url, klaviyo, CONNECTIONS, klaviyo_account="SbxKlv")
        service = await stack.enter_async_context(bench.serve(url))
        restarting = [asyncio.create_task(_keep_restarting(bench, url, number)) for number in range(WORKERS)]
        for name in CONNECTIONS:
            await send(service.url, customers(f"/webhooks/kustomer/{name}", range(500)))
        for name in CONNECTIONS:
            await send(service.url, conversations(count, f"/webhooks/kustomer/{name}", people=range(500)))
        let_through, throttled = await _measure_minutes(bench, klaviyo)
        for task in restarting:
            task.cancel()
        await asyncio.gather(*restarting, return_exceptions=True)
    allowed = LIMIT_PER_MINUTE * MINUTES
    ratio = let_through / allowed
    return [
        Figure(name=f"{OPERATION} let through, 3 connections, 4 processes", value=let_through, unit="",
               yardstick=allowed, ratio=ratio, target=">= 0.9x", met=ratio >= 0.9),
        Figure(name="... 429s, all operations, since the start", value=throttled, unit="", target="0",
               met=throttled == 0),
    ]  # fmt: skip


async def _measure_minutes(bench: Bench, klaviyo: Running) -> tuple[int, int]:
    """Return the accepted requests of whole minutes, as Klaviyo counts them, and all 429s."""
    await asyncio.sleep(60 - time.time() % 60)
    before = await bench.state(klaviyo)
    await asyncio.sleep(60 * MINUTES)
    after = await bench.state(klaviyo)
    requests = _requests(after) - _requests(before)
    return requests - (_throttled(after) - _throttled(before)), _throttled(after)


def _requests(state: dict[str, Any]) -> int:
    return int(state["requests"].get(OPERATION, 0))


def _throttled(state: dict[str, Any]) -> int:
    return int(state["responses"].get("429", 0))


async def _keep_restarting(bench: Bench, url: str, number: int) -> None:
    """Run a worker, and start it again now and then; every other time it is killed."""
    await asyncio.sleep(number)
    round_number = number
    while True:
        async with bench.worker(url) as worker:
            await asyncio.sleep(RESTART_SECONDS + 5 * number)
            if round_number % 2:
                worker.kill()
        round_number += 1
