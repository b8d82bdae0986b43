"""Never more requests than the vendor takes, whatever its windows' edges."""

from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.throttle import Limits, Windows


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
