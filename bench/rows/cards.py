"""Cards at Klaviyo's real limits, with 100 lists and 100 segments in the account, against the plain design."""

import asyncio

from agents import AGENTS, Shift, plan_shift, run_shift
from figures import Figure
from load import send
from processes import Bench, Running
from traffic import customers

WEBHOOK = "/webhooks/kustomer/bench"
CARDS, PLAIN = "/card/bench", "/plain"
AUDIENCES = 100
STEADY_SECONDS, STEADY_SECONDS_PLAIN = 120.0, 60.0
"""Seconds in which all agents open cards: ours, and those of the plain design."""


async def measure(bench: Bench) -> list[Figure]:
    """100 agents open 600 cards a minute; times are from the request to the whole response.

    Every card counts, including those of the ramp. A card of the plain design without a response at the end counts with
    the time waited so far, so its times are lower bounds.
    """
    ours, throttled = await _run_shift(bench, CARDS, bench.scale * STEADY_SECONDS)
    plain, refused = await _run_shift(bench, PLAIN, bench.scale * STEADY_SECONDS_PLAIN)
    made = f"{len(ours.opens)} cards, {AGENTS} agents, {AUDIENCES} + {AUDIENCES} lists and segments"

    def figure(name: str, value: float, unit: str, yardstick: float, target: str, *, met: bool = True) -> Figure:
        ratio = value / yardstick if yardstick else None
        return Figure(name=name, value=value, unit=unit, yardstick=yardstick, ratio=ratio, target=target, met=met)

    times = [
        figure(f"card opened, {name}", ours.milliseconds(part), "ms", plain.milliseconds(part), "- (plain: at least)")
        for name, part in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("longest", 1.0))
    ]
    return [
        figure("cards warm and under 50 ms", ours.fast, "%", plain.fast, f"95 ({made})", met=ours.fast >= 95),
        figure("cards warm", ours.warm, "%", plain.warm, "-"),
        figure(
            "cards with a response", ours.with_response, "%", plain.with_response, "all", met=ours.with_response == 100
        ),
        *times,
        figure("cards waited for over 2 s", ours.slow, "", plain.slow, "none", met=ours.slow == 0),
        figure("429s by Klaviyo", throttled, "", refused, "none", met=throttled == 0),
    ]


async def _run_shift(bench: Bench, cards: str, steady: float) -> tuple[Shift, int]:
    """Let agents open cards at Klaviyo's real limits; returns the shift and all 429s since the start."""
    url, is_ours = bench.new_database(), cards == CARDS
    async with bench.klaviyo("--marketing", "--audiences", str(AUDIENCES), rate_scale=1.0) as klaviyo:
        await bench.connect(url, klaviyo, kustomer_app={"name": "bench"} if is_ours else {})
        if is_ours:
            async with bench.serve(url) as service:
                return await _open_cards(bench, service, klaviyo, cards, steady)
        async with bench.yardstick("plain_process.py", url, BENCH_KLAVIYO=klaviyo.url) as service:
            return await _open_cards(bench, service, klaviyo, cards, steady)


async def _open_cards(bench: Bench, service: Running, klaviyo: Running, cards: str, steady: float) -> tuple[Shift, int]:
    visits = plan_shift(steady)
    people = {visit.customer for visit in visits}
    await send(service.url, customers(WEBHOOK, sorted(people)))
    while (await bench.state(klaviyo))["profiles"] < len(people):
        await asyncio.sleep(0.2)
    await bench.wait_until_quiet(klaviyo)
    shift = await run_shift(service.url, cards, visits, WEBHOOK)
    return shift, (await bench.state(klaviyo))["responses"].get("429", 0)
