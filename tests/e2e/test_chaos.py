"""A short round of chaos with a fixed seed. ``make chaos`` runs longer ones, with any seed."""

from chaos.round import run_round
from chaos.schedule import FaultKind, make_schedule

SEED = 27
SECONDS = 18.0
BOUND_SECONDS = 240.0
"""Generous: the machine may be busy."""


def test_the_fixed_round_has_every_kind_of_fault() -> None:
    assert {step.kind for step in make_schedule(SEED, SECONDS)} == set(FaultKind)


async def test_no_promise_is_broken_in_a_round_of_chaos() -> None:
    steps: list[str] = []
    result = await run_round(SEED, SECONDS, bound_seconds=BOUND_SECONDS, report=steps.append)
    assert not result.violations, "\n".join([*steps, str(result), *result.violations, result.log[-5000:]])
    assert result.events > 0
