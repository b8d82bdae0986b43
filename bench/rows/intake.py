"""Webhooks made durable per second, against the floor: signature, decoding and a group commit, nothing else."""

import statistics
from collections import defaultdict

from figures import Figure, at_least
from load import quantile, send
from processes import Bench, Running
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
ROUNDS = 3
REQUESTS = 6000
MIXES = {"all new": 0.0, "90% unchanged": 0.9}


class Rates:
    """The requests per second of both sides, by mix, measured one after another."""

    def __init__(self) -> None:
        self.ours: dict[str, list[float]] = defaultdict(list)
        self.floor: dict[str, list[float]] = defaultdict(list)
        self.latencies: list[float] = []

    async def measure(self, bench: Bench, service: Running, floor: Running, klaviyo: Running) -> None:
        """Measure all rounds. Each begins when everything of the round before is delivered."""
        count = bench.count(REQUESTS)
        for mix, unchanged in MIXES.items():
            for _ in range(ROUNDS):
                seconds, _latencies = await send(floor.url, conversations(count, WEBHOOK, unchanged=unchanged))
                self.floor[mix].append(count / seconds)
                seconds, latencies = await send(service.url, conversations(count, WEBHOOK, unchanged=unchanged))
                self.ours[mix].append(count / seconds)
                self.latencies += latencies if mix == "all new" else []
                await bench.wait_until_quiet(klaviyo, 1.5)

    def figure(self, name: str, mix: str, target: float) -> Figure:
        """Return the figure of a mix."""
        ours, floor = (statistics.median(side[mix]) for side in (self.ours, self.floor))
        return at_least(f"{name}, {mix}", ours, "/s", floor, target)


async def measure(bench: Bench) -> list[Figure]:
    """Measure the whole service in one process, then the endpoint beside a worker."""
    whole, apart = Rates(), Rates()
    floor_url = bench.new_database("bench_floor")
    async with bench.yardstick("floor_process.py", floor_url) as floor:
        for rates, options in ((whole, ()), (apart, ("--no-worker",))):
            url = bench.new_database()
            async with bench.klaviyo() as klaviyo:
                await bench.connect(url, klaviyo)
                async with bench.serve(url, *options) as service:
                    if not options:
                        await _measure(bench, rates, service, floor, klaviyo)
                        continue
                    async with bench.worker(url):
                        await _measure(bench, rates, service, floor, klaviyo)
    p50, p99 = (quantile(whole.latencies, part) * 1e3 for part in (0.5, 0.99))
    return [
        whole.figure("webhooks durable, whole service", "all new", 0.3),
        whole.figure("webhooks durable, whole service", "90% unchanged", 0.6),
        apart.figure("webhooks durable, beside a worker", "all new", 0.4),
        apart.figure("webhooks durable, beside a worker", "90% unchanged", 0.6),
        Figure(name="webhook to 2xx at 64 at once, p50", value=p50, unit="ms"),
        Figure(name="webhook to 2xx at 64 at once, p99", value=p99, unit="ms", yardstick=p50, ratio=p99 / p50,
               target="< 5x", met=p99 < 5 * p50),
    ]  # fmt: skip


async def _measure(bench: Bench, rates: Rates, service: Running, floor: Running, klaviyo: Running) -> None:
    await send(service.url, customers(WEBHOOK))
    await send(service.url, conversations(bench.count(2000), WEBHOOK, unchanged=0.9))
    await send(floor.url, conversations(bench.count(2000), WEBHOOK, unchanged=0.9))
    await bench.wait_until_quiet(klaviyo)
    await rates.measure(bench, service, floor, klaviyo)
