"""What may not be tried again yet, although nothing kept says so: because writing down how it ended failed."""

import random
import time
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

FIRST_SECONDS, LONGEST_SECONDS = 1.0, 900.0
MOST_REMEMBERED = 20_000
"""Beyond this, what may be tried again is forgotten first."""


Key = TypeVar("Key", bound=Hashable)


class Backoff(Generic[Key]):
    """Growing waits of single items, in memory: whichever process takes over tries each once before it waits too."""

    def __init__(self, *, first: float = FIRST_SECONDS, longest: float = LONGEST_SECONDS) -> None:
        self._first = first
        self._longest = longest
        self._failures: dict[Key, tuple[int, float]] = {}

    def failed(self, keys: Iterable[Key]) -> None:
        """Let these wait, longer each time."""
        for key in set(keys):
            before, _ = self._failures.pop(key, (0, 0.0))
            wait = min(self._longest, self._first * 2.0 ** min(before, 30)) * (0.75 + 0.25 * random.random())
            self._failures[key] = (before + 1, time.monotonic() + wait)
        while len(self._failures) > MOST_REMEMBERED:
            del self._failures[next(iter(self._failures))]

    def succeeded(self, keys: Iterable[Key]) -> None:
        """Forget that these failed."""
        if self._failures:
            for key in keys:
                self._failures.pop(key, None)

    def waiting(self) -> set[Key]:
        """Return what may not be tried yet."""
        now = time.monotonic()
        return {key for key, (_, until) in self._failures.items() if until > now} if self._failures else set()

    def seconds_to_next(self) -> float | None:
        """Return how long until something may be tried again; None when nothing waits."""
        now = time.monotonic()
        waits = [until - now for _, until in self._failures.values() if until > now]
        return min(waits, default=None)
