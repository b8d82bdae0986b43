"""What becomes of a delivery, and of its connection's lane, after an attempt."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.backoff import Patience, jittered
from kustomer_klaviyo.delivery.retry_policy import Again, Delivered, History, Hold, SetAside, decide, hold
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
PATIENCE = Patience()
FRESH = History(0, None, None, None)


def held(outcome: Outcome, failures: int = 0, chance: float = 0.0) -> Hold:
    found = hold(outcome, failures, now=NOW, chance=lambda: chance, patience=PATIENCE)
    assert found is not None
    return found


def decided(outcome: Outcome, history: History = FRESH) -> object:
    return decide(outcome, history, now=NOW, chance=lambda: 1.0, patience=PATIENCE)


def test_accepted_is_delivered_and_holds_nothing() -> None:
    assert decided(Accepted(202, note="without phone")) == Delivered("without phone")
    assert hold(Accepted(202), 3, now=NOW, chance=lambda: 0.0, patience=PATIENCE) is None


def test_a_refusal_sets_only_its_own_delivery_aside_with_the_vendors_words() -> None:
    verdict = decided(Refused(400, "Invalid email address"))
    assert verdict == SetAside("Klaviyo refused it (400): Invalid email address")
    assert hold(Refused(400, "x"), 3, now=NOW, chance=lambda: 0.0, patience=PATIENCE) is None


def test_throttled_waits_at_least_as_long_as_asked_and_blames_no_delivery() -> None:
    assert isinstance(decided(Throttled(30, "slow down")), Again)
    assert held(Throttled(30, "slow down")).until == NOW + timedelta(seconds=30)
    assert held(Throttled(30, "slow down"), chance=1.0).until > NOW + timedelta(seconds=30)


def test_a_senseless_wish_to_wait_is_bounded() -> None:
    assert held(Throttled(80_000, "x")).until == NOW + timedelta(seconds=PATIENCE.longest_retry_after)


def test_throttled_without_a_hint_backs_off_further_each_time() -> None:
    waits = [held(Throttled(None, "x"), failures).until - NOW for failures in range(5)]
    assert waits == sorted(set(waits))


def test_locked_out_pauses_the_connection_and_says_what_to_do() -> None:
    found = held(LockedOut(401, "Missing or invalid private key."))
    assert found.paused
    assert "connect" in found.reason


def test_unreachable_comes_again_by_itself() -> None:
    verdict = decided(Unreachable("no answer"))
    assert isinstance(verdict, Again)
    assert verdict.at is not None
    assert verdict.at > NOW


def test_a_delivery_that_fails_while_others_get_through_is_set_aside_in_the_end() -> None:
    before, after = NOW - timedelta(hours=9), NOW - timedelta(hours=1)
    assert isinstance(decided(Unreachable("500"), History(10, before, after, after)), SetAside)


def test_while_nothing_gets_through_no_delivery_is_given_up() -> None:
    long_ago, before_that = NOW - timedelta(days=9), NOW - timedelta(days=10)
    assert isinstance(decided(Unreachable("500"), History(500, long_ago, before_that, before_that)), Again)


def test_while_only_deliveries_of_another_kind_get_through_none_is_given_up_but_waits_longer() -> None:
    before, after = NOW - timedelta(hours=1), NOW - timedelta(minutes=1)
    verdict = decided(Unreachable("500"), History(500, before, after, before - timedelta(hours=1)))
    assert isinstance(verdict, Again)
    assert verdict.at == NOW + timedelta(seconds=PATIENCE.longest_wait)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_wait_is_never_longer_than_the_longest_nor_shorter_than_half_the_first(failures: int, chance: float) -> None:
    assert 0.5 <= jittered(1.0, 900.0, failures, lambda: chance) <= 900.0


@pytest.mark.parametrize("failures", [0, 5, 50])
def test_waits_are_spread_so_that_retries_do_not_land_together(failures: int) -> None:
    waits = {jittered(1.0, 900.0, failures, lambda chance=chance: chance) for chance in (0.0, 0.3, 0.6, 1.0)}  # type: ignore[misc] # mypy cannot type a default in a lambda
    assert len(waits) == 4
