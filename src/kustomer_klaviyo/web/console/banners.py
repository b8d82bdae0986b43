"""What an admin must know on every page: a connection that does not deliver, and why."""

from collections.abc import Callable, Mapping
from typing import Any

from kustomer_klaviyo.runtime.connection_health import DISK_FULL, problems
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.database import Database


class Alerts:
    """Reads how the connections fare."""

    def __init__(self, database: Database, lacks_space: Callable[[], bool]) -> None:
        self._database = database
        self._lacks_space = lacks_space

    async def all(self) -> list[str]:
        """Return a sentence for whatever somebody must look after."""
        found = [DISK_FULL] if self._lacks_space() else []
        for row in await reports.lanes(self._database):
            found += [f"{row['id']}: {text}" for text in _alerts(row)]
        return found


def _alerts(row: Mapping[str, Any]) -> list[str]:
    if row["paused"]:
        return [f"nothing is sent, and what arrives waits. {row['reason']}", *problems(row)]
    return [*([row["note"]] if row["note"] else []), *problems(row)]
