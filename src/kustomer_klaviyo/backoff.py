"""Retry settings and exponential backoff. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

Rng = Callable[[], float]
"""Returns a random number from 0 to 1."""


MIN_WAIT_SECONDS = 0.01
"""Even what is overdue waits this long, so that a loop never spins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """Wait times in seconds, and the number of attempts."""

    initial_seconds: float = 1.0
    max_seconds: float = 900.0
    """The longest wait between two attempts of one delivery that fails while others succeed."""
    max_probe_seconds: float = 5.0
    """The longest wait between two probes while Klaviyo is unreachable. Delivery resumes this soon after an outage."""
    max_outage_retry_after: float = 15.0
    """The longest ``Retry-After`` that is respected while the vendor is down: one small probe request is no burden."""
    max_throttle_seconds: float = 60.0
    """Klaviyo's longest rate window. Repeated rate limits wait no longer than this, unless ``Retry-After`` says so."""
    auth_initial_seconds: float = 30.0
    auth_max_seconds: float = 600.0
    max_retry_after: float = 3600.0
    """The longest ``Retry-After`` that is respected; a longer one counts as a mistake."""
    max_attempts: int = 12
    """Failures of one delivery, while others succeed, before it is marked as failed."""
    failures_until_pause: int = 3
    """Consecutive access errors before the connection is paused for an admin to act."""


def backoff_seconds(initial_seconds: float, max_seconds: float, failures: int, rng: Rng) -> float:
    """Return a wait that doubles with each failure up to the maximum, with jitter over its second half."""
    ceiling = min(max_seconds, initial_seconds * 2.0 ** min(failures, 30))
    return ceiling * (0.5 + 0.5 * rng())


def next_wait(due_at: datetime | None, now: datetime, *waits: float | None) -> float | None:
    """Return the seconds until a due time or the end of the shortest other wait; None when there is neither."""
    due_in = None if due_at is None else max(MIN_WAIT_SECONDS, (due_at - now).total_seconds())
    return min((wait for wait in (due_in, *waits) if wait is not None), default=None)
