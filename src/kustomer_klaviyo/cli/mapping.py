"""``mapping``: show and set which attributes go to the Klaviyo profile, and preview a customer."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import cyclopts
from cyclopts import Parameter

from kustomer_klaviyo.cli.errors import ExitCode, UsageError
from kustomer_klaviyo.cli.output import bold, print_json, print_line, print_table, print_text, table, warning
from kustomer_klaviyo.cli.select_connection import select_connection
from kustomer_klaviyo.connections.context import load_context
from kustomer_klaviyo.connections.options import read_options
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.listings import read_custom_attributes
from kustomer_klaviyo.kustomer.wire import as_id
from kustomer_klaviyo.mapping.profile_mapping import (
    LOCATION_ATTRIBUTES,
    STANDARD_ATTRIBUTES,
    MappedEntry,
    parse_mapping,
)
from kustomer_klaviyo.mapping.yaml_file import MappingFileError, read_mapping_file, write_mapping_file
from kustomer_klaviyo.outcomes import Accepted, Refused
from kustomer_klaviyo.planning.preview import Preview, preview_customer
from kustomer_klaviyo.reasons import sentence
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode, VendorAction
from kustomer_klaviyo.setup.vendor_response import accepted_body
from kustomer_klaviyo.store.connections import Connection

Json = Annotated[bool, Parameter(name="--json", negative="")]

mapping = cyclopts.App(name="mapping", help="Which attributes of a customer go to the Klaviyo profile.")


@mapping.command
def show(
    *, connection: str | None = None, available: Annotated[bool, Parameter(negative="")] = False, json: Json = False
) -> int:
    """Print the current mapping as a file to edit.

    Example: kustomer-klaviyo mapping show > mapping.yaml

    Parameters
    ----------
    connection
        The connection; required if there are several.
    available
        List the available attributes instead, including the organisation's own.
    json
        Print JSON for a program.
    """
    if available:
        return asyncio.run(_show_available(connection, json=json))
    connection_ = asyncio.run(_read_connection(connection))
    mapped = parse_mapping(read_options(connection_.options).mapping)
    if json:
        print_json([{"to": entry.target, "from": entry.source, "type": entry.type} for entry in mapped.entries])
    else:
        print_text(write_mapping_file(mapped))
    return ExitCode.DONE


@mapping.command(name="set")
def set_(file: Path, *, connection: str | None = None) -> int:
    """Set the mapping. A file with a mistake changes nothing.

    It applies to every customer who changes from now on.

    Example: kustomer-klaviyo mapping set mapping.yaml

    Parameters
    ----------
    file
        The mapping in YAML; see `mapping show`.
    connection
        The connection; required if there are several.
    """
    document = _read_file(file)
    unknown, count = asyncio.run(_set(connection, document))
    for name in unknown:
        print_line(warning(f"custom.{name}"), ": Kustomer has no such customer attribute; it is not sent")
    print_line(f"The mapping is set: {count} entries. Try it: kustomer-klaviyo mapping preview --customer ID")
    return ExitCode.ATTENTION if unknown else ExitCode.DONE


@mapping.command(name="preview")
def preview_(*, customer: str, file: Path | None = None, connection: str | None = None, json: Json = False) -> int:
    """Show what would be sent for one customer. Nothing is sent.

    Example: kustomer-klaviyo mapping preview --customer 5f19aa0b1c2d3e4f5a6b7c8d --file mapping.yaml

    Parameters
    ----------
    customer
        The Kustomer customer id.
    file
        A mapping to try instead of the current one.
    connection
        The connection; required if there are several.
    json
        Print JSON for a program.
    """
    if as_id(customer) is None:
        raise UsageError("--customer must be a Kustomer customer id")
    preview = asyncio.run(_preview(connection, customer, None if file is None else _read_file(file)))
    if json:
        print_json(_preview_document(preview))
    else:
        _print_preview(preview)
    return ExitCode.ATTENTION if preview.customer.masked else ExitCode.DONE


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return read_mapping_file(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    except MappingFileError as error:
        raise MappingFileError(f"{file}, {error}") from error


async def _read_connection(name: str | None) -> Connection:
    async with open_app(load_settings()) as app:
        return await select_connection(app, name)


async def _show_available(name: str | None, *, json: bool) -> int:
    connection = await _read_connection(name)
    async with aiohttp.ClientSession() as session:
        custom = await _custom_attributes(_client(session, connection))
    standard = [*STANDARD_ATTRIBUTES, *(f"location.{name}" for name in LOCATION_ATTRIBUTES)]
    if json:
        print_json(
            {"standard": standard, "custom": {f"custom.{name}": title for name, title in (custom or {}).items()}}
        )
    else:
        for attribute in standard:
            print_line(attribute)
        for name_, title in sorted((custom or {}).items()):
            print_line(f"custom.{name_}" + ("" if title == name_ else f" ({title})"))
        if custom is None:
            print_line(warning("Kustomer does not show the organisation's own attributes to this key."))
    return ExitCode.DONE


def _client(session: aiohttp.ClientSession, connection: Connection) -> KustomerClient:
    return KustomerClient(session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)


async def _custom_attributes(client: KustomerClient) -> dict[str, str] | None:
    """Return the organisation's own attributes; None if Kustomer does not show them."""
    outcome = await client.customer_metadata()
    return read_custom_attributes(outcome.body) if isinstance(outcome, Accepted) else None


