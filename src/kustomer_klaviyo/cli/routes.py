"""``routes``: where an organisation's conversations go, by their brand, when it has several Klaviyo accounts."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import aiohttp
import cyclopts
import msgspec
from cyclopts import Parameter

from kustomer_klaviyo.cli.failures import ExitCode, UsageError
from kustomer_klaviyo.cli.output import print_json, say, table, warning
from kustomer_klaviyo.cli.output import show as show_table
from kustomer_klaviyo.connections.routing import NONE, Route, Routes, read_routes
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.listings import read_brands
from kustomer_klaviyo.kustomer.wire import as_id
from kustomer_klaviyo.outcomes import Accepted
from kustomer_klaviyo.service import House, house
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.store.connections import Connection

routes = cyclopts.App(name="routes", help="Where an organisation's conversations go, by their brand.")

ALL = "all"
EVERY = "every connection of the organisation"


@routes.command
def show(
    organisation: str | None = None, *, json: Annotated[bool, Parameter(name="--json", negative="")] = False
) -> int:
    """Print the rules, and the brands that have none.

    Example: kustomer-klaviyo routes show acme

    Parameters
    ----------
    organisation
        The Kustomer subdomain; needed when there are several.
    json
        Print JSON for a program.
    """
    connections, brands = asyncio.run(_read(organisation))
    rules = read_routes(connections[0].routes)
    ruled = {one.brand for one in rules.rules}
    if json:
        left = {brand: name for brand, name in (brands or {}).items() if brand not in ruled}
        print_json(msgspec.to_builtins(rules) | {"brands_without_rule": left})
        return ExitCode.DONE
    rows = [((brands or {}).get(one.brand) or one.name or "-", one.brand, one.to) for one in rules.rules]
    unruled = {brand: name for brand, name in (brands or {}).items() if brand not in ruled}
    rows += [(name, brand, f"{rules.default or EVERY} (no rule)") for brand, name in unruled.items()]
    rows.append(("any other, or none", "-", rules.default or EVERY))
    show_table(table("brand", "id", "goes to", rows=rows))
    if brands is None:
        say(warning("Kustomer does not show the brands to this key; brands are known by their ids alone."))
    return ExitCode.DONE


@routes.command(name="set")
def set_(organisation: str, /, *rules: str, default: str = ALL) -> int:
    """Put rules in force in place of the former ones; without any, everything goes to every connection.

    They hold for conversations seen from now on.

    Example: kustomer-klaviyo routes set acme "Acme Kids=acme-kids" "Acme Pro=none" --default acme

    Parameters
    ----------
    organisation
        The Kustomer subdomain.
    rules
        BRAND=CONNECTION or BRAND=none, the brand by its name or id.
    default
        Where conversations without a rule go: a connection, none, or all.
    """
    asyncio.run(_set(organisation, rules, default))
    return show(organisation)


async def _read(organisation: str | None) -> tuple[list[Connection], dict[str, str] | None]:
    async with house(load_settings()) as home:
        connections = await _of(home, organisation)
        return connections, await _brands(connections[0])


async def _of(home: House, organisation: str | None) -> list[Connection]:
    """Return the connections of an organisation, or of the only one there is. Raises UsageError."""
    connections = await home.connections.all()
    there = sorted({one.organisation for one in connections})
    wanted = there[0] if organisation is None and len(there) == 1 else organisation
    found = [one for one in connections if one.organisation == wanted]
    if not found:
        raise UsageError(f"Name an organisation that is connected. There are: {', '.join(there) or 'none'}.")
    return found


async def _brands(connection: Connection) -> dict[str, str] | None:
    """Return the names of the brands by their ids; None when Kustomer does not tell."""
    async with aiohttp.ClientSession() as session:
        client = KustomerClient(session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)
        outcome = await client.brands()
    return read_brands(outcome.body) if isinstance(outcome, Accepted) else None


async def _set(organisation: str, rules: Sequence[str], default: str) -> None:
    async with house(load_settings()) as home:
        connections = await _of(home, organisation)
        targets = [one.id for one in connections] + [NONE]
        brands = await _brands(connections[0]) or {}
        made = Routes(
            tuple(_rule(rule, brands, targets) for rule in rules), None if default == ALL else _to(default, targets)
        )
        await home.connections.save_routes(organisation, msgspec.to_builtins(made))


def _rule(text: str, brands: dict[str, str], targets: Sequence[str]) -> Route:
    named, separator, to = text.rpartition("=")
    if not separator:
        raise UsageError(f"A rule is BRAND=CONNECTION or BRAND=none, not {text!r}")
    named = named.strip()
    found = [brand for brand, name in brands.items() if named in (brand, name)]
    if not found and not brands and as_id(named):
        found = [named]
    if len(found) != 1:
        there = ", ".join(f"{name} ({brand})" for brand, name in brands.items()) or "none that this key may see"
        raise UsageError(f"Which brand is {named!r}? There are: {there}.")
    return Route(found[0], _to(to.strip(), targets), brands.get(found[0]))


def _to(name: str, targets: Sequence[str]) -> str:
    if name not in targets:
        raise UsageError(f"{name!r} is none of the organisation's connections. There are: {', '.join(targets)}.")
    return name
