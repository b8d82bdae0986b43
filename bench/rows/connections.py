"""1,000 connections in one database and 4 processes: events per CPU second against 1 connection, and CPU when idle."""

import asyncio
import time
from contextlib import AsyncExitStack

from figures import Figure, at_least
from load import send
from processes import Bench, Running
from traffic import conversations, customers

CONNECTIONS, EVENTS, WORKERS = 1000, 10_000, 3
IDLE_SECONDS = 20.0
MAX_IDLE_PERCENT = 3.0


async def measure(bench: Bench) -> list[Figure]:
    """Measure many connections, then one."""
    many, idle = await _run(bench, bench.count(CONNECTIONS, least=5))
    one, idle_one = await _run(bench, 1)
    return [
        at_least(f"{bench.count(CONNECTIONS, least=5):,} connections, 4 processes: events per CPU second", many, "/s",
                 one, 0.7),
        Figure(name="... idle CPU, of one core", value=idle, unit="%", yardstick=idle_one, ratio=idle / idle_one,
               target=f"< {MAX_IDLE_PERCENT:.0f}%", met=idle < MAX_IDLE_PERCENT),
    ]  # fmt: skip


async def _run(bench: Bench, connections: int) -> tuple[float, float]:
    """Return the events per CPU second, and the percentage of a core that is used while nothing happens."""
    url, ids = bench.new_database(), [f"c{number}" for number in range(connections)]
    async with AsyncExitStack() as stack:
        klaviyo = await stack.enter_async_context(bench.klaviyo())
        await bench.connect(url, klaviyo, ids)
        service = await stack.enter_async_context(bench.serve(url))
        workers = [await stack.enter_async_context(bench.worker(url)) for _ in range(WORKERS)]
        await send(service.url, [webhook for name in ids for webhook in customers(_path(name), range(2))])
        await bench.wait_until_quiet(klaviyo, 5)
        idle = await _idle_percent(bench, service, *workers)
        return await _events_per_cpu_second(bench, ids, klaviyo, service, *workers), idle


def _path(connection_id: str) -> str:
    return f"/webhooks/kustomer/{connection_id}"


async def _idle_percent(bench: Bench, *processes: Running) -> float:
    before, began = bench.cpu(*processes), time.perf_counter()
    await asyncio.sleep(IDLE_SECONDS)
    return 100 * (bench.cpu(*processes) - before) / (time.perf_counter() - began)


async def _events_per_cpu_second(bench: Bench, ids: list[str], klaviyo: Running, *processes: Running) -> float:
    """Deliver events of all connections one after another."""
    each = max(1, bench.count(EVENTS) // len(ids))
    by_connection = [conversations(each, _path(name), people=range(2)) for name in ids]
    webhooks = [webhook for together in zip(*by_connection, strict=True) for webhook in together]
    before = bench.cpu(*processes)
    await send(processes[0].url, webhooks)
    await bench.wait_for_events(klaviyo, len(webhooks))
    return len(webhooks) / (bench.cpu(*processes) - before)
