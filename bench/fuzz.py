"""Brings malformed webhooks, signed as Kustomer signs, to a door over a real socket and a real database. ``make fuzz``.

Exits 1 when one is answered otherwise than 2xx, or when one of those kept is not processed, failed with a reason. The
same seed makes the same bodies.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console

from doorway import Door, opened
from kustomer_klaviyo.planning.inbox_processor import understand_some
from kustomer_klaviyo.postgres.server import EmbeddedServer
from mutations import mutated
from stage import own_database, own_directory

AT_ONCE = 32
OUTCOMES = "SELECT state, coalesce(reason, '-') AS reason, count(*) AS n, bool_and(coalesce(note, '') <> '') AS is_told"
COUNT = f"{OUTCOMES} FROM inbox GROUP BY 1, 2 ORDER BY 1, 2"
DELIVERIES = "SELECT kind, state, count(*) AS n FROM deliveries GROUP BY 1, 2 ORDER BY 1, 2"
LARGEST_SHOWN = 5
REPORT_EVERY = 20_000


@dataclass
class Round:
    """What a round of fuzzing met."""

    kinds: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[tuple[int, str, int, str]] = field(default_factory=list)
    """Number, kind, status and answer of what was not answered 2xx."""
    stored: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """Outcomes that must not be: pending, or without a reason."""

    @property
    def is_good(self) -> bool:
        """Whether everything was answered 2xx, and everything kept has an outcome."""
        return not self.wrong and not self.left


async def fuzz(door: Door, count: int, seed: int) -> Round:
    """Bring so many malformed webhooks, and process what was kept of them."""
    met, bodies = Round(), iter(range(count))
    working = asyncio.Event()

    async def bring() -> None:
        for n in bodies:
            kind, body = mutated(random.Random(f"{seed} {n}"), n)
            status, text, _ = await door.knock(body)
            met.kinds[kind] += 1
            met.answers[text] += 1
            if not 200 <= status < 300:
                met.wrong.append((n, kind, status, text))

    async def process() -> None:
        while not working.is_set() or (await _some(door)):
            await asyncio.sleep(0)
            await _some(door)

    processing = asyncio.create_task(process())
    await asyncio.gather(*(bring() for _ in range(AT_ONCE)))
    working.set()
    await processing
    await _count(door, met)
    return met


async def _some(door: Door) -> bool:
    [joined] = door.service.directory.all()
    moved = (await understand_some(door.home.database, joined)).events > 0
    if not moved:
        await asyncio.sleep(0.05)
    return moved


async def _count(door: Door, met: Round) -> None:
    for row in await door.home.database.fetch(COUNT):
        name = f"{row['state']} ({row['reason']})"
        met.stored[name] = row["n"]
        if row["state"] == "waiting" or (row["state"] == "failed" and (row["reason"] == "-" or not row["is_told"])):
            met.left.append(name)


def _report(console: Console, met: Round, seconds: float, told: str) -> None:
    console.print(f"{sum(met.kinds.values()):,} webhooks in {seconds:.0f} s: {dict(met.kinds)}")
    console.print(f"answers: {dict(met.answers)}")
    console.print(f"kept, by what became of it: {met.stored}")
    console.print(f"to be sent: {told}")
    for n, kind, status, text in met.wrong[:LARGEST_SHOWN]:
        console.print(f"[red]number {n} ({kind}) was answered {status}: {text}[/]")
    for name in met.left:
        console.print(f"[red]left as {name}[/]")
    console.print("good" if met.is_good else f"[red]{len(met.wrong)} answered wrongly, {len(met.left)} left[/]")


async def _run(count: int, seed: int) -> bool:
    console = Console(width=160)
    console.print(f"seed {seed}")
    with own_directory() as postgres, own_directory() as data:
        server = EmbeddedServer(postgres)
        with own_database(await server.start()) as url:
            async with opened(url, data) as door:
                start = time.monotonic()
                met = await fuzz(door, count, seed)
                rows = await door.home.database.fetch(DELIVERIES)
                told = ", ".join(f"{row['n']} {row['kind']} {row['state']}" for row in rows)
                _report(console, met, time.monotonic() - start, told)
        await server.stop()
    return met.is_good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    chosen = parser.parse_args()
    sys.exit(0 if asyncio.run(_run(chosen.count, chosen.seed)) else 1)
