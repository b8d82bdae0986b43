"""Measures speed and memory, each figure beside its yardstick in the same run. ``make bench``.

Arguments name the parts to measure (see ``PARTS``); without any, all are measured.
"""

import asyncio
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import psycopg
import uvloop
from rich.console import Console
from rich.table import Table

from agents import AGENTS, Shift, plan_shift, run_shift
from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.rate_limits import DEFAULT_HEADROOM
from load import quantile, send
from traffic import conversations, customers, more_customers

HERE = Path(__file__).resolve().parent
WEBHOOK, NOOP, JOB_PER_EVENT = "/webhooks/kustomer/bench", "/noop", "/job-per-event"
CARDS, PLAIN = "/card/bench", "/plain"
ROUNDS = 3
REQUESTS = 6000
CUSTOMERS = 100_000
LIMIT_SCALE = 1 / 30
"""Factor for Klaviyo's limits in the run that must reach them."""

STEADY_SECONDS, STEADY_SECONDS_PLAIN = 120.0, 60.0
"""Seconds in which all agents open cards: ours, and those of the plain design."""


@dataclass(frozen=True)
class Figure:
    """One line of the table."""

    name: str
    value: float
    unit: str
    yardstick: float | None
    ratio: float | None
    target: str
    met: bool


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(arguments: list[str], environment: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL)


