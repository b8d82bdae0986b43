"""Reads the times in a document, relative to when it was sent. Pure.

A time that is further in the future than clocks may differ is ignored: it would stay on a profile permanently.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from kustomer_klaviyo.kustomer.wire import as_time

MAX_AHEAD = timedelta(days=1)
"""A time further than this after the time of receipt counts as missing."""


@dataclass(frozen=True, slots=True)
class TimeReader:
    """Reads the times of one observation, and notes the ones that cannot be used."""

    observed_at: datetime
    """When the observation was sent; used in place of a missing time."""
    latest: datetime
    notes: list[str] = field(default_factory=list)

    def read(self, value: Any, name: str) -> datetime | None:
        """Return the time of a text; None if there is none, or, with a note, if it is in the future."""
        at = as_time(value)
        if at is None or at <= self.latest:
            return at
        note = f"{name} is in the future: it counts as missing"
        self.notes.extend([] if note in self.notes else [note])
        return None


def time_reader(sent_at: Any, *, received_at: datetime) -> TimeReader:
    """Return a reader for a document, given the text of when it was sent, and when it was received."""
    latest = received_at + MAX_AHEAD
    at = as_time(sent_at)
    return TimeReader(received_at if at is None or at > latest else at, latest)


def is_after(value: Any, latest: datetime) -> bool:
    """Return whether a text is a time, of any year, after the latest one."""
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    try:
        return (at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)) > latest
    except OverflowError:
        return at.year > latest.year
