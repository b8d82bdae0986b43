"""Never more requests than the vendor takes, whatever its windows' edges."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.rate_limits import LONGEST_OUTAGE, LONGEST_THROTTLE, Limits, Outage, Windows


def sent(windows: Windows, pauses: list[float]) -> list[float]:
    """Send as soon as allowed after each pause; returns when each request went."""
    now, times = 0.0, []
    for pause in pauses:
        now += pause
        now += windows.wait(now)
        windows.took(now)
        times.append(now)
    return times


@given(st.integers(1, 5), st.integers(5, 20), st.lists(st.floats(0, 3), max_size=80))
def test_no_sliding_second_and_no_sliding_minute_sees_more_than_the_limits(
    burst: int, steady: int, pauses: list[float]
) -> None:
    times = sent(Windows(Limits(burst, steady), headroom=1.0), pauses)
    for index, at in enumerate(times):
        assert sum(at - 0.999 < other <= at for other in times[: index + 1]) <= burst
        assert sum(at - 59.999 < other <= at for other in times[: index + 1]) <= steady


def test_a_free_window_lets_a_request_go_at_once() -> None:
    assert Windows(Limits(3, 60)).wait(0.0) == 0.0


def test_headroom_is_left_for_others_of_the_account() -> None:
    windows = Windows(Limits(10, 100), headroom=0.5)
    assert [at < 1 for at in sent(windows, [0.0] * 6)] == [True] * 5 + [False]


def test_nothing_goes_while_the_vendor_says_to_wait() -> None:
    windows = Windows(Limits(10, 100))
    windows.hold(30.0)
    assert windows.wait(10.0) == 20.0
    assert windows.wait(30.0) == 0.0


def test_limits_told_by_the_vendor_are_taken_over() -> None:
    windows = Windows(Limits(10, 100), headroom=1.0)
    windows.learn(Limits(1, 2))
    assert sent(windows, [0.0] * 3) == [0.0, 1.0, 60.0]


def test_a_limit_for_the_minute_alone_lets_all_of_it_go_at_once() -> None:
    assert sent(Windows(Limits(None, 5), headroom=1.0), [0.0] * 6) == [0.0] * 5 + [60.0]


@given(st.lists(st.floats(0, 30), max_size=30))
def test_waiting_as_long_as_told_is_enough_and_less_is_not(pauses: list[float]) -> None:
    windows, now = Windows(Limits(3, 6), headroom=1.0), 0.0
    for pause in pauses:
        now += pause
        windows.took(now)
    wait = windows.wait(now)
    if wait > 0.01:
        assert windows.wait(now + wait - 0.001) > 0
    assert windows.wait(now + wait + 0.001) == 0


def throttled_often(times: int, asked: float | None) -> list[float]:
    """Return the waits after each of some throttles in a row."""
    windows, now, waits = Windows(Limits(None, 10_000)), 0.0, []
    for _ in range(times):
        windows.throttled(began=now, now=now, asked=asked, spread=0.0)
        waits.append(windows.wait(now))
        now += waits[-1]
    return waits


@pytest.mark.parametrize("asked", [None, 0.0, 0.001])
def test_the_least_wait_after_a_throttle_is_never_nothing_and_grows(asked: float | None) -> None:
    waits = throttled_often(8, asked)
    assert waits[0] >= 0.5
    assert waits[:6] == sorted(set(waits[:6]))
    assert max(waits) <= LONGEST_THROTTLE


def test_a_wish_is_never_waited_for_less_and_bounded_by_the_longest_window() -> None:
    assert throttled_often(1, 30.0) == [30.0]
    assert throttled_often(1, 80_000.0) == [LONGEST_THROTTLE]


def test_a_round_of_throttles_counts_once_and_a_success_ends_the_row() -> None:
    windows = Windows(Limits(None, 10_000))
    for at in (1.0, 1.1, 1.2):
        windows.throttled(began=0.0, now=at, asked=None, spread=0.0)
    assert windows.wait(1.2) == pytest.approx(0.5)
    windows.throttled(began=2.0, now=2.0, asked=None, spread=0.0)
    assert windows.wait(2.0) == pytest.approx(1.0)
    windows.passed(began=3.5)
    windows.throttled(began=4.0, now=4.0, asked=None, spread=0.0)
    assert windows.wait(4.0) == pytest.approx(0.5)


def test_while_a_vendor_is_away_one_request_at_a_time_asks_for_it() -> None:
    outage, now = Outage(), 0.0
    assert outage.room(now, 8) == 8
    for _ in range(8):
        outage.failed(began=now, now=now + 0.1, spread=1.0)
    assert (outage.failures, outage.room(now + 0.2, 8)) == (1, 0)
    now += 0.1 + outage.wait(now + 0.1)
    assert outage.room(now, 8) == 1
    outage.succeeded(began=now)
    assert outage.room(now, 8) == 8


@given(st.floats(0.1, 100_000), st.floats(0, 1))
def test_a_vendor_that_is_back_is_asked_within_seconds_however_long_it_was_away(length: float, spread: float) -> None:
    outage, now = Outage(), 0.0
    while now < length:
        outage.failed(began=now, now=now, spread=spread)
        now += outage.wait(now)
    assert now - length <= LONGEST_OUTAGE