@dataclass
class Bench:
    """The processes being measured."""

    session: aiohttp.ClientSession
    database_url: str
    data: Path

    async def get(self, url: str) -> Any:
        """Read JSON."""
        async with self.session.get(url) as response:
            return await response.json()

    async def wait_until_ready(self, url: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until a URL of a process responds with 200."""
        while process.poll() is None:
            try:
                async with self.session.get(url) as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.05)
        raise RuntimeError(f"ended with {process.returncode}: {process.args!r}")

    @asynccontextmanager
    async def process(self, arguments: list[str], url: str) -> AsyncIterator[None]:
        """Run a process while the block lasts."""
        environment = os.environ | {"DATABASE_URL": self.database_url, "BENCH_DATA": str(self.data)}
        process = _start(arguments, environment)
        try:
            await self.wait_until_ready(url, process)
            yield
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)

    @asynccontextmanager
    async def service(
        self, kind: str, *, rate_scale: float = 0.0, marketing: bool = False
    ) -> AsyncIterator[tuple[str, str]]:
        """Run a service of a kind and a simulated Klaviyo, both empty; yields their URLs.

        ``rate_scale`` multiplies Klaviyo's limits; 0 switches them off. With ``marketing`` each profile has a history.
        """
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        service, klaviyo = (f"http://127.0.0.1:{_port()}" for _ in range(2))
        vendor = [
            "-m",
            "kustomer_klaviyo",
            "sandbox",
            "klaviyo",
            "--rate-scale",
            str(rate_scale),
            "--port",
            klaviyo.rsplit(":", 1)[1],
            *(["--marketing"] if marketing else []),
        ]
        ours = [str(HERE / "service_process.py"), kind, service.rsplit(":", 1)[1], klaviyo]
        async with (
            self.process(vendor, f"{klaviyo}/sandbox/state"),
            self.process(ours, f"{service}/ready"),
        ):
            yield service, klaviyo


async def _intake(bench: Bench) -> list[Figure]:
    """Webhooks made durable per second, against doing nothing on the same server."""
    rates: dict[str, list[float]] = {"noop": [], "mixed": [], "new": []}
    latencies: list[float] = []
    async with bench.service("intake") as (service, _):
        await send(service, customers(WEBHOOK))
        await send(service, conversations(2000, WEBHOOK, unchanged=0.9))
        for _ in range(ROUNDS):
            for name, path, unchanged in (("noop", NOOP, 0.9), ("mixed", WEBHOOK, 0.9), ("new", WEBHOOK, 0.0)):
                requests = conversations(REQUESTS, path, unchanged=unchanged)
                seconds, request_latencies = await send(service, requests)
                rates[name].append(REQUESTS / seconds)
                latencies += request_latencies if name == "new" else []
    noop, mixed, new = (statistics.median(rates[name]) for name in ("noop", "mixed", "new"))
    p50, p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
    return [
        Figure("webhooks durable, 90% unchanged", mixed, "/s", noop, mixed / noop, "at least 0.6", mixed / noop >= 0.6),
        Figure("webhooks durable, all new", new, "/s", noop, new / noop, "at least 0.4", new / noop >= 0.4),
        Figure("webhook to 2xx at 64 at once, p50", p50 * 1e3, "ms", None, None, "-", met=True),
        Figure("webhook to 2xx at 64 at once, p99", p99 * 1e3, "ms", p50 * 1e3, p99 / p50, "under 5", p99 < 5 * p50),
    ]


async def _cpu_per_event(bench: Bench, kind: str, path: str, count: int) -> float:
    """Return the events that one second of the process's CPU takes from the webhook to Klaviyo's response."""
    async with bench.service(kind) as (service, klaviyo):
        await send(service, customers(path))
        before = (await bench.get(f"{service}/gauge"))["cpu"]
        await send(service, conversations(count, path, unchanged=0.0))
        while (await bench.get(f"{klaviyo}/sandbox/state"))["events"] < count:
            await asyncio.sleep(0.1)
        used = float((await bench.get(f"{service}/gauge"))["cpu"]) - float(before)
        return count / used


async def _delivery(bench: Bench) -> list[Figure]:
    ours = await _cpu_per_event(bench, "ours", WEBHOOK, 10_000)
    job_per_event = await _cpu_per_event(bench, "job_per_event", JOB_PER_EVENT, 1500)
    ratio = ours / job_per_event
    return [Figure("events delivered per second of CPU", ours, "/s", job_per_event, ratio, "at least 5", ratio >= 5)]


async def _latency(bench: Bench) -> list[Figure]:
    """From the webhook to the arrival at Klaviyo, one event every 50 ms."""
    async with bench.service("ours") as (service, klaviyo):
        await send(service, customers(WEBHOOK))
        await _wait_until_quiet(bench, klaviyo)
        yardstick = await _round_trips(bench, service, klaviyo)
        sent = []
        for request in conversations(200, WEBHOOK, unchanged=0.0):
            sent.append(time.time())
            await send(service, [request], at_once=1)
            await asyncio.sleep(0.05)
        while len(arrived := await bench.get(f"{klaviyo}/sandbox/events")) < len(sent):
            await asyncio.sleep(0.05)
    delays = [event["received_at"] - at for event, at in zip(arrived, sent, strict=True)]
    p50, p95, p99 = (quantile(delays, part) * 1e3 for part in (0.5, 0.95, 0.99))
    return [
        Figure("webhook to Klaviyo, p50", p50, "ms", yardstick, p50 / yardstick, "+25 ms", p50 - yardstick <= 25),
        Figure("webhook to Klaviyo, p95", p95, "ms", yardstick, p95 / yardstick, "-", met=True),
        Figure("webhook to Klaviyo, p99", p99, "ms", yardstick, p99 / yardstick, "+250 ms", p99 - yardstick <= 250),
    ]


async def _round_trips(bench: Bench, service: str, klaviyo: str) -> float:
    """Return the milliseconds of one round trip to the service and one to Klaviyo."""
    _, to_us = await send(service, conversations(100, NOOP, unchanged=0.0), at_once=1)
    to_klaviyo = []
    for _ in range(100):
        start = time.perf_counter()
        await bench.get(f"{klaviyo}/sandbox/state")
        to_klaviyo.append(time.perf_counter() - start)
    return (quantile(to_us, 0.5) + quantile(to_klaviyo, 0.5)) * 1e3


async def _wait_until_quiet(bench: Bench, klaviyo: str) -> None:
    """Wait until Klaviyo has received nothing for three seconds."""
    before, state = None, await bench.get(f"{klaviyo}/sandbox/state")
    while state != before:
        await asyncio.sleep(3)
        before, state = state, await bench.get(f"{klaviyo}/sandbox/state")


async def _memory(bench: Bench) -> list[Figure]:
    """Memory after 100,000 events against after 1,000."""
    async with bench.service("ours") as (service, klaviyo):
        await send(service, customers(WEBHOOK))
        await send(service, conversations(1000, WEBHOOK, unchanged=0.5))
        await _wait_until_quiet(bench, klaviyo)
        early = (await bench.get(f"{service}/gauge"))["memory"]
        for _ in range(20):
            await send(service, conversations(4950, WEBHOOK, unchanged=0.5))
        await _wait_until_quiet(bench, klaviyo)
        late = (await bench.get(f"{service}/gauge"))["memory"]
    return [Figure("memory after 100,000 events", late, "MB", early, late / early, "flat (1.15)", late / early <= 1.15)]


async def _write_customers(bench: Bench, rate_scale: float) -> tuple[float, dict[str, int], int]:
    """Change all customers at once; returns the seconds until Klaviyo has them, the requests and the 429s."""
    async with bench.service("ours", rate_scale=rate_scale) as (service, klaviyo):
        began = time.perf_counter()
        for start in range(0, CUSTOMERS, 5000):
            await send(service, more_customers(start, 5000, WEBHOOK))
        while (state := await bench.get(f"{klaviyo}/sandbox/state"))["profiles"] < CUSTOMERS:
            await asyncio.sleep(0.2)
        return time.perf_counter() - began, state["requests"], state["responses"].get("429", 0)


async def _customers(bench: Bench) -> list[Figure]:
    """100,000 customers changed at once: at Klaviyo's real limits, and at limits low enough to bind.

    At the real limits ten bulk imports suffice and no limit binds. With limits reduced by a known factor, the time is
    compared with the minimum for that many imports at the share of the limit that is used.
    """
    real, requests, throttled = await _write_customers(bench, 1.0)
    slowed, few, refused = await _write_customers(bench, LIMIT_SCALE)
    imports, per_minute = few["bulk_import_profiles"], int(max(1, round(150 * LIMIT_SCALE)) * DEFAULT_HEADROOM)
    least = (imports - per_minute) / per_minute * 60
    calls = sum(requests.values())
    return [
        Figure(f"{CUSTOMERS:,} customers written", CUSTOMERS / real, "/s", None, None, f"{calls} requests, no 429",
               met=throttled == 0),
        Figure(f"... at 1/{1 / LIMIT_SCALE:.0f} of the limits", slowed, "s", least, slowed / least,
               f"1.5 ({imports} imports, no 429)", met=refused == 0 and slowed <= 1.5 * least),
    ]  # fmt: skip


async def _run_shift(bench: Bench, kind: str, cards: str, steady: float) -> tuple[Shift, int]:
    """Let agents open cards at Klaviyo's real limits; returns the shift and all 429s since the start."""
    visits = plan_shift(steady)
    async with bench.service(kind, rate_scale=1.0, marketing=True) as (service, klaviyo):
        await send(service, more_customers(0, len(visits), WEBHOOK))
        while (await bench.get(f"{klaviyo}/sandbox/state"))["profiles"] < len(visits):
            await asyncio.sleep(0.2)
        await _wait_until_quiet(bench, klaviyo)
        shift = await run_shift(service, cards, visits, WEBHOOK)
        state = await bench.get(f"{klaviyo}/sandbox/state")
    return shift, state["responses"].get("429", 0)


async def _cards(bench: Bench) -> list[Figure]:
    """100 agents open 600 cards a minute; times are from the request to the whole response.

    Every card counts, including those of the ramp. A card of the plain design without a response at the end counts with
    the time waited so far, so its times are lower bounds.
    """
    ours, throttled = await _run_shift(bench, "cards", CARDS, STEADY_SECONDS)
    plain, refused = await _run_shift(bench, "plain", PLAIN, STEADY_SECONDS_PLAIN)
    made = f"{len(ours.opens)} cards, {AGENTS} agents"

    def figure(name: str, value: float, unit: str, yardstick: float, target: str, *, met: bool = True) -> Figure:
        return Figure(name, value, unit, yardstick, value / yardstick if yardstick else None, target, met)

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


PARTS = {
    "intake": _intake,
    "delivery": _delivery,
    "latency": _latency,
    "memory": _memory,
    "customers": _customers,
    "cards": _cards,
}


async def _measure(names: Sequence[str]) -> list[Figure]:
    data = Path(tempfile.mkdtemp(prefix="kk-bench-"))
    data.chmod(0o711)  # noqa: ASYNC240 - the same
    server = EmbeddedServer(data)
    try:
        url = await server.start()
        async with aiohttp.ClientSession() as session:
            bench = Bench(session, url, data)
            figures = []
            for name in names:
                figures += await PARTS[name](bench)
            return figures
    finally:
        await server.stop()
        shutil.rmtree(data, ignore_errors=True)


def _formatted(number: float | None) -> str:
    if number is None:
        return "-"
    return f"{number:.2g}" if 0 < number < 0.01 else f"{number:,.2f}"


def main() -> int:
    """Measure, print, write."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        print(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}", file=sys.stderr)
        return 2
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        figures = runner.run(_measure(names))
    table = Table("what", "value", "yardstick", "ratio", "target", "met")
    for figure in figures:
        shown = [_formatted(number) for number in (figure.yardstick, figure.ratio)]
        table.add_row(
            figure.name, f"{figure.value:,.2f} {figure.unit}", *shown, figure.target, "yes" if figure.met else "NO"
        )
    Console().print(table)
    Path("bench-results.json").write_bytes(
        msgspec.json.format(msgspec.json.encode([asdict(figure) for figure in figures]))
    )
    return 0 if all(figure.met for figure in figures) else 1


if __name__ == "__main__":
    sys.exit(main())
