"""The rate limiter never exceeds the vendor's limits, wherever the vendor's windows begin."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import MAX_OUTAGE_SECONDS, MAX_THROTTLE_SECONDS, Limits, Outage


def send_times(limiter: RateLimiter, pauses: list[float]) -> list[float]:
    """Send a request as soon as allowed after each pause. Returns the times of the requests."""
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        now += limiter.wait_seconds(now)
        limiter.record(now)
        times.append(now)
    return times


@given(st.integers(1, 5), st.integers(5, 20), st.lists(st.floats(0, 3), max_size=80))
def test_no_sliding_second_or_minute_exceeds_the_limits(burst: int, steady: int, pauses: list[float]) -> None:
    times = send_times(RateLimiter(Limits(burst, steady), headroom=1.0), pauses)
    for index, at in enumerate(times):
        assert sum(at - 0.999 < other <= at for other in times[: index + 1]) <= burst
        assert sum(at - 59.999 < other <= at for other in times[: index + 1]) <= steady


def test_the_first_request_goes_at_once() -> None:
    assert RateLimiter(Limits(3, 60)).wait_seconds(0.0) == 0.0


def test_headroom_is_left_for_other_clients_of_the_account() -> None:
    limiter = RateLimiter(Limits(10, 100), headroom=0.5)
    assert [at < 1 for at in send_times(limiter, [0.0] * 6)] == [True] * 5 + [False]


def test_no_request_goes_before_the_retry_after() -> None:
    limiter = RateLimiter(Limits(10, 100))
    limiter.block_until(30.0)
    assert limiter.wait_seconds(10.0) == 20.0
    assert limiter.wait_seconds(30.0) == 0.0


def test_limits_of_the_response_headers_are_applied() -> None:
    limiter = RateLimiter(Limits(10, 100), headroom=1.0)
    limiter.update_limits(Limits(1, 2))
    assert send_times(limiter, [0.0] * 3) == [0.0, 1.0, 60.0]


def test_without_a_limit_per_second_the_minutes_requests_go_at_once() -> None:
    assert send_times(RateLimiter(Limits(None, 5), headroom=1.0), [0.0] * 6) == [0.0] * 5 + [60.0]


@given(st.lists(st.floats(0, 30), max_size=30))
def test_the_wait_is_sufficient_and_no_longer_than_needed(pauses: list[float]) -> None:
    limiter, now = RateLimiter(Limits(3, 6), headroom=1.0), 0.0
    for pause in pauses:
        now += pause
        limiter.record(now)
    wait = limiter.wait_seconds(now)
    if wait > 0.01:
        assert limiter.wait_seconds(now + wait - 0.001) > 0
    assert limiter.wait_seconds(now + wait + 0.001) == 0


def waits_after_throttles(times: int, retry_after: float | None) -> list[float]:
    """Return the wait after each of several consecutive throttles."""
    limiter, now, waits = RateLimiter(Limits(None, 10_000)), 0.0, []
    for _ in range(times):
        limiter.record_throttled(started_at=now, now=now, retry_after=retry_after, jitter=0.0)
        waits.append(limiter.wait_seconds(now))
        now += waits[-1]
    return waits


@pytest.mark.parametrize("retry_after", [None, 0.0, 0.001])
def test_the_minimum_wait_after_a_throttle_is_positive_and_grows(retry_after: float | None) -> None:
    waits = waits_after_throttles(8, retry_after)
    assert waits[0] >= 0.5
    assert waits[:6] == sorted(set(waits[:6]))
    assert max(waits) <= MAX_THROTTLE_SECONDS


def test_a_retry_after_is_respected_up_to_the_maximum() -> None:
    assert waits_after_throttles(1, 30.0) == [30.0]
    assert waits_after_throttles(1, 80_000.0) == [MAX_THROTTLE_SECONDS]


def test_parallel_throttles_count_once_and_a_success_resets_the_count() -> None:
    limiter = RateLimiter(Limits(None, 10_000))
    for at in (1.0, 1.1, 1.2):
        limiter.record_throttled(started_at=0.0, now=at, retry_after=None, jitter=0.0)
    assert limiter.wait_seconds(1.2) == pytest.approx(0.5)
    limiter.record_throttled(started_at=2.0, now=2.0, retry_after=None, jitter=0.0)
    assert limiter.wait_seconds(2.0) == pytest.approx(1.0)
    limiter.record_success(started_at=3.5)
    limiter.record_throttled(started_at=4.0, now=4.0, retry_after=None, jitter=0.0)
    assert limiter.wait_seconds(4.0) == pytest.approx(0.5)


def test_during_an_outage_one_probe_goes_at_a_time() -> None:
    outage, now = Outage(), 0.0
    assert outage.max_concurrent(now, 8) == 8
    for _ in range(8):
        outage.record_failure(started_at=now, now=now + 0.1, jitter=1.0)
    assert (outage.failures, outage.max_concurrent(now + 0.2, 8)) == (1, 0)
    now += 0.1 + outage.wait_seconds(now + 0.1)
    assert outage.max_concurrent(now, 8) == 1
    outage.record_success(started_at=now)
    assert outage.max_concurrent(now, 8) == 8


@given(st.floats(0.1, 100_000), st.floats(0, 1))
def test_a_probe_goes_within_seconds_of_the_end_of_an_outage(length: float, jitter: float) -> None:
    outage, now = Outage(), 0.0
    while now < length:
        outage.record_failure(started_at=now, now=now, jitter=jitter)
        now += outage.wait_seconds(now)
    assert now - length <= MAX_OUTAGE_SECONDS
