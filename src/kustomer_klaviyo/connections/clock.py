"""Kustomer's clock against ours: facts bear Kustomer's times, so the moment from which is told comes from its clock."""

from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.store import bookmarks
from kustomer_klaviyo.store.database import Database

CLOCK = "kustomer clock"
"""The bookmark: by how many seconds Kustomer's clock is ahead of ours."""

WORTH_A_WORD_SECONDS = 30.0
WORTH_WRITING_SECONDS = 5.0


def kustomer_now(client: KustomerClient) -> datetime:
    """Return the time by Kustomer's clock as of its last answer; ours where it never named one."""
    return datetime.now(UTC) + timedelta(seconds=client.ahead or 0.0)


async def keep_clock(database: Database, connection_id: str, client: KustomerClient) -> None:
    """Write down how the clocks stand, where that changed since it was written."""
    if client.ahead is None:
        return
    kept = await bookmarks.get(database, connection_id, CLOCK)
    if kept is None or abs(float(kept) - client.ahead) >= WORTH_WRITING_SECONDS:
        async with database.transaction() as db:
            await bookmarks.put(db, connection_id, CLOCK, f"{client.ahead:.1f}")


def clock_problem(ahead: float | None) -> str | None:
    """Say that our clock is wrong, or Kustomer's; None where they agree or nothing is known."""
    if ahead is None or abs(ahead) <= WORTH_A_WORD_SECONDS:
        return None
    how = "behind" if ahead > 0 else "ahead of"
    return f"the clock of this machine is {abs(ahead):.0f} s {how} Kustomer's: set it by NTP"
