"""The difference between Kustomer's clock and this machine's: ``since`` is compared with times of Kustomer's clock."""

from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.store import bookmarks
from kustomer_klaviyo.store.database import Database

CLOCK_SKEW = "kustomer_clock_skew"
"""The bookmark that holds the seconds by which Kustomer's clock is ahead."""

MAX_SKEW_SECONDS = 30.0
MIN_CHANGE_SECONDS = 5.0
"""A smaller change of the difference is not stored."""


def kustomer_now(client: KustomerClient) -> datetime:
    """Return the current time by Kustomer's clock; by this machine's clock if Kustomer never sent a time."""
    return datetime.now(UTC) + timedelta(seconds=client.clock_skew or 0.0)


async def save_clock_skew(db: Database, connection_id: str, client: KustomerClient) -> None:
    """Store the difference of the clocks if it changed."""
    if client.clock_skew is None:
        return
    stored = await bookmarks.get(db, connection_id, CLOCK_SKEW)
    if stored is None or abs(float(stored) - client.clock_skew) >= MIN_CHANGE_SECONDS:
        async with db.transaction() as tx:
            await bookmarks.put(tx, connection_id, CLOCK_SKEW, f"{client.clock_skew:.1f}")


def clock_problem(skew: float | None) -> str | None:
    """Return the warning that the clocks differ; None if they agree or the difference is unknown."""
    if skew is None or abs(skew) <= MAX_SKEW_SECONDS:
        return None
    direction = "behind" if skew > 0 else "ahead of"
    return f"the clock of this machine is {abs(skew):.0f} s {direction} Kustomer's: set it by NTP"
