"""In-memory backoff for single items whose result could not be stored, so that they are not retried at once."""

import random
import time
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

INITIAL_SECONDS, MAX_SECONDS = 1.0, 900.0
MAX_ITEMS = 20_000
"""Beyond this, the oldest entries are dropped first."""


Key = TypeVar("Key", bound=Hashable)


class ItemBackoff(Generic[Key]):
    """Exponential backoff per item. It lives in one process: another process tries each item once first."""

    def __init__(self, *, initial_seconds: float = INITIAL_SECONDS, max_seconds: float = MAX_SECONDS) -> None:
        self._initial_seconds = initial_seconds
        self._max_seconds = max_seconds
        self._failures: dict[Key, tuple[int, float]] = {}

    def record_failures(self, keys: Iterable[Key]) -> None:
        """Block these items, longer with each failure."""
        for key in set(keys):
            count, _ = self._failures.pop(key, (0, 0.0))
            ceiling = min(self._max_seconds, self._initial_seconds * 2.0 ** min(count, 30))
            wait = ceiling * (0.75 + 0.25 * random.random())
            self._failures[key] = (count + 1, time.monotonic() + wait)
        while len(self._failures) > MAX_ITEMS:
            del self._failures[next(iter(self._failures))]

    def clear(self, keys: Iterable[Key]) -> None:
        """Forget the failures of these items."""
        if self._failures:
            for key in keys:
                self._failures.pop(key, None)

    def blocked(self) -> set[Key]:
        """Return the items that may not be tried yet."""
        now = time.monotonic()
        return {key for key, (_, until) in self._failures.items() if until > now} if self._failures else set()

    def seconds_to_next(self) -> float | None:
        """Return the seconds until an item is unblocked; None when nothing is blocked."""
        now = time.monotonic()
        waits = [until - now for _, until in self._failures.values() if until > now]
        return min(waits, default=None)
