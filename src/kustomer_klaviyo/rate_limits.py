"""Rate limits seen from our side: how long to wait before the next request. Pure; time is an argument.

A vendor counts in fixed windows whose edges we do not know, so the limits are kept in every sliding window.
"""

from collections import deque
from dataclasses import dataclass

SECOND, MINUTE = 1.0, 60.0
FIRST_THROTTLE, LONGEST_THROTTLE = 1.0, MINUTE
"""Seconds nothing is sent at least after a rate limit was met: the first time, and after many in a row."""

FIRST_OUTAGE, LONGEST_OUTAGE = 1.0, 5.0
"""Seconds from one request to the next that finds out whether a vendor is back."""

HEADROOM = 0.9
"""The part of a limit we use: the quota is one for all integrations of an account."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests one endpoint takes in a second (None: no such limit) and in a minute."""

    burst: int | None
    steady: int


class Windows:
    """The requests of the last minute to one endpoint, in monotonic seconds."""

    def __init__(self, limits: Limits, *, headroom: float = HEADROOM) -> None:
        self._headroom = headroom
        self._held_until = float("-inf")
        self._taken: deque[float] = deque()
        self._row = _Row()
        self._burst, self._steady = 0, 0
        self.learn(limits)

    def learn(self, limits: Limits) -> None:
        """Take over what the vendor says its limits are."""
        self._steady = max(1, int(limits.steady * self._headroom))
        self._burst = self._steady if limits.burst is None else max(1, int(limits.burst * self._headroom))

    def hold(self, until: float) -> None:
        """Let nothing go before then."""
        self._held_until = max(self._held_until, until)

    def throttled(self, *, began: float, now: float, asked: float | None, spread: float) -> None:
        """Let nothing go for a while, since a request that began then met the limit: longer each time in a row.

        ``asked`` is the vendor's wish: never waited for less, and no longer than the longest window. ``spread``, from
        0 to 1, keeps those who were throttled together apart.
        """
        self._row.failed(began, now)
        wait = self._row.wait(FIRST_THROTTLE, LONGEST_THROTTLE, spread)
        self.hold(now + max(wait, min(asked or 0.0, LONGEST_THROTTLE)))

    def passed(self, *, began: float) -> None:
        """Take note that a request that began then met no limit."""
        self._row.succeeded(began)

    def wait(self, now: float) -> float:
        """Return the seconds until a request may go; 0 when it may go now."""
        self._forget(now)
        return max(
            0.0,
            self._held_until - now,
            self._until_room(self._steady, MINUTE, now),
            self._until_room(self._burst, SECOND, now),
        )

    @property
    def steady(self) -> int:
        """How many requests we let go in a minute."""
        return self._steady

    def left(self, now: float) -> int:
        """Return how many of them may still go in this minute."""
        self._forget(now)
        return 0 if self._held_until > now else max(0, self._steady - len(self._taken))

    def took(self, at: float) -> None:
        """Count a request that goes at a time, now or after the wait for its turn."""
        self._taken.append(at)

    def _forget(self, now: float) -> None:
        while self._taken and self._taken[0] <= now - MINUTE:
            self._taken.popleft()

    def _until_room(self, limit: int, window: float, now: float) -> float:
        return 0.0 if len(self._taken) < limit else self._taken[-limit] + window - now


class _Row:
    """Failures in a row, in monotonic seconds; those of requests that were under way together count once."""

    def __init__(self) -> None:
        self.failures = 0
        self._failed_at = float("-inf")

    def failed(self, began: float, now: float) -> None:
        if began >= self._failed_at:
            self.failures += 1
            self._failed_at = now

    def succeeded(self, began: float) -> None:
        if began >= self._failed_at:
            self.failures = 0

    def wait(self, first: float, longest: float, spread: float) -> float:
        """Return a wait that doubles with each failure, spread over its second half."""
        return min(longest, first * 2.0 ** min(self.failures - 1, 30)) * (0.5 + 0.5 * spread)


class Outage:
    """Whether a vendor answers, in monotonic seconds: while it does not, one request at a time finds out."""

    def __init__(self) -> None:
        self._row = _Row()
        self._until = float("-inf")

    @property
    def failures(self) -> int:
        """How often in a row the vendor did not answer."""
        return self._row.failures

    def failed(self, *, began: float, now: float, spread: float) -> None:
        """Take note that a request that began then was not answered."""
        self._row.failed(began, now)
        self._until = now + self._row.wait(FIRST_OUTAGE, LONGEST_OUTAGE, spread)

    def succeeded(self, *, began: float) -> None:
        """Take note that one was answered, whatever the answer."""
        self._row.succeeded(began)

    def wait(self, now: float) -> float:
        """Return the seconds until a request may go."""
        return max(0.0, self._until - now) if self.failures else 0.0

    def room(self, now: float, most: int) -> int:
        """Return how many requests may be under way at once, of so many when all is well."""
        return most if not self.failures else int(self.wait(now) == 0)


def share_windows(mine: object, others: object) -> None:
    """Have one client count its requests in the windows of another of its kind: all its ``..._windows``."""
    vars(mine).update({name: held for name, held in vars(others).items() if name.endswith("_windows")})
