"""Selects the connections that a command is about."""

from collections.abc import Sequence

from kustomer_klaviyo.cli.errors import UsageError
from kustomer_klaviyo.service import AppContext
from kustomer_klaviyo.store.connections import Connection


async def select_connections(app: AppContext, name: str | None) -> list[Connection]:
    """Return the connection of that name, or all. Raises UsageError if there is none of that name."""
    connections = await app.connections.all()
    selected = [connection for connection in connections if name in (None, connection.id)]
    if not selected and name is not None:
        raise UsageError(f"There is no connection {name!r}. Existing connections: {_connection_names(connections)}.")
    return selected


async def select_connection(app: AppContext, name: str | None) -> Connection:
    """Return the connection of that name, or the only one. Raises UsageError."""
    selected = await select_connections(app, name)
    if not selected:
        raise UsageError("There is no connection yet; create one with `kustomer-klaviyo connect`.")
    if len(selected) > 1:
        raise UsageError(f"Name the connection: --connection NAME. Existing: {_connection_names(selected)}.")
    return selected[0]


def _connection_names(connections: Sequence[Connection]) -> str:
    return ", ".join(connection.id for connection in connections) or "none"
