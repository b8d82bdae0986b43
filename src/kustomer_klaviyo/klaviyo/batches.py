"""Batches of events within the limits of the bulk endpoint. Pure.

Limits: developers.klaviyo.com/en/reference/bulk_create_events
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.event_wire import BULK_END, BULK_START, encode_bulk_entry, join_bulk_entries

MAX_EVENTS = 1000
MAX_BYTES = 4_500_000
"""Klaviyo's limit is 5 MB. The margin covers differences in how it counts."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The events of one bulk request, each encoded once."""

    requests: tuple[EventRequest, ...]
    entries: tuple[bytes, ...]

    def body(self) -> bytes:
        """Return the request's body."""
        return join_bulk_entries(self.entries)


def batch_events(requests: Sequence[EventRequest]) -> list[Batch]:
    """Put events into batches, in order. No batch repeats a ``unique_id``, which would fail the whole request."""
    return list(_batches(requests))


def _batches(requests: Sequence[EventRequest]) -> Iterator[Batch]:
    encoded: list[tuple[EventRequest, bytes]] = []
    unique_ids: set[str] = set()
    size = len(BULK_START) + len(BULK_END)
    for request in requests:
        entry = encode_bulk_entry(request)
        is_full = len(encoded) == MAX_EVENTS or size + len(entry) + 1 > MAX_BYTES
        if encoded and (is_full or request.unique_id in unique_ids):
            yield _batch(encoded)
            encoded, unique_ids, size = [], set(), len(BULK_START) + len(BULK_END)
        encoded.append((request, entry))
        unique_ids.add(request.unique_id)
        size += len(entry) + 1
    if encoded:
        yield _batch(encoded)


def split(batch: Batch) -> list[Batch]:
    """Split a batch in two, to find out which half is rejected."""
    encoded = list(zip(batch.requests, batch.entries, strict=True))
    middle = len(encoded) // 2
    return [_batch(half) for half in (encoded[:middle], encoded[middle:]) if half]


def select(batch: Batch, indexes: Sequence[int]) -> Batch:
    """Return a batch of the events with these indexes."""
    return _batch([(batch.requests[index], batch.entries[index]) for index in indexes])


def _batch(encoded: Sequence[tuple[EventRequest, bytes]]) -> Batch:
    return Batch(tuple(request for request, _ in encoded), tuple(entry for _, entry in encoded))
