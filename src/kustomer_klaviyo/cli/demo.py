"""``demo``: the whole product with both vendors simulated, live in the terminal, or once with a comparison."""

import asyncio
import signal
import time
from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from kustomer_klaviyo.cli.errors import ExitCode
from kustomer_klaviyo.cli.number_ranges import COUNT, LIMIT, PORT, PROBABILITY, SCALE
from kustomer_klaviyo.cli.output import Part, bold, live_display, print_json, print_line, print_table, table
from kustomer_klaviyo.cli.port_check import check_can_listen
from kustomer_klaviyo.demo.comparison import COUNTS, Comparison
from kustomer_klaviyo.demo.environment import DemoEnvironment, run_demo_environment
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS
from kustomer_klaviyo.store.outbox import DeliveryState

POLL_SECONDS = 0.5
STALLED_SECONDS = 90.0
"""After this long without progress, ``--once`` stops waiting and compares what there is."""

ENDLESS = 1_000_000
ONCE_RATE, LIVE_RATE = 20.0, 3.0
"""Simulated actions per second."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class SimulationOptions:
    """What the simulated support team does."""

    customers: Annotated[int, LIMIT] = 40
    """The number of customers."""
    conversations: Annotated[int, COUNT] = 120
    """The number of conversations (with --once; else there is no end)."""
    rate: Annotated[float | None, SCALE] = None
    """Simulated actions per second; 0 is as fast as possible. Default: 20 with --once, else 3."""
    seed: Annotated[int, COUNT] = 1
    """Another seed gives other conversations."""

    def document(self, *, once: bool) -> dict[str, Any]:
        """Return the request that starts the simulation."""
        default_rate = ONCE_RATE if once else LIVE_RATE
        return {
            "customers": self.customers,
            "conversations": self.conversations if once else ENDLESS,
            "rate": default_rate if self.rate is None else self.rate,
            "seed": self.seed,
        }


DEFAULT_SIMULATION = SimulationOptions()


def demo(
    *,
    once: Annotated[bool, Parameter(negative="")] = False,
    simulation: SimulationOptions = DEFAULT_SIMULATION,
    disorder: Annotated[float, PROBABILITY] = 0.1,
    port: Annotated[int, PORT] = 0,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Start the service with both vendors simulated, connect them, and simulate a support team.

    The data is in a temporary directory and is removed at the end.

    Example: kustomer-klaviyo demo
    Example: kustomer-klaviyo demo --once --conversations 500 --rate 0 --json

    Exits 1 when, with --once, Klaviyo does not hold exactly what happened in Kustomer.

    Parameters
    ----------
    once
        Simulate a fixed number of conversations, wait until all is delivered, print a comparison and exit.
    disorder
        The share of webhooks that arrive late or twice, 0 to 1.
    port
        The port of the service; 0 takes any free one.
    json
        With --once: print the comparison as JSON.
    """
    check_can_listen("127.0.0.1", port)
    comparison = asyncio.run(_demo(simulation, once=once, disorder=disorder, port=port, quiet=json))
    return ExitCode.DONE if comparison is None else _report(comparison, json=json)


async def _demo(
    simulation: SimulationOptions, *, once: bool, disorder: float, port: int, quiet: bool
) -> Comparison | None:
    task = asyncio.current_task()
    if task is not None:
        # SIGTERM ends the demo like Ctrl-C: all processes are stopped.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with run_demo_environment(disorder=disorder, port=port) as environment:
        if not quiet:
            print_line("The simulated Kustomer, to act as customer or agent:  ", bold(f"{environment.kustomer}/"))
            print_line("The simulated Klaviyo, to watch events arrive:        ", bold(f"{environment.klaviyo}/"))
            print_line(f"The service between them:                             {environment.service}")
        await environment.send(f"{environment.kustomer}/sandbox/simulation", simulation.document(once=once))
        with live_display(transient=quiet) as display:
            if quiet:
                display.stop()
            await _watch(environment, display, once=once)
        if not once:
            return None
        return await environment.compare()


