"""What becomes of a delivery, and of its connection, after an attempt."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.backoff import RetrySettings, backoff_seconds
from kustomer_klaviyo.delivery.retry_policy import (
    Delivered,
    DeliveryHistory,
    GiveUp,
    Hold,
    RetryAt,
    decide,
    decide_hold,
)
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable
from kustomer_klaviyo.reasons import Reason

NOW = datetime(2026, 4, 1, 12, tzinfo=UTC)
RETRY = RetrySettings()
FRESH = DeliveryHistory(0, None, None, None)


def held(outcome: Outcome, failures: int = 0, random_value: float = 0.0) -> Hold:
    found = decide_hold(outcome, failures, now=NOW, rng=lambda: random_value, retry=RETRY)
    assert found is not None
    return found


def decided(outcome: Outcome, history: DeliveryHistory = FRESH) -> object:
    return decide(outcome, history, now=NOW, rng=lambda: 1.0, retry=RETRY)


def test_accepted_is_delivered_and_holds_nothing() -> None:
    assert decided(Accepted(202, note="without phone")) == Delivered("without phone")
    assert decide_hold(Accepted(202), 3, now=NOW, rng=lambda: 0.0, retry=RETRY) is None


def test_a_rejection_fails_only_its_own_delivery() -> None:
    decision = decided(Refused(400, "Invalid email address"))
    assert decision == GiveUp(Reason.REJECTED)
    assert decide_hold(Refused(400, "x"), 3, now=NOW, rng=lambda: 0.0, retry=RETRY) is None


def test_a_throttled_request_waits_at_least_retry_after_and_fails_no_delivery() -> None:
    assert isinstance(decided(Throttled(30, "slow down")), RetryAt)
    assert held(Throttled(30, "slow down")).until == NOW + timedelta(seconds=30)
    assert held(Throttled(30, "slow down"), random_value=1.0).until > NOW + timedelta(seconds=30)


def test_an_excessive_retry_after_is_capped() -> None:
    assert held(Throttled(80_000, "x")).until == NOW + timedelta(seconds=RETRY.max_retry_after)


def test_throttled_without_retry_after_backs_off_exponentially() -> None:
    waits = [held(Throttled(None, "x"), failures).until - NOW for failures in range(5)]
    assert waits == sorted(set(waits))


def test_a_rejected_key_pauses_the_connection() -> None:
    found = held(LockedOut(401, "Missing or invalid private key."))
    assert found.paused
    assert found.reason is Reason.KEY_REJECTED
    assert found.detail == "401: Missing or invalid private key."


def test_an_unreachable_vendor_is_retried() -> None:
    decision = decided(Unreachable("no answer"))
    assert isinstance(decision, RetryAt)
    assert decision.at is not None
    assert decision.at > NOW


def test_a_delivery_that_keeps_failing_while_others_succeed_is_given_up() -> None:
    before, after = NOW - timedelta(hours=9), NOW - timedelta(hours=1)
    assert isinstance(decided(Unreachable("500"), DeliveryHistory(10, before, after, after)), GiveUp)


def test_no_delivery_is_given_up_during_an_outage() -> None:
    long_ago, before_that = NOW - timedelta(days=9), NOW - timedelta(days=10)
    assert isinstance(decided(Unreachable("500"), DeliveryHistory(500, long_ago, before_that, before_that)), RetryAt)


def test_while_only_another_kind_succeeds_a_delivery_waits_longer_and_is_not_given_up() -> None:
    before, after = NOW - timedelta(hours=1), NOW - timedelta(minutes=1)
    decision = decided(Unreachable("500"), DeliveryHistory(500, before, after, before - timedelta(hours=1)))
    assert isinstance(decision, RetryAt)
    assert decision.at == NOW + timedelta(seconds=RETRY.max_seconds)


@given(st.integers(0, 10_000), st.floats(0, 1))
def test_a_wait_lies_between_half_the_initial_and_the_maximum(failures: int, random_value: float) -> None:
    assert 0.5 <= backoff_seconds(1.0, 900.0, failures, lambda: random_value) <= 900.0


@pytest.mark.parametrize("failures", [0, 5, 50])
def test_jitter_spreads_the_waits(failures: int) -> None:
    random_values = iter((0.0, 0.3, 0.6, 1.0))
    waits = {backoff_seconds(1.0, 900.0, failures, lambda: next(random_values)) for _ in range(4)}
    assert len(waits) == 4