async def _set(name: str | None, document: dict[str, Any]) -> tuple[list[str], int]:
    async with open_app(load_settings()) as app, aiohttp.ClientSession() as session:
        connection = await select_connection(app, name)
        read_options(connection.options | {"mapping": document})
        custom = await _custom_attributes(_client(session, connection))
        await app.connections.update(
            connection.id, lambda now: replace(now, options=now.options | {"mapping": document})
        )
        entries = parse_mapping(document).entries
        mapped = sorted({entry.source[7:] for entry in entries if entry.source.startswith("custom.")})
        return [] if custom is None else [name for name in mapped if name not in custom], len(entries)


async def _preview(name: str | None, customer_id: str, document: dict[str, Any] | None) -> Preview:
    async with open_app(load_settings()) as app, aiohttp.ClientSession() as session:
        connection = await select_connection(app, name)
        if document is not None:
            connection = replace(connection, options=connection.options | {"mapping": document})
        outcome = await _client(session, connection).customer(customer_id)
        if isinstance(outcome, Refused) and outcome.status == 404:
            raise UsageError(f"Kustomer has no customer {customer_id} (deleted, or merged into another).")
        body = accepted_body(outcome, VendorAction.READ_CUSTOMER)
        try:
            return await preview_customer(app.db, load_context(connection), body)
        except ValueError as error:
            raise SetupError(SetupErrorCode.PREVIEW_FAILED, detail=str(error)) from error


def _preview_document(preview: Preview) -> dict[str, Any]:
    return {
        "customer": preview.customer.customer_id,
        "email": preview.customer.email,
        "phone": preview.customer.phone,
        "entries": [
            {
                "to": result.entry.target,
                "from": result.entry.source,
                "type": result.entry.type,
                "value": result.value,
                "note": result.note,
            }
            for result in preview.entries
        ],
        "notes": preview.customer.notes,
        "masked": preview.customer.masked,
        "would_send": preview.body,
        "reason": sentence(preview.reason),
        "reason_code": preview.reason,
    }


def _print_preview(preview: Preview) -> None:
    customer = preview.customer
    print_line(bold(customer.customer_id), f": email {customer.email or '-'}, phone {customer.phone or '-'}")
    rows = (
        (result.entry.target, result.entry.source, result.entry.type, _formatted_value(result))
        for result in preview.entries
    )
    print_table(table("Klaviyo", "Kustomer", "type", "value", rows=rows))
    for note in customer.notes:
        print_line("  ", warning(note))
    if customer.masked:
        names = ", ".join(customer.masked)
        print_line("  ", warning(f"masked: {names}. Use a Kustomer key that may read sensitive values."))
    if preview.body is None:
        print_line(f"Would send nothing: {sentence(preview.reason)}")
    else:
        print_line("Would send:")
        print_json(preview.body)


def _formatted_value(entry: MappedEntry) -> str:
    if entry.note is not None:
        return entry.note
    return "-" if entry.value is None else str(entry.value)
