"""``mapping``: what of a Kustomer customer goes to their Klaviyo profile: shown, set, and tried on a real customer."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import cyclopts
from cyclopts import Parameter

from kustomer_klaviyo.cli.choosing import chosen_one
from kustomer_klaviyo.cli.failures import ExitCode, UsageError
from kustomer_klaviyo.cli.output import bold, print_json, print_text, say, table, warning
from kustomer_klaviyo.cli.output import show as show_table
from kustomer_klaviyo.connections.options import read_options
from kustomer_klaviyo.connections.registry import joined
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.listings import read_custom_attributes
from kustomer_klaviyo.kustomer.wire import as_id
from kustomer_klaviyo.mapping.profile_mapping import LOCATION, STANDARD, Line, read_mapping
from kustomer_klaviyo.mapping.yaml_file import MappingFileError, read_mapping_file, write_mapping_file
from kustomer_klaviyo.outcomes import Accepted, Refused
from kustomer_klaviyo.planning.preview import Preview, preview
from kustomer_klaviyo.service import house
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.setup.credentials import SetupError, answer_of
from kustomer_klaviyo.store.connections import Connection

Json = Annotated[bool, Parameter(name="--json", negative="")]

mapping = cyclopts.App(name="mapping", help="What of a Kustomer customer goes to their Klaviyo profile.")


@mapping.command
def show(
    *, connection: str | None = None, available: Annotated[bool, Parameter(negative="")] = False, json: Json = False
) -> int:
    """Print the mapping in force, as a file to edit and set.

    Example: kustomer-klaviyo mapping show > mapping.yaml

    Parameters
    ----------
    connection
        Whose; needed when there are several.
    available
        List the attributes there are instead, the organisation's own among them.
    json
        Print JSON for a program.
    """
    if available:
        return asyncio.run(_show_available(connection, json=json))
    found = asyncio.run(_connection(connection))
    mapped = read_mapping(read_options(found.options).mapping)
    if json:
        print_json([{"to": one.target, "from": one.source, "type": one.type} for one in mapped.entries])
    else:
        print_text(write_mapping_file(mapped))
    return ExitCode.DONE


@mapping.command(name="set")
def set_(file: Path, *, connection: str | None = None) -> int:
    """Put a mapping in force; one with a mistake changes nothing.

    It holds for every customer who changes from now on.

    Example: kustomer-klaviyo mapping set mapping.yaml

    Parameters
    ----------
    file
        The mapping in YAML; see `mapping show`.
    connection
        Whose; needed when there are several.
    """
    document = _read_file(file)
    unknown, count = asyncio.run(_set(connection, document))
    for name in unknown:
        say(warning(f"custom.{name}"), ": Kustomer has no such attribute of customers now; nothing comes of it")
    say(f"The mapping is in force: {count} lines. Try it: kustomer-klaviyo mapping preview --customer ID")
    return ExitCode.ATTENTION if unknown else ExitCode.DONE


@mapping.command(name="preview")
def preview_(*, customer: str, file: Path | None = None, connection: str | None = None, json: Json = False) -> int:
    """Show what would be sent of one customer, and why; nothing is sent.

    Example: kustomer-klaviyo mapping preview --customer 5f19aa0b1c2d3e4f5a6b7c8d --file mapping.yaml

    Parameters
    ----------
    customer
        The Kustomer customer id.
    file
        A mapping to try instead of the one in force.
    connection
        Whose; needed when there are several.
    json
        Print JSON for a program.
    """
    if as_id(customer) is None:
        raise UsageError("--customer wants a Kustomer customer id")
    found = asyncio.run(_preview(connection, customer, None if file is None else _read_file(file)))
    if json:
        print_json(_document(found))
    else:
        _print(found)
    return ExitCode.ATTENTION if found.person.masked else ExitCode.DONE


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return read_mapping_file(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    except MappingFileError as error:
        raise MappingFileError(f"{file}, {error}") from error


async def _connection(name: str | None) -> Connection:
    async with house(load_settings()) as home:
        return await chosen_one(home, name)


async def _show_available(name: str | None, *, json: bool) -> int:
    found = await _connection(name)
    async with aiohttp.ClientSession() as session:
        own = await _own_attributes(_client(session, found))
    standard = [*STANDARD, *(f"location.{one}" for one in LOCATION)]
    if json:
        print_json({"standard": standard, "custom": {f"custom.{name}": title for name, title in (own or {}).items()}})
    else:
        for one in standard:
            say(one)
        for name_, title in sorted((own or {}).items()):
            say(f"custom.{name_}" + ("" if title == name_ else f" ({title})"))
        if own is None:
            say(warning("Kustomer does not show the organisation's own attributes to this key."))
    return ExitCode.DONE


def _client(session: aiohttp.ClientSession, found: Connection) -> KustomerClient:
    return KustomerClient(session, base_url=found.kustomer_url, key=found.secrets.kustomer_key)


async def _own_attributes(client: KustomerClient) -> dict[str, str] | None:
    """Return the organisation's own attributes; None when Kustomer does not tell."""
    outcome = await client.customer_metadata()
    return read_custom_attributes(outcome.body) if isinstance(outcome, Accepted) else None


