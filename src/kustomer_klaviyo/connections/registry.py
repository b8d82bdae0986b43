"""The connections in memory, reloaded when one is saved."""

import asyncio
import time
from collections.abc import Iterable

from kustomer_klaviyo.connections.context import ConnectionContext, load_context
from kustomer_klaviyo.health.loop_health import HealthRegistry, Loop
from kustomer_klaviyo.store.connections import Connections

POLL_SECONDS = 1.0
RELOAD_SECONDS = 3600.0
CATCH_UP_SECONDS = 0.25
"""Unknown connections cause at most one database query in this time; concurrent requests share it."""


class ConnectionRegistry:
    """All connections, in memory. While the database is unavailable, the last loaded ones stay in use."""

    def __init__(self, connections: Connections, health: HealthRegistry) -> None:
        self._connections = connections
        self._health = health
        self._contexts: dict[str, ConnectionContext] | None = None
        self._load_errors: dict[str, Exception] = {}
        self._retry_at = 0.0
        self._version: object = None
        self.load_count = 0
        """How often connections were loaded: it changes whenever one may have changed."""
        self._next_refresh: asyncio.Task[None] | None = None
        self._refreshed_at = -CATCH_UP_SECONDS

    @property
    def is_loaded(self) -> bool:
        """Whether the connections were ever loaded; before that, an unknown connection may be a valid one."""
        return self._contexts is not None

    def get(self, connection_id: str) -> ConnectionContext | None:
        """Return a connection by its id."""
        return None if self._contexts is None else self._contexts.get(connection_id)

    def put(self, context: ConnectionContext) -> None:
        """Replace one connection."""
        self._contexts = (self._contexts or {}) | {context.connection.id: context}

    def all(self) -> list[ConnectionContext]:
        """Return every connection."""
        return list((self._contexts or {}).values())

    def failed_to_load(self, connection_id: str) -> bool:
        """Return whether the connection exists but could not be loaded."""
        return connection_id in self._load_errors

    async def load(self) -> None:
        """Load all connections. One that fails to load keeps its previous state, if it has one."""
        connections, errors = await self._connections.load_all()
        loaded: dict[str, ConnectionContext] = {}
        for connection in connections:
            try:
                loaded[connection.id] = load_context(connection)
            except Exception as error:  # noqa: BLE001 - another version of the program may have saved it
                errors[connection.id] = error
        previous = self._contexts or {}
        self._contexts = loaded | {failed: previous[failed] for failed in errors if failed in previous}
        self._load_errors = errors
        self.load_count += 1
        await self._report_health(loaded)

    async def _report_health(self, loaded: Iterable[str]) -> None:
        errors = self._load_errors.items()
        waits = [
            await self._health.of(connection_id).record_failure(Loop.LOADING, error) for connection_id, error in errors
        ]
        self._retry_at = time.monotonic() + max(waits, default=0.0)
        await self._health.record_successes(loaded, Loop.LOADING)

    async def catch_up(self) -> None:
        """Load everything saved before this moment. Raises UNAVAILABLE_ERRORS."""
        if self._next_refresh is None:
            self._next_refresh = asyncio.create_task(self._refresh_soon())
        await asyncio.shield(self._next_refresh)

    async def _refresh_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._refreshed_at + CATCH_UP_SECONDS - time.monotonic()))
        self._next_refresh = None  # later callers may need a newer save: they get a refresh of their own
        self._refreshed_at = time.monotonic()
        await self._refresh()

    async def _refresh(self) -> None:
        version = (*await self._connections.version(), time.monotonic() // RELOAD_SECONDS)
        should_retry = bool(self._load_errors) and time.monotonic() > self._retry_at
        if version != self._version or self._contexts is None or should_retry:
            await self.load()
            self._version = version

    async def refresh_forever(self) -> None:
        """Reload whenever a connection is saved, until cancelled. Raises what loading raises."""
        while True:
            await self._refresh()
            await asyncio.sleep(POLL_SECONDS)
