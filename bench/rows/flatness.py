"""CPU per event, end to end, with 1,000,000 conversations and 300,000 customers kept, against an empty database."""

import asyncio
import contextlib
import random
import statistics
from collections import defaultdict

import psycopg

from figures import Figure, at_most
from fill import TEMPLATE_CONVERSATIONS, TEMPLATE_CUSTOMERS, copied_customer, copy_rows, write_template
from load import send
from processes import Bench, Running
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
CONVERSATIONS = 1_000_000
EVENTS, PEOPLE, ROUNDS = 3000, 1000, 3
WARM_UP, SETTLE_SECONDS, MAX_SECONDS = 100, 2.0, 30.0


async def measure(bench: Bench) -> list[Figure]:
    """Deliver events from both databases one after another."""
    copies = bench.count(CONVERSATIONS) // TEMPLATE_CONVERSATIONS
    kept, empty = bench.new_database("bench_kept"), bench.new_database("bench_empty")
    await write_template(bench, kept)
    await copy_rows(kept, copies)
    rng = random.Random(11)
    people = {
        kept: [copied_customer(rng.randint(1, copies), rng.randint(1, TEMPLATE_CUSTOMERS)) for _ in range(PEOPLE)],
        empty: list(range(PEOPLE)),
    }
    costs: dict[str, list[float]] = defaultdict(list)
    for _ in range(ROUNDS):
        for url, owners in people.items():
            costs[url].append(await _cpu_per_event(bench, url, owners))
    with psycopg.connect(kept) as connection:
        [(rows,)] = connection.execute("SELECT count(*) FROM conversations")
    medians = {url: statistics.median(measured) * 1e6 for url, measured in costs.items()}
    name = f"flatness: CPU per event with {rows:,} conversations kept"
    return [at_most(name, medians[kept], "us", medians[empty], 1.25)]


async def _cpu_per_event(bench: Bench, url: str, owners: list[int]) -> float:
    """Return the CPU seconds of all processes per event, on one database. Klaviyo knows nothing at its start.

    When events are so dear that they take longer than ``MAX_SECONDS``, those that arrived until then count.
    """
    count = bench.count(EVENTS, least=300)
    async with bench.klaviyo() as klaviyo:
        if is_new := _is_empty(url):
            await bench.connect(url, klaviyo)
        _use_klaviyo(url, klaviyo)
        async with bench.serve(url) as service:
            if is_new:
                await send(service.url, customers(WEBHOOK, owners))
                await bench.wait_until_quiet(klaviyo)
            await send(service.url, conversations(WARM_UP, WEBHOOK, people=owners))
            await _events(bench, klaviyo, WARM_UP)
            await asyncio.sleep(SETTLE_SECONDS)
            before, already = bench.cpu(service), (await bench.state(klaviyo))["events"]
            await send(service.url, conversations(count, WEBHOOK, people=owners))
            arrived = await _events(bench, klaviyo, already + count) - already
            return float((bench.cpu(service) - before) / max(1, arrived))


async def _events(bench: Bench, klaviyo: Running, count: int) -> int:
    """Wait until Klaviyo has this many events, or until they take too long; returns how many it has."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(MAX_SECONDS):
            await bench.wait_for_events(klaviyo, count)
    return int((await bench.state(klaviyo))["events"])


def _is_empty(url: str) -> bool:
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT to_regclass('connections') IS NULL").fetchone() == (True,)


def _use_klaviyo(url: str, klaviyo: Running) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("UPDATE connections SET klaviyo_url = %s", (klaviyo.url,))
