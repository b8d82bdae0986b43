"""One round of chaos: traffic and faults of a seed, then every fault ends, then the check."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from chaos.checker import History, check
from chaos.environment import ChaosEnvironment, Report, run_chaos_environment
from chaos.faults import Faults
from chaos.schedule import KILLS, Step, make_schedule
from kustomer_klaviyo.task_group import cancel_all
from support.temporary_database import temporary_directory

RATE = 20.0
"""Simulated actions per second. Each is followed by updates that show nothing new."""
ACTIONS_PER_CONVERSATION = 9
SWEEP_MINUTES = "0.1"

DELIVERIES = """
SELECT subject, fact_key, state, reason FROM deliveries
WHERE connection_id = 'sandbox' AND kind <> 'profile' ORDER BY seq
"""
INBOX = "SELECT state, count(*) AS events FROM inbox GROUP BY state"


@dataclass(frozen=True, slots=True)
class Result:
    """What a round did and found."""

    seed: int
    violations: Sequence[str]
    applied: Counter[str]
    not_applied: Sequence[str]
    exits: Sequence[str]
    checks: int
    """How often the database was searched for what was acknowledged."""
    events: int
    recovery_seconds: float | None
    log: str
    """What the service's processes logged."""

    @property
    def kills(self) -> int:
        """How often something was killed."""
        return sum(self.applied[kind] for kind in KILLS)

    def __str__(self) -> str:
        recovery = "no recovery" if self.recovery_seconds is None else f"recovered in {self.recovery_seconds:.1f} s"
        return (
            f"seed {self.seed}: {self.kills} kills, {self.applied.total()} faults "
            f"({len(self.not_applied)} met another), {self.checks} searches for losses, "
            f"{self.events} events, {recovery}, "
            f"{len(self.violations)} broken promises"
        )


async def run_round(seed: int, seconds: float, *, bound_seconds: float, report: Report) -> Result:
    """Run the round of a seed."""
    schedule = make_schedule(seed, seconds)
    with temporary_directory() as directory:
        async with run_chaos_environment(directory, seed) as environment:
            faults = Faults(environment, report)
            async with _service(environment, is_apart=seed % 2 == 0):
                await environment.connect(sweep_interval_minutes=SWEEP_MINUTES)
                await environment.start_simulation(**_scenario(seed, seconds))
                await _apply(faults, schedule)
                recovery = await _recover(environment, bound_seconds)
                history = await _read_history(environment, faults, recovery)
            violations = check(history, bound_seconds=bound_seconds)
            log = environment.messages()
    return Result(
        seed, violations, Counter(faults.applied), faults.not_applied, environment.exits,
        faults.checks, len(history.klaviyo_events), recovery, log,
    )  # fmt: skip


def _scenario(seed: int, seconds: float) -> dict[str, Any]:
    conversations = int(seconds * RATE / ACTIONS_PER_CONVERSATION)
    return {"customers": 30, "conversations": conversations, "rate": RATE, "seed": seed}


@asynccontextmanager
async def _service(environment: ChaosEnvironment, *, is_apart: bool) -> AsyncIterator[None]:
    """Run the service: one process that does all and a worker beside it, or the roles apart."""
    role = ("--no-worker",) if is_apart else ()
    serve = environment.keep_running("serve", "serve", "--port", str(environment.port), *role)
    tasks = [asyncio.create_task(serve)]
    try:
        await environment.wait_until(environment.is_ready, "the service is ready")
        tasks.append(asyncio.create_task(environment.keep_running("worker", "worker")))
        yield
    finally:
        await cancel_all(tasks)


async def _apply(faults: Faults, schedule: Sequence[Step]) -> None:
    started_at = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for step in schedule:
            await asyncio.sleep(started_at + step.at - time.monotonic())
            group.create_task(faults.apply(step))
    await faults.end_all()


async def _recover(environment: ChaosEnvironment, bound_seconds: float) -> float | None:
    """Wait until Klaviyo holds everything. Returns how many seconds it took, None if it took longer than the bound.

    The time that Kustomer waits before it sends a webhook again does not count.
    """
    while not await environment.is_simulation_done():
        await asyncio.sleep(0.1)
    started_at = time.monotonic()
    while time.monotonic() < started_at + bound_seconds:
        if await environment.is_complete():
            return time.monotonic() - started_at
        await asyncio.sleep(0.2)
    return None


async def _read_history(environment: ChaosEnvironment, faults: Faults, recovery: float | None) -> History:
    await faults.find_lost()
    postgres = environment.postgres
    return History(
        comparison=await environment.compare(),
        lost_after_kill=sorted(faults.lost),
        given_up=(await environment.get(f"{environment.kustomer}/sandbox/state"))["deliveries"]["lost"],
        deliveries=await postgres.fetch(DELIVERIES),
        inbox={row["state"]: row["events"] for row in await postgres.fetch(INBOX)},
        klaviyo_events=await environment.klaviyo_events(),
        recovery_seconds=recovery,
        program_errors=environment.program_errors(),
    )
