"""From the restart after ``kill -9`` under load until Klaviyo has every acknowledged event; none may be lost."""

import asyncio
import time

from figures import Figure
from load import send, send_while_alive
from processes import POLL_SECONDS, Bench, Running, event_id, free_port
from traffic import customers, new_conversations

WEBHOOK = "/webhooks/kustomer/bench"
EVENTS = 20_000
LOAD_SECONDS = 3.0
GIVE_UP_SECONDS = 120.0
ROUNDS = 3


async def measure(bench: Bench) -> list[Figure]:
    """Kill ``serve`` several times; the slowest recovery counts."""
    url = bench.new_database()
    acknowledged: set[str] = set()
    seconds = []
    async with bench.klaviyo() as klaviyo:
        await bench.connect(url, klaviyo)
        port = free_port()
        for round_number in range(ROUNDS):
            acknowledged |= await _load_and_kill(bench, url, port, is_first=round_number == 0)
            restarted = time.perf_counter()
            async with bench.serve(url, port=port):
                arrived = await _wait_for(bench, klaviyo, acknowledged)
                seconds.append(time.perf_counter() - restarted)
    lost, doubled = len(acknowledged - set(arrived)), len(arrived) - len(set(arrived))
    slowest = max(seconds)
    name = f"recovery from kill -9 ({len(acknowledged):,} acknowledged, {ROUNDS} kills)"
    return [
        Figure(name=name, value=slowest, unit="s", target="<= 3 s", met=slowest <= 3),
        Figure(name="... acknowledged and lost", value=lost, unit="", target="0", met=lost == 0),
        Figure(name="... delivered twice", value=doubled, unit="", target="0", met=doubled == 0),
    ]


async def _load_and_kill(bench: Bench, url: str, port: int, *, is_first: bool) -> set[str]:
    """Send new conversations, kill the service meanwhile, and return the ids that it acknowledged."""
    async with bench.serve(url, port=port) as service:
        if is_first:
            await send(service.url, customers(WEBHOOK))
        requests = new_conversations(bench.count(EVENTS), WEBHOOK)
        sending = asyncio.create_task(send_while_alive(service.url, list(requests.values())))
        await asyncio.sleep(LOAD_SECONDS * min(1.0, bench.scale))
        service.kill()
        accepted = set(await sending)
    return {conversation for conversation, request in requests.items() if request in accepted}


async def _wait_for(bench: Bench, klaviyo: Running, acknowledged: set[str]) -> list[str]:
    """Wait until all acknowledged events are there, or it takes too long; returns those that are."""
    arrived: list[str] = []
    deadline = time.perf_counter() + GIVE_UP_SECONDS
    while time.perf_counter() < deadline and not acknowledged <= set(arrived):
        if (await bench.state(klaviyo))["events"] > len(arrived):
            events = await bench.get(f"{klaviyo.url}/sandbox/events?since={len(arrived)}")
            arrived += [event_id(event["unique_id"]) for event in events]
        await asyncio.sleep(POLL_SECONDS)
    return arrived
