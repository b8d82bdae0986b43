"""The schedule of a seed is repeatable, ordered, and has every kind of fault."""

from hypothesis import given
from hypothesis import strategies as st

from chaos.schedule import DECK, LENGTHS, FaultKind, make_schedule

SEEDS = st.integers(0, 2**32)
SECONDS = st.floats(0, 300)


@given(SEEDS, SECONDS)
def test_a_seed_always_makes_the_same_schedule(seed: int, seconds: float) -> None:
    first, second = make_schedule(seed, seconds), make_schedule(seed, seconds)
    assert first == second
    assert [str(step) for step in first] == [str(step) for step in second]


@given(SEEDS, SECONDS, SECONDS)
def test_a_longer_round_begins_like_a_shorter_one(seed: int, one: float, other: float) -> None:
    short, long = sorted((make_schedule(seed, one), make_schedule(seed, other)), key=len)
    assert long[: len(short)] == short


@given(SEEDS, SECONDS)
def test_faults_are_in_order_and_within_the_round(seed: int, seconds: float) -> None:
    steps = make_schedule(seed, seconds)
    assert [step.at for step in steps] == sorted(step.at for step in steps)
    assert all(step.at < seconds + 0.01 for step in steps)
    assert all(LENGTHS[0] <= step.seconds <= LENGTHS[1] for step in steps)


@given(SEEDS)
def test_each_deck_has_every_kind(seed: int) -> None:
    steps = make_schedule(seed, 200)
    assert {step.kind for step in steps[: len(DECK)]} == set(FaultKind)
    assert {step.kind for step in steps[len(DECK) : 2 * len(DECK)]} == set(FaultKind)


def test_another_seed_makes_another_schedule() -> None:
    assert make_schedule(1, 60) != make_schedule(2, 60)
