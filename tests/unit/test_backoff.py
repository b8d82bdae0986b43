"""Waits after failures, and until the next due time."""

from datetime import UTC, datetime, timedelta

import pytest

from kustomer_klaviyo.backoff import MIN_WAIT_SECONDS, next_wait

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("due_in", "waits", "expected"),
    [
        (None, (None,), None),
        (None, (4.0, None, 2.0), 2.0),
        (3.0, (4.0,), 3.0),
        (-60.0, (4.0,), MIN_WAIT_SECONDS),
    ],
)
def test_the_next_wait_is_the_shortest(
    due_in: float | None, waits: tuple[float | None, ...], expected: float | None
) -> None:
    due_at = None if due_in is None else NOW + timedelta(seconds=due_in)
    assert next_wait(due_at, NOW, *waits) == expected
