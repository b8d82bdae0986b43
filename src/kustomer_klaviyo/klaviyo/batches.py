"""Many events in few requests: parted by the bulk endpoint's limits, narrowed down when it refuses. Pure.

Limits: developers.klaviyo.com/en/reference/bulk_create_events
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.event_wire import BULK_END, BULK_START, encode_bulk_entry, join_bulk

MOST_EVENTS = 1000
MOST_BYTES = 4_500_000
"""Klaviyo takes 5 MB; the rest is left for what it counts and we do not."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one bulk request, each encoded once."""

    calls: tuple[EventCall, ...]
    entries: tuple[bytes, ...]

    def body(self) -> bytes:
        """Return the request's body."""
        return join_bulk(self.entries)


def compose(calls: Sequence[EventCall]) -> list[Batch]:
    """Part events into requests, in their order; none repeats a ``unique_id``, which would fail the whole request."""
    return list(_parted(calls))


def _parted(calls: Sequence[EventCall]) -> Iterator[Batch]:
    members: list[tuple[EventCall, bytes]] = []
    ids: set[str] = set()
    size = len(BULK_START) + len(BULK_END)
    for call in calls:
        entry = encode_bulk_entry(call)
        is_full = len(members) == MOST_EVENTS or size + len(entry) + 1 > MOST_BYTES
        if members and (is_full or call.unique_id in ids):
            yield _batch(members)
            members, ids, size = [], set(), len(BULK_START) + len(BULK_END)
        members.append((call, entry))
        ids.add(call.unique_id)
        size += len(entry) + 1
    if members:
        yield _batch(members)


def halves(batch: Batch) -> list[Batch]:
    """Part a batch in two, to find out which half is refused."""
    members = list(zip(batch.calls, batch.entries, strict=True))
    middle = len(members) // 2
    return [_batch(half) for half in (members[:middle], members[middle:]) if half]


def only(batch: Batch, indexes: Sequence[int]) -> Batch:
    """Keep these events of a batch."""
    return _batch([(batch.calls[index], batch.entries[index]) for index in indexes])


def _batch(members: Sequence[tuple[EventCall, bytes]]) -> Batch:
    return Batch(tuple(call for call, _ in members), tuple(entry for _, entry in members))
