"""From the webhook to its arrival at Klaviyo under light load, against the two round trips that this takes."""

import asyncio
import time

from figures import Figure
from load import quantile, send
from processes import Bench, Running
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
EVENTS = 400
INTERVAL_SECONDS = 0.05


async def measure(bench: Bench) -> list[Figure]:
    """Send one event every 50 ms."""
    url, floor_url = bench.new_database(), bench.new_database("bench_floor")
    async with bench.klaviyo() as klaviyo, bench.yardstick("floor_process.py", floor_url) as floor:
        await bench.connect(url, klaviyo)
        async with bench.serve(url) as service:
            await send(service.url, customers(WEBHOOK))
            await bench.wait_until_quiet(klaviyo)
            yardstick = await _round_trips(bench, floor, klaviyo)
            sent = []
            for request in conversations(bench.count(EVENTS), WEBHOOK):
                sent.append(time.time())
                await send(service.url, [request], at_once=1)
                await asyncio.sleep(INTERVAL_SECONDS)
            await bench.wait_for_events(klaviyo, len(sent))
            arrived = await bench.get(f"{klaviyo.url}/sandbox/events")
    delays = [event["received_at"] - at for event, at in zip(arrived, sent, strict=True)]
    return [
        _figure("webhook to Klaviyo, p50", quantile(delays, 0.5) * 1e3, yardstick, 4),
        _figure("webhook to Klaviyo, p99", quantile(delays, 0.99) * 1e3, yardstick, 12),
    ]


def _figure(name: str, value: float, yardstick: float, more: float) -> Figure:
    return Figure(name=name, value=value, unit="ms", yardstick=yardstick, ratio=value / yardstick,
                  target=f"+{more} ms (+{value - yardstick:.1f})", met=value - yardstick <= more)  # fmt: skip


async def _round_trips(bench: Bench, floor: Running, klaviyo: Running) -> float:
    """Return the milliseconds of one round trip to a server that does nothing and one to Klaviyo."""
    _, to_us = await send(floor.url, conversations(100, "/noop"), at_once=1)
    to_klaviyo = []
    for _ in range(100):
        start = time.perf_counter()
        await bench.state(klaviyo)
        to_klaviyo.append(time.perf_counter() - start)
    return (quantile(to_us, 0.5) + quantile(to_klaviyo, 0.5)) * 1e3
