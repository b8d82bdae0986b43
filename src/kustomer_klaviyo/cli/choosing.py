"""Which connection a command is about."""

from kustomer_klaviyo.cli.failures import UsageError
from kustomer_klaviyo.service import House
from kustomer_klaviyo.store.connections import Connection


async def chosen(home: House, name: str | None) -> list[Connection]:
    """Return the connection named, or all. Raises UsageError when there is none of that name."""
    connections = await home.connections.all()
    found = [one for one in connections if name in (None, one.id)]
    if not found and name is not None:
        raise UsageError(f"There is no connection {name!r}. There are: {_names(connections)}.")
    return found


async def chosen_one(home: House, name: str | None) -> Connection:
    """Return the connection named, or the only one there is. Raises UsageError."""
    found = await chosen(home, name)
    if not found:
        raise UsageError("There is no connection yet; make one with `kustomer-klaviyo connect`.")
    if len(found) > 1:
        raise UsageError(f"Say which connection: --connection NAME. There are: {_names(found)}.")
    return found[0]


def _names(connections: list[Connection]) -> str:
    return ", ".join(one.id for one in connections) or "none"
