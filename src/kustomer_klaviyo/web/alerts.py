"""What an admin must know on every page: a connection that does not deliver, and why."""

from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.database import Database


class Alerts:
    """Reads how the connections fare."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def all(self) -> list[str]:
        """Return a sentence for each connection that somebody must look after."""
        return [text for row in await reports.lanes(self._database) if (text := _alert(row)) is not None]


def _alert(row: dict[str, object]) -> str | None:
    if row["paused"]:
        return f"{row['id']}: nothing is sent, and what arrives waits. {row['reason']}"
    return f"{row['id']}: {row['note']}" if row["note"] else None
