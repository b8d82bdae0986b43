"""Measures speed, memory and disk, each figure beside its yardstick in the same run. ``make bench``.

Arguments name the parts to measure; without any, all are measured. Each takes less than ten minutes on two cores.
``--scale`` multiplies the number of rows and requests: 0.05 to try the bench itself, 10 for 1,000,000 events in the
part ``memory``.
"""

import argparse
import asyncio
import shutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence

import aiohttp
import uvloop

from figures import Figure, print_table, write_results
from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.demo.environment import new_directory
from kustomer_klaviyo.postgres.server import EmbeddedServer
from processes import Bench
from rows import (
    cards,
    connections,
    customers,
    delivery,
    disk,
    flatness,
    intake,
    latency,
    limits,
    memory,
    recovery,
    search,
)

PARTS: dict[str, Callable[[Bench], Awaitable[list[Figure]]]] = {
    "intake": intake.measure,
    "delivery": delivery.measure,
    "flatness": flatness.measure,
    "latency": latency.measure,
    "recovery": recovery.measure,
    "connections": connections.measure,
    "limits": limits.measure,
    "memory": memory.measure,
    "customers": customers.measure,
    "cards": cards.measure,
    "disk": disk.measure,
    "search": search.measure,
}


async def _measure(names: Sequence[str], scale: float) -> bool:
    """Measure parts, and print and write the figures of each; returns whether all targets are met."""
    data = new_directory("kk-bench-")
    server = EmbeddedServer(data)
    measured: dict[str, list[Figure]] = {}
    measuring = asyncio.current_task()
    if measuring is not None:  # a bench that is stopped stops what it started
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, measuring.cancel)
    try:
        await server.start()
        async with aiohttp.ClientSession() as session:
            for name in names:
                began = time.perf_counter()
                measured[name] = await PARTS[name](Bench(session, data, scale))
                print_table(f"{name} ({time.perf_counter() - began:.0f} s)", measured[name])
                write_results(measured)
    finally:
        await server.stop()
        shutil.rmtree(data, ignore_errors=True)
    return all(figure.met for figures in measured.values() for figure in figures)


def main() -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=", ".join(PARTS))
    parser.add_argument("--scale", type=float, default=1.0)
    given = parser.parse_args()
    if unknown := set(given.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    start_logging("error")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return 0 if runner.run(_measure(given.parts or list(PARTS), given.scale)) else 1


if __name__ == "__main__":
    sys.exit(main())
