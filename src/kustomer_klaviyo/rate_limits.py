"""Client-side rate limits: how long to wait before the next request. Pure; time is an argument.

A vendor counts in fixed windows whose edges are unknown, so the limits are kept in every sliding window.
"""

from collections import deque
from dataclasses import dataclass

SECOND, MINUTE = 1.0, 60.0
INITIAL_THROTTLE_SECONDS, MAX_THROTTLE_SECONDS = 1.0, MINUTE
"""The shortest wait after a rate limit was hit: the first time, and after many in a row."""

INITIAL_OUTAGE_SECONDS, MAX_OUTAGE_SECONDS = 1.0, 5.0
"""The wait between two requests that probe whether a vendor is back."""

DEFAULT_HEADROOM = 0.9
"""The part of a limit that is used: all integrations of an account share the quota."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests one endpoint accepts per second (None: no such limit) and per minute."""

    burst: int | None
    steady: int


class SlidingWindow:
    """The recent requests to one endpoint, and the limits that apply to them. Times are monotonic seconds."""

    def __init__(self, limits: Limits, *, headroom: float = DEFAULT_HEADROOM) -> None:
        self._headroom = headroom
        self._blocked_until = float("-inf")
        self._request_times: deque[float] = deque()
        self._throttles = _FailureStreak()
        self._burst, self._steady = 0, 0
        self.update_limits(limits)

    def update_limits(self, limits: Limits) -> None:
        """Use the limits that the vendor reported."""
        self._steady = max(1, int(limits.steady * self._headroom))
        self._burst = self._steady if limits.burst is None else max(1, int(limits.burst * self._headroom))

    def block_until(self, until: float) -> None:
        """Allow no request before a time."""
        self._blocked_until = max(self._blocked_until, until)

    def record_throttled(self, *, started_at: float, now: float, retry_after: float | None, jitter: float) -> None:
        """Block after a request hit the limit, longer for each throttled request in a row.

        The wait is at least ``retry_after``, capped at the longest window. ``jitter``, from 0 to 1, separates clients
        that were throttled together.
        """
        self._throttles.record_failure(started_at, now)
        wait = self._throttles.wait_seconds(INITIAL_THROTTLE_SECONDS, MAX_THROTTLE_SECONDS, jitter)
        self.block_until(now + max(wait, min(retry_after or 0.0, MAX_THROTTLE_SECONDS)))

    def record_success(self, *, started_at: float) -> None:
        """Record that a request hit no limit."""
        self._throttles.record_success(started_at)

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until a request may be sent; 0 when it may be sent now."""
        self._drop_expired(now)
        return max(
            0.0,
            self._blocked_until - now,
            self._seconds_to_slot(self._steady, MINUTE, now),
            self._seconds_to_slot(self._burst, SECOND, now),
        )

    @property
    def steady(self) -> int:
        """The number of requests allowed per minute."""
        return self._steady

    def remaining(self, now: float) -> int:
        """Return the number of requests that are still allowed in this minute."""
        self._drop_expired(now)
        return 0 if self._blocked_until > now else max(0, self._steady - len(self._request_times))

    def record(self, at: float) -> None:
        """Count a request at a time, which may lie in the future."""
        self._request_times.append(at)

    def _drop_expired(self, now: float) -> None:
        while self._request_times and self._request_times[0] <= now - MINUTE:
            self._request_times.popleft()

    def _seconds_to_slot(self, limit: int, window: float, now: float) -> float:
        return 0.0 if len(self._request_times) < limit else self._request_times[-limit] + window - now


class _FailureStreak:
    """Consecutive failures. Failures of requests that were in flight together count once."""

    def __init__(self) -> None:
        self.failures = 0
        self._failed_at = float("-inf")

    def record_failure(self, started_at: float, now: float) -> None:
        if started_at >= self._failed_at:
            self.failures += 1
            self._failed_at = now

    def record_success(self, started_at: float) -> None:
        if started_at >= self._failed_at:
            self.failures = 0

    def wait_seconds(self, initial_seconds: float, max_seconds: float, jitter: float) -> float:
        """Return a wait that doubles with each failure, with jitter over its second half."""
        return min(max_seconds, initial_seconds * 2.0 ** min(self.failures - 1, 30)) * (0.5 + 0.5 * jitter)


class Outage:
    """Whether a vendor responds. While it does not, one request at a time probes it. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._streak = _FailureStreak()
        self._until = float("-inf")

    @property
    def failures(self) -> int:
        """The number of consecutive requests without a response."""
        return self._streak.failures

    def record_failure(self, *, started_at: float, now: float, jitter: float) -> None:
        """Record that a request got no response."""
        self._streak.record_failure(started_at, now)
        self._until = now + self._streak.wait_seconds(INITIAL_OUTAGE_SECONDS, MAX_OUTAGE_SECONDS, jitter)

    def record_success(self, *, started_at: float) -> None:
        """Record that a request got a response, whatever it was."""
        self._streak.record_success(started_at)

    def wait_seconds(self, now: float) -> float:
        """Return the seconds until a request may be sent."""
        return max(0.0, self._until - now) if self.failures else 0.0

    def max_concurrent(self, now: float, limit: int) -> int:
        """Return how many requests may be in flight: ``limit``, or one probe at most during an outage."""
        return limit if not self.failures else int(self.wait_seconds(now) == 0)
