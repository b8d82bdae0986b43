"""Alerts shown on every page: connections that do not deliver, and why."""

from collections.abc import Callable, Mapping
from typing import Any

from kustomer_klaviyo.reasons import sentence
from kustomer_klaviyo.runtime.connection_health import DISK_FULL, problems
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.database import Database


class Alerts:
    """Reads what needs an admin's attention."""

    def __init__(self, db: Database, is_disk_full: Callable[[], bool]) -> None:
        self._db = db
        self._is_disk_full = is_disk_full

    async def all(self) -> list[str]:
        """Return the alerts of all connections, as sentences."""
        alerts = [DISK_FULL] if self._is_disk_full() else []
        for row in await reports.health(self._db):
            alerts += [f"{row['id']}: {text}" for text in _connection_alerts(row)]
        return alerts


def _connection_alerts(row: Mapping[str, Any]) -> list[str]:
    if row["paused"]:
        reason = sentence(row["hold_reason"], row["hold_detail"])
        return [f"deliveries are paused, and new events wait. {reason}", *problems(row)]
    note = sentence(row["note"])
    return [*([note] if note else []), *problems(row)]
