"""Posts malformed webhooks with valid signatures to a real endpoint with a real database. ``make fuzz``.

Exits 1 when a response is not 2xx, or when a stored event is neither processed nor failed with a reason. The same seed
makes the same bodies.
"""

import argparse
import asyncio
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from rich.console import Console

from kustomer_klaviyo.planning.inbox_processor import process_inbox
from kustomer_klaviyo.postgres.server import EmbeddedServer
from mutations import mutate
from support.temporary_database import temporary_database, temporary_directory
from support.webhook_server import WebhookServer, run_webhook_server

AT_ONCE = 32
OUTCOMES = (
    "SELECT state, coalesce(reason, '-') AS reason, count(*) AS n, bool_and(coalesce(note, '') <> '') AS has_note"
)
COUNT = f"{OUTCOMES} FROM inbox GROUP BY 1, 2 ORDER BY 1, 2"
DELIVERIES = "SELECT kind, state, count(*) AS n FROM deliveries GROUP BY 1, 2 ORDER BY 1, 2"
LARGEST_SHOWN = 5
REPORT_EVERY = 20_000


@dataclass
class FuzzResult:
    """Result of a fuzzing run."""

    kinds: Counter[str] = field(default_factory=Counter)
    responses: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[int, str, int, str]] = field(default_factory=list)
    """Number, kind, status and body of responses other than 2xx."""
    stored: dict[str, int] = field(default_factory=dict)
    unfinished: list[str] = field(default_factory=list)
    """Forbidden outcomes: pending, or failed without a reason."""

    @property
    def is_good(self) -> bool:
        """Whether every response was 2xx and every stored event has an outcome."""
        return not self.rejected and not self.unfinished


async def fuzz(server: WebhookServer, count: int, seed: int) -> FuzzResult:
    """Post malformed webhooks and process the stored ones."""
    result, bodies = FuzzResult(), iter(range(count))
    working = asyncio.Event()

    async def post() -> None:
        for n in bodies:
            kind, body = mutate(random.Random(f"{seed} {n}"), n)
            status, text, _ = await server.post_webhook(body)
            result.kinds[kind] += 1
            result.responses[text] += 1
            if not 200 <= status < 300:
                result.rejected.append((n, kind, status, text))

    async def process() -> None:
        while not working.is_set() or (await _process_batch(server)):
            await asyncio.sleep(0)
            await _process_batch(server)

    processing = asyncio.create_task(process())
    await asyncio.gather(*(post() for _ in range(AT_ONCE)))
    working.set()
    await processing
    await _count_outcomes(server, result)
    return result


async def _process_batch(server: WebhookServer) -> bool:
    [connection] = server.service.registry.all()
    has_processed = (await process_inbox(server.app.db, connection)).events > 0
    if not has_processed:
        await asyncio.sleep(0.05)
    return has_processed


async def _count_outcomes(server: WebhookServer, result: FuzzResult) -> None:
    for row in await server.app.db.fetch(COUNT):
        name = f"{row['state']} ({row['reason']})"
        result.stored[name] = row["n"]
        if row["state"] == "pending" or (row["state"] == "failed" and (row["reason"] == "-" or not row["has_note"])):
            result.unfinished.append(name)


def _report(console: Console, result: FuzzResult, seconds: float, deliveries: str) -> None:
    console.print(f"{sum(result.kinds.values()):,} webhooks in {seconds:.0f} s: {dict(result.kinds)}")
    console.print(f"responses: {dict(result.responses)}")
    console.print(f"stored, by outcome: {result.stored}")
    console.print(f"to be sent: {deliveries}")
    for n, kind, status, text in result.rejected[:LARGEST_SHOWN]:
        console.print(f"[red]number {n} ({kind}) returned {status}: {text}[/]")
    for name in result.unfinished:
        console.print(f"[red]unfinished: {name}[/]")
    console.print(
        "good" if result.is_good else f"[red]{len(result.rejected)} rejected, {len(result.unfinished)} left[/]"
    )


async def _run(count: int, seed: int) -> bool:
    console = Console(width=160)
    console.print(f"seed {seed}")
    with temporary_directory() as postgres, temporary_directory() as data:
        postgres_server = EmbeddedServer(postgres)
        with temporary_database(await postgres_server.start()) as url:
            async with run_webhook_server(url, data) as server:
                start = time.monotonic()
                result = await fuzz(server, count, seed)
                rows = await server.app.db.fetch(DELIVERIES)
                deliveries = ", ".join(f"{row['n']} {row['kind']} {row['state']}" for row in rows)
                _report(console, result, time.monotonic() - start, deliveries)
        await postgres_server.stop()
    return result.is_good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=200_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**9))
    chosen = parser.parse_args()
    sys.exit(0 if asyncio.run(_run(chosen.count, chosen.seed)) else 1)