async def _set(name: str | None, document: dict[str, Any]) -> tuple[list[str], int]:
    async with house(load_settings()) as home, aiohttp.ClientSession() as session:
        found = await chosen_one(home, name)
        read_options(found.options | {"mapping": document})
        own = await _own_attributes(_client(session, found))
        await home.connections.change(found.id, lambda now: replace(now, options=now.options | {"mapping": document}))
        entries = read_mapping(document).entries
        wanted = sorted({one.source[7:] for one in entries if one.source.startswith("custom.")})
        return [] if own is None else [one for one in wanted if one not in own], len(entries)


async def _preview(name: str | None, customer_id: str, document: dict[str, Any] | None) -> Preview:
    async with house(load_settings()) as home, aiohttp.ClientSession() as session:
        found = await chosen_one(home, name)
        if document is not None:
            found = replace(found, options=found.options | {"mapping": document})
        outcome = await _client(session, found).customer(customer_id)
        if isinstance(outcome, Refused) and outcome.status == 404:
            raise UsageError(f"Kustomer has no customer {customer_id} (deleted, or merged into another).")
        answer_of(outcome, asking="Reading the customer")
        assert isinstance(outcome, Accepted)  # noqa: S101 - answer_of raises otherwise
        try:
            return await preview(home.database, joined(found), outcome.body)
        except ValueError as error:
            raise SetupError(str(error)) from error


def _document(found: Preview) -> dict[str, Any]:
    return {
        "customer": found.person.customer_id,
        "email": found.person.email,
        "phone": found.person.phone,
        "lines": [
            {
                "to": line.entry.target,
                "from": line.entry.source,
                "type": line.entry.type,
                "value": line.value,
                "why_not": line.why,
            }
            for line in found.lines
        ],
        "notes": found.person.notes,
        "masked": found.person.masked,
        "would_send": found.body,
        "why_not": found.why,
    }


def _print(found: Preview) -> None:
    person = found.person
    say(bold(person.customer_id), f": email {person.email or '-'}, phone {person.phone or '-'}")
    rows = ((one.entry.target, one.entry.source, one.entry.type, _value(one)) for one in found.lines)
    show_table(table("Klaviyo", "Kustomer", "type", "value", rows=rows))
    for note in person.notes:
        say("  ", warning(note))
    if person.masked:
        names = ", ".join(person.masked)
        say("  ", warning(f"masked: {names}. Make a Kustomer key that may read sensitive values."))
    if found.body is None:
        say(f"Would send {found.why}")
    else:
        say("Would send:")
        print_json(found.body)


def _value(line: Line) -> str:
    if line.why is not None:
        return line.why
    return "-" if line.value is None else str(line.value)
