"""Rate limits seen from our side: how long to wait before the next request. Pure; time is an argument.

A vendor counts in fixed windows whose edges we do not know, so the limits are kept in every sliding window.
"""

from collections import deque
from dataclasses import dataclass

SECOND, MINUTE = 1.0, 60.0
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
        self._burst, self._steady = 0, 0
        self.learn(limits)

    def learn(self, limits: Limits) -> None:
        """Take over what the vendor says its limits are."""
        self._steady = max(1, int(limits.steady * self._headroom))
        self._burst = self._steady if limits.burst is None else max(1, int(limits.burst * self._headroom))

    def hold(self, until: float) -> None:
        """Let nothing go before then."""
        self._held_until = max(self._held_until, until)

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


def share_windows(mine: object, others: object) -> None:
    """Have one client count its requests in the windows of another of its kind: all its ``..._windows``."""
    vars(mine).update({name: held for name, held in vars(others).items() if name.endswith("_windows")})