async def _watch(environment: DemoEnvironment, display: Live, *, once: bool) -> None:
    """Show the progress until everything is delivered (with ``once``), else until cancelled."""
    last, changed_at = None, time.monotonic()
    while True:
        progress = await _read_progress(environment)
        if progress is not None:
            display.update(_progress_table(progress))
            if progress != last:
                last, changed_at = progress, time.monotonic()
            is_finished = progress["outstanding"] == 0 and not progress["simulating"]
            if once and (is_finished or time.monotonic() - changed_at > STALLED_SECONDS):
                return
        await asyncio.sleep(POLL_SECONDS)


async def _read_progress(environment: DemoEnvironment) -> dict[str, Any] | None:
    """Read the progress from the vendors and the database; None while one of them does not respond."""
    try:
        simulation = await environment.get(f"{environment.kustomer}/sandbox/simulation")
        kustomer = await environment.get(f"{environment.kustomer}/sandbox/state")
        [status] = await reports.status(environment.db)
        klaviyo = await environment.get(f"{environment.klaviyo}/sandbox/state")
    except (aiohttp.ClientError, *UNAVAILABLE_ERRORS):
        return None
    return _progress(simulation, kustomer, status, klaviyo)


def _progress(
    simulation: dict[str, Any], kustomer: dict[str, Any], status: dict[str, Any], klaviyo: dict[str, Any]
) -> dict[str, Any]:
    deliveries, profiles, counters = Counter(status["deliveries"]), Counter(status["profiles"]), status["counters"]
    queued = kustomer["deliveries"].get("pending", 0) + status["inbox_pending"] + status["customer_lookups"]
    return {
        "simulating": simulation["running"],
        "simulated": simulation["completed"],
        "sent_by_kustomer": kustomer["deliveries"].get("sent", 0),
        "received": counters.get("received", 0),
        "unchanged": counters.get("unchanged", 0),
        "events": deliveries,
        "profiles": profiles,
        "klaviyo_events": klaviyo["events"],
        "klaviyo_profiles": klaviyo["profiles"],
        "outstanding": queued + deliveries[DeliveryState.PENDING] + profiles[DeliveryState.PENDING],
    }


def _progress_table(progress: dict[str, Any]) -> Table:
    events, profiles = progress["events"], progress["profiles"]
    sent = (
        f"{events[DeliveryState.DELIVERED]} delivered, {events[DeliveryState.PENDING]} pending, "
        f"{events[DeliveryState.UNIDENTIFIED]} without email or phone yet, "
        f"{events[DeliveryState.SKIPPED]} skipped by a setting, {events[DeliveryState.FAILED]} failed"
    )
    updates = f"{profiles[DeliveryState.DELIVERED]} delivered, {profiles[DeliveryState.PENDING]} pending"
    confirmed = f"{progress['klaviyo_events']} events and {progress['klaviyo_profiles']} profiles held by Klaviyo"
    rows: tuple[tuple[Part, Part], ...] = (
        ("simulated", f"{progress['simulated']} customers and conversations"),
        ("received", f"{progress['received']} webhooks, {progress['unchanged']} of them unchanged (not stored)"),
        ("planned", f"{events.total()} events: created, done, CSAT submitted"),
        ("sent", sent),
        ("profile updates", updates),
        ("confirmed", bold(confirmed)),
    )
    return table(rows=rows)


def _report(comparison: Comparison, *, json: bool) -> int:
    if json:
        print_json(comparison.document())
    else:
        _print_comparison(comparison)
    return ExitCode.DONE if comparison.is_good else ExitCode.ATTENTION


def _print_comparison(comparison: Comparison) -> None:
    rows = ((kind, *(str(counts[name]) for name in COUNTS)) for kind, counts in comparison.by_kind.items())
    print_table(table("what happened in Kustomer", *COUNTS, rows=rows))
    for difference in comparison.differences[:20]:
        print_line(f"  {difference}")
    result: Part = (
        ("Klaviyo holds every expected event and every customer exactly once.", "green")
        if comparison.is_good
        else ("Not equal.", "red")
    )
    print_line(result, f" {comparison.optional} skipped: spam, or without email and phone.")
