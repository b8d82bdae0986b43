"""``routes``: which connection sends which brand's conversations, for organisations with several Klaviyo accounts."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import aiohttp
import cyclopts
import msgspec
from cyclopts import Parameter

from kustomer_klaviyo.cli.errors import ExitCode, UsageError
from kustomer_klaviyo.cli.output import print_json, print_line, print_table, table, warning
from kustomer_klaviyo.connections.routing import NONE, Route, Routes, read_routes
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.listings import read_brands
from kustomer_klaviyo.kustomer.wire import as_id
from kustomer_klaviyo.outcomes import Accepted
from kustomer_klaviyo.service import AppContext, open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.store.connections import Connection

routes = cyclopts.App(name="routes", help="Which connection sends which brand's conversations.")

ALL = "all"
EVERY = "every connection of the organisation"


@routes.command
def show(
    organisation: str | None = None, *, json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> int:
    """Print the routes, and the brands without a route.

    Example: kustomer-klaviyo routes show acme

    Parameters
    ----------
    organisation
        The Kustomer subdomain; required if there are several.
    json
        Print JSON for a program.
    """
    connections, brands = asyncio.run(_read(organisation))
    stored = read_routes(connections[0].routes)
    routed = {route.brand for route in stored.routes}
    unrouted = {brand: name for brand, name in (brands or {}).items() if brand not in routed}
    if json:
        print_json(msgspec.to_builtins(stored) | {"brands_without_route": unrouted})
        return ExitCode.DONE
    rows = [((brands or {}).get(route.brand) or route.name or "-", route.brand, route.to) for route in stored.routes]
    rows += [(name, brand, f"{stored.default or EVERY} (no route)") for brand, name in unrouted.items()]
    rows.append(("any other, or none", "-", stored.default or EVERY))
    print_table(table("brand", "id", "goes to", rows=rows))
    if brands is None:
        print_line(warning("Kustomer does not show the brands to this key; only their ids are known."))
    return ExitCode.DONE


@routes.command(name="set")
def set_(organisation: str, /, *brands: str, default: str = ALL) -> int:
    """Replace the routes. Without routes, everything goes to every connection.

    They apply to conversations observed from now on.

    Example: kustomer-klaviyo routes set acme "Acme Kids=acme-kids" "Acme Pro=none" --default acme

    Parameters
    ----------
    organisation
        The Kustomer subdomain.
    brands
        BRAND=CONNECTION or BRAND=none. BRAND is a name or an id.
    default
        Where conversations without a route go: a connection, none, or all.
    """
    asyncio.run(_set(organisation, brands, default))
    return show(organisation)


async def _read(organisation: str | None) -> tuple[list[Connection], dict[str, str] | None]:
    async with open_app(load_settings()) as app:
        connections = await _connections_of(app, organisation)
        return connections, await _brands(connections[0])


async def _connections_of(app: AppContext, organisation: str | None) -> list[Connection]:
    """Return the connections of an organisation, by default of the only one. Raises UsageError."""
    connections = await app.connections.all()
    existing = sorted({connection.organisation for connection in connections})
    wanted = existing[0] if organisation is None and len(existing) == 1 else organisation
    selected = [connection for connection in connections if connection.organisation == wanted]
    if not selected:
        raise UsageError(f"Name a connected organisation. Existing: {', '.join(existing) or 'none'}.")
    return selected


async def _brands(connection: Connection) -> dict[str, str] | None:
    """Return the names of the brands by id; None if Kustomer does not show them."""
    async with aiohttp.ClientSession() as session:
        client = KustomerClient(session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)
        outcome = await client.brands()
    return read_brands(outcome.body) if isinstance(outcome, Accepted) else None


async def _set(organisation: str, arguments: Sequence[str], default: str) -> None:
    async with open_app(load_settings()) as app:
        connections = await _connections_of(app, organisation)
        targets = [connection.id for connection in connections] + [NONE]
        brands = await _brands(connections[0]) or {}
        parsed = tuple(_parse_route(argument, brands, targets) for argument in arguments)
        default_target = None if default == ALL else _target(default, targets)
        await app.connections.save_routes(organisation, msgspec.to_builtins(Routes(parsed, default_target)))


def _parse_route(text: str, brands: dict[str, str], targets: Sequence[str]) -> Route:
    name_or_id, separator, to = text.rpartition("=")
    if not separator:
        raise UsageError(f"A route is BRAND=CONNECTION or BRAND=none, not {text!r}")
    name_or_id = name_or_id.strip()
    matches = [brand for brand, name in brands.items() if name_or_id in (brand, name)]
    if not matches and not brands and as_id(name_or_id):
        matches = [name_or_id]
    if len(matches) != 1:
        existing = ", ".join(f"{name} ({brand})" for brand, name in brands.items()) or "none that this key can read"
        raise UsageError(f"{name_or_id!r} names no single brand. Existing: {existing}.")
    return Route(matches[0], _target(to.strip(), targets), brands.get(matches[0]))


def _target(name: str, targets: Sequence[str]) -> str:
    if name not in targets:
        raise UsageError(f"{name!r} is not a connection of the organisation. Existing: {', '.join(targets)}.")
    return name
