"""The connections at hand in this process, read again when one was saved."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.connections.options import ConnectionOptions, read_options
from kustomer_klaviyo.connections.routing import read_routes
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.health.loop_health import HealthBook, Loop
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.mapping.profile_mapping import read_mapping
from kustomer_klaviyo.store.connections import Connection, Connections

LOOK_AGAIN_SECONDS = 1.0
READ_AGAIN_SECONDS = 3600.0
CATCH_UP_SECONDS = 0.25
"""So often at most strangers make us look; all who come meanwhile share one look."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A connection with its settings read."""

    connection: Connection
    options: ConnectionOptions
    rules: Rules


def joined(connection: Connection) -> Joined:
    """Read a connection's settings. Raises OptionsError.

    What is kept of the past bounds what may be told: a key that is forgotten could be told twice.
    """
    options = read_options(connection.options)
    horizon = max(connection.horizon, datetime.now(UTC) - timedelta(days=options.keep_deliveries_days - 1))
    express = ExpressOptions(
        org=connection.organisation,
        created_metric=options.created_metric,
        closed_metric=options.closed_metric,
        satisfaction_metric=options.satisfaction_metric,
        link_template=options.link_template,
    )
    mapping, routes = read_mapping(options.mapping), read_routes(connection.routes)
    return Joined(connection, options, Rules(options, express, horizon, mapping, connection.id, routes))


class Directory:
    """All connections, kept in memory; a database that is away leaves the last ones standing."""

    def __init__(self, connections: Connections, health: HealthBook) -> None:
        self._connections = connections
        self._health = health
        self._broken: dict[str, Exception] = {}
        self._again_at = 0.0
        self._joined: dict[str, Joined] | None = None
        self._mark: object = None
        self._next_look: asyncio.Task[None] | None = None
        self._looked_at = -CATCH_UP_SECONDS

    @property
    def is_known(self) -> bool:
        """Whether the connections were ever read; until then nobody can be told from a stranger."""
        return self._joined is not None

    def get(self, connection_id: str) -> Joined | None:
        """Return a connection by its id."""
        return None if self._joined is None else self._joined.get(connection_id)

    def put(self, changed: Joined) -> None:
        """Take a connection as it is now."""
        self._joined = (self._joined or {}) | {changed.connection.id: changed}

    def all(self) -> list[Joined]:
        """Return every connection."""
        return list((self._joined or {}).values())

    def is_broken(self, connection_id: str) -> bool:
        """Say whether there is such a connection, and it cannot be read."""
        return connection_id in self._broken

    async def read(self) -> None:
        """Read all connections anew. One that cannot be read stays as it was, if it ever was read."""
        connections, broken = await self._connections.readable()
        found: dict[str, Joined] = {}
        for connection in connections:
            try:
                found[connection.id] = joined(connection)
            except Exception as error:  # noqa: BLE001 - saved by another version of the program, perhaps
                broken[connection.id] = error
        former = self._joined or {}
        self._joined = found | {one: former[one] for one in broken if one in former}
        self._broken = broken
        await self._tell(found)

    async def _tell(self, found: Iterable[str]) -> None:
        waits = [await self._health.of(one).failed(Loop.LOADING, error) for one, error in self._broken.items()]
        self._again_at = time.monotonic() + max(waits, default=0.0)
        for one in found:
            await self._health.of(one).succeeded(Loop.LOADING)

    async def catch_up(self) -> None:
        """Know all that was saved before this moment. Raises what a database raises that is away."""
        if self._next_look is None:
            self._next_look = asyncio.create_task(self._look_soon())
        await asyncio.shield(self._next_look)

    async def _look_soon(self) -> None:
        await asyncio.sleep(max(0.0, self._looked_at + CATCH_UP_SECONDS - time.monotonic()))
        self._next_look = None  # whoever comes from now on may know of something newer
        self._looked_at = time.monotonic()
        await self._look()

    async def _look(self) -> None:
        mark = (*await self._connections.mark(), time.monotonic() // READ_AGAIN_SECONDS)
        is_due = bool(self._broken) and time.monotonic() > self._again_at
        if mark != self._mark or self._joined is None or is_due:
            await self.read()
            self._mark = mark

    async def keep_fresh(self) -> None:
        """Read again whenever a connection was saved; runs until cancelled. Raises what reading raises."""
        while True:
            await self._look()
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
