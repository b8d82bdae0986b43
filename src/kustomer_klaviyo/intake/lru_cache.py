"""What the door remembers, so that noise needs no look at the database. Bounded; forgetting costs one query."""

from collections import OrderedDict
from typing import Generic, TypeVar

REMEMBERED = 10_000


Value = TypeVar("Value")


class Memory(Generic[Value]):
    """The most recently used entries, up to a bound; what it does not hold it looks for in the one below."""

    def __init__(self, size: int = REMEMBERED, *, below: "Memory[Value] | None" = None) -> None:
        self._size = size
        self._below = below
        self._entries: OrderedDict[tuple[str, str], Value] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Value | None:
        """Return what is remembered of a (connection, key) pair."""
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        elif self._below is not None:
            return self._below.get(key)
        return value

    def put(self, key: tuple[str, str], value: Value) -> None:
        """Remember, and forget what was not used for longest."""
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._size:
            self._entries.popitem(last=False)
