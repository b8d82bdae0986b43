"""``demo``: the whole product with both vendors simulated, live in the terminal, or once with a comparison."""

import asyncio
import signal
import time
from typing import Annotated, Any

import aiohttp
from cyclopts import Parameter
from rich.live import Live
from rich.table import Table

from kustomer_klaviyo.cli.failures import ExitCode
from kustomer_klaviyo.cli.listening import check_place
from kustomer_klaviyo.cli.numbers import COUNT, LIMIT, PART, PORT, SCALE
from kustomer_klaviyo.cli.output import Part, bold, live, print_json, say, show, table
from kustomer_klaviyo.demo.comparison import Comparison, Sides, compare
from kustomer_klaviyo.demo.environment import Theatre, theatre
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.database import UNREACHABLE

LOOK_SECONDS = 0.5
STUCK_SECONDS = 90.0
"""Without any progress for this long, ``--once`` gives up waiting and compares what there is."""

ENDLESS = 1_000_000
BRISK_RATE, CALM_RATE = 20.0, 3.0


def demo(
    *,
    once: Annotated[bool, Parameter(negative="")] = False,
    customers: Annotated[int, LIMIT] = 40,
    conversations: Annotated[int, COUNT] = 120,
    rate: Annotated[float | None, SCALE] = None,
    seed: Annotated[int, COUNT] = 1,
    disorder: Annotated[float, PART] = 0.1,
    port: Annotated[int, PORT] = 0,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Start the service with both vendors simulated, connect them, and play a support team's traffic.

    Nothing is left behind: the data live in a temporary directory.

    Example: kustomer-klaviyo demo
    Example: kustomer-klaviyo demo --once --conversations 500 --rate 0 --json

    Exits 1 when, with --once, Klaviyo does not hold exactly what happened in Kustomer.

    Parameters
    ----------
    once
        Play a fixed amount, wait until it is delivered, compare both sides, print the comparison and end.
    customers
        How many customers there are.
    conversations
        How many conversations they begin (with --once; else they go on).
    rate
        What people do, in actions per second; 0 is as fast as possible. Without it, 20 with --once, and else so few
        that you can play beside them.
    seed
        Another seed is another day.
    disorder
        The part of webhooks that arrive late or twice, 0 to 1.
    port
        The port of the service; 0 takes any free one.
    json
        With --once: print the comparison as JSON.
    """
    check_place("127.0.0.1", port)
    script = {
        "customers": customers,
        "conversations": conversations if once else ENDLESS,
        "rate": rate if rate is not None else BRISK_RATE if once else CALM_RATE,
        "seed": seed,
    }
    comparison = asyncio.run(_demo(script, once=once, disorder=disorder, port=port, quiet=json))
    if comparison is None:
        return ExitCode.DONE
    if json:
        print_json(comparison.document())
    else:
        _print_comparison(comparison)
    return ExitCode.DONE if comparison.is_good else ExitCode.ATTENTION


async def _demo(script: dict[str, Any], *, once: bool, disorder: float, port: int, quiet: bool) -> Comparison | None:
    ended = asyncio.current_task()
    if ended is not None:
        # Being told to end is like Ctrl-C: what was started is stopped.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.cancel)
    async with theatre(disorder=disorder, port=port) as stage:
        if not quiet:
            say("The simulated Kustomer, to play customers and agents:  ", bold(f"{stage.kustomer}/"))
            say("The simulated Klaviyo, to watch events arrive:         ", bold(f"{stage.klaviyo}/"))
            say(f"The service between them:                              {stage.service}")
        await stage.post(f"{stage.kustomer}/sandbox/play", script)
        with live(is_quiet=quiet) as view:
            if quiet:
                view.stop()
            await _watch(stage, view, once=once)
        if not once:
            return None
        return compare(await _sides(stage), stage.link_template)


async def _sides(stage: Theatre) -> Sides:
    return Sides(
        happened=await stage.get(f"{stage.kustomer}/sandbox/expected"),
        customers=await stage.get(f"{stage.kustomer}/sandbox/expected-customers"),
        arrived=await stage.get(f"{stage.klaviyo}/sandbox/events"),
        profiles=await stage.get(f"{stage.klaviyo}/sandbox/profiles"),
    )


async def _watch(stage: Theatre, view: Live, *, once: bool) -> None:
    """Show how things stand until everything is delivered (with ``once``), or for ever."""
    last, changed_at = None, time.monotonic()
    while True:
        try:
            standing = await _standing(stage)
        except (aiohttp.ClientError, *UNREACHABLE):
            standing = None
        if standing is not None:
            view.update(_table(standing))
            if standing != last:
                last, changed_at = standing, time.monotonic()
            is_quiet = standing["owed"] == 0 and not standing["playing"]
            if once and (is_quiet or time.monotonic() - changed_at > STUCK_SECONDS):
                return
        await asyncio.sleep(LOOK_SECONDS)


async def _standing(stage: Theatre) -> dict[str, Any]:
    play = await stage.get(f"{stage.kustomer}/sandbox/play")
    kustomer = await stage.get(f"{stage.kustomer}/sandbox/state")
    status = (await reports.status(stage.database))[0]
    klaviyo = await stage.get(f"{stage.klaviyo}/sandbox/state")
    deliveries, profiles, tallies = status["deliveries"], status["profiles"], status["tallies"]
    pending = kustomer["deliveries"].get("pending", 0)
    looking_up = status["lookups_now"]
    return {
        "playing": play["running"],
        "played": play["done"],
        "sent_by_kustomer": kustomer["deliveries"].get("sent", 0),
        "received": tallies.get("received", 0),
        "nothing_new": tallies.get("nothing new", 0),
        "told": sum(deliveries.values()),
        "delivered": deliveries.get("delivered", 0),
        "waiting": deliveries.get("waiting", 0),
        "unidentified": deliveries.get("unidentified", 0),
        "skipped": deliveries.get("skipped", 0),
        "failed": deliveries.get("failed", 0),
        "confirmed": klaviyo["events"],
        "profiles": klaviyo["profiles"],
        "written": profiles.get("delivered", 0),
        "to_write": profiles.get("waiting", 0),
        "owed": pending
        + status["inbox_waiting"]
        + deliveries.get("waiting", 0)
        + profiles.get("waiting", 0)
        + looking_up,
    }


def _table(standing: dict[str, Any]) -> Table:
    sent = (
        f"{standing['delivered']} delivered, {standing['waiting']} waiting, "
        f"{standing['unidentified']} without email or phone yet, {standing['skipped']} skipped by a setting, "
        f"{standing['failed']} failed"
    )
    rows: tuple[tuple[Part, Part], ...] = (
        ("played", f"{standing['played']} customers and conversations"),
        ("received", f"{standing['received']} webhooks, of which {standing['nothing_new']} told nothing new"),
        ("told", f"{standing['told']} events: created, done, CSAT submitted"),
        ("sent", sent),
        ("profile writes", f"{standing['written']} delivered, {standing['to_write']} waiting"),
        ("confirmed", bold(f"{standing['confirmed']} events and {standing['profiles']} profiles held by Klaviyo")),
    )
    return table(rows=rows)


def _print_comparison(comparison: Comparison) -> None:
    columns = ("expected", "found", "missing", "wrong", "doubled")
    rows = ((kind, *(str(line[name]) for name in columns)) for kind, line in comparison.by_kind.items())
    show(table("what happened in Kustomer", *columns, rows=rows))
    for problem in comparison.problems[:20]:
        say(f"  {problem}")
    verdict: Part = (
        ("Klaviyo holds every expected event and every customer exactly once.", "green")
        if comparison.is_good
        else ("Not equal.", "red")
    )
    say(verdict, f" {comparison.left_out} left out as spam or without any email or phone.")
