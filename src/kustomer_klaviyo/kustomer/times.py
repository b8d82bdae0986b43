"""The times that a document names, read by when it was seen. Pure.

A time that lies further ahead than clocks may differ is no time: it would stand on a profile for ever.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kustomer_klaviyo.kustomer.wire import as_time

MOST_AHEAD = timedelta(days=1)
"""Further ahead of the time received a time counts as missing."""


@dataclass(frozen=True, slots=True)
class Times:
    """Reads the times of one observation, and keeps notes of those that cannot be used."""

    seen_at: datetime
    """When the observation was sent; what happened at a time that is missing happened then."""
    latest: datetime
    notes: list[str] = field(default_factory=list)

    def read(self, value: Any, name: str) -> datetime | None:
        """Return the moment that a text names; None when it names none, or, with a note, one that lies ahead."""
        at = as_time(value)
        if at is None or at <= self.latest:
            return at
        note = f"{name} lies in the future: it counts as missing"
        self.notes.extend([] if note in self.notes else [note])
        return None


def times(sent: Any, *, received_at: datetime) -> Times:
    """Return a reader for what was sent at a time, if that can be read, and received at another."""
    latest = received_at + MOST_AHEAD
    at = as_time(sent)
    return Times(received_at if at is None or at > latest else at, latest)


def is_ahead(value: Any, latest: datetime) -> bool:
    """Say whether a text names a moment later than that, of whatever year: birthdays are older than any event."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    try:
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)) > latest
    except OverflowError:
        return at.year > latest.year
