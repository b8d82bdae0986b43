"""``events`` and ``retry``: what became of each event, and sending failed ones again."""

import asyncio
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from kustomer_klaviyo.cli.errors import ExitCode, UsageError
from kustomer_klaviyo.cli.number_ranges import LIMIT
from kustomer_klaviyo.cli.output import body_as_json, print_json, print_line, print_table, table
from kustomer_klaviyo.cli.select_connection import select_connections
from kustomer_klaviyo.connections.context import load_context
from kustomer_klaviyo.planning.resend import ResendResult, resend_failed
from kustomer_klaviyo.reasons import parse_code, sentence
from kustomer_klaviyo.service import AppContext, open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.outbox import DeliveryState
from kustomer_klaviyo.store.reports import Search

Json = Annotated[bool, Parameter(name="--json", negative="")]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Filters:
    """Which events to find."""

    email: str | None = None
    """The email address of the customer, or the one that the event was sent with."""
    customer: str | None = None
    """The Kustomer customer id."""
    conversation: str | None = None
    """The Kustomer conversation id."""
    state: DeliveryState | None = None
    """pending, unidentified (no email or phone yet), delivered, failed, or skipped (by a setting)."""
    connection: str | None = None
    """Only this connection."""
    limit: Annotated[int, LIMIT] = 50
    """The maximum number, newest first."""


NO_FILTERS = Filters()


def events(*, filters: Filters = NO_FILTERS, received: bool = False, json: Json = False) -> int:
    """Find events: what was received, what was sent, Klaviyo's response, and why an event was not sent.

    Example: kustomer-klaviyo events --email ada@lanternpost.example
    Example: kustomer-klaviyo events --state failed --json

    Parameters
    ----------
    received
        With --json: add the webhook as received. It may contain personal data.
    json
        Print JSON for a program.
    """
    documents = [_document(row, received=received) for row in asyncio.run(_search(Search(**asdict(filters))))]
    if json:
        print_json(documents)
    elif not documents:
        print_line("Nothing found.")
    else:
        _print_events(documents)
    return ExitCode.DONE


async def _search(search: Search) -> list[dict[str, Any]]:
    async with open_app(load_settings()) as app:
        await select_connections(app, search.connection)
        deliveries = await reports.deliveries(app.db, search)
        return deliveries + await reports.unprocessed_events(app.db, search)


def _document(row: dict[str, Any], *, received: bool) -> dict[str, Any]:
    document = {name: value for name, value in row.items() if name != "received"}
    detail = row.get("response_detail") if "fact_key" in row else row["note"]
    document |= {"reason": sentence(row["reason"], detail), "reason_code": parse_code(row["reason"])}
    # A note is a text, or the code of the reason that a delivery had before it was sent.
    document["notes"] = [sentence(note) for note in row.get("notes") or () if note != row["reason"]]
    if received:
        document["received"] = body_as_json(row["received"])
    return document


def _print_events(documents: list[dict[str, Any]]) -> None:
    headers = ("occurred", "kind", "sent to", "conversation", "state", "reason / response")
    print_table(table(*headers, rows=map(_event_row, documents)))
    print_line(f"{len(documents)} shown. `--json` shows requests and responses in full, `--received` the webhook.")


def _event_row(row: dict[str, Any]) -> tuple[str, ...]:
    occurred_at = row.get("occurred_at") or row["received_at"]
    response = f"{row['response_status']} {row['response_request_id'] or ''}" if row.get("response_status") else ""
    return (
        f"{occurred_at:%Y-%m-%d %H:%M:%S}",
        row.get("kind") or row["event_name"],
        row.get("identifier") or "-",
        row["conversation_id"] or "-",
        row["state"],
        "; ".join(text for text in (row["reason"], *row["notes"], response.strip()) if text),
    )


def retry(*, connection: str | None = None, key: str | None = None, json: Json = False) -> int:
    """Send failed deliveries and events again.

    Example: kustomer-klaviyo retry --connection acme

    Parameters
    ----------
    connection
        Only this connection; all connections without it.
    key
        Only the delivery with this fact key (see `events --json`).
    json
        Print JSON for a program.
    """
    results = asyncio.run(_retry(connection, key))
    if json:
        counts = {name: {"deliveries": result.deliveries, "events": result.events} for name, result in results.items()}
        print_json(counts)
    else:
        for name, result in results.items():
            print_line(f"{name}: {result.deliveries} deliveries and {result.events} events queued for another attempt.")
    return ExitCode.DONE


async def _retry(connection_id: str | None, fact_key: str | None) -> dict[str, ResendResult]:
    async with open_app(load_settings()) as app:
        connections = await select_connections(app, connection_id)
        if fact_key is not None:
            await _require_failed(app, fact_key, [connection.id for connection in connections])
        return {
            connection.id: await resend_failed(app.db, load_context(connection), fact_key=fact_key)
            for connection in connections
        }


async def _require_failed(app: AppContext, fact_key: str, connection_ids: list[str]) -> None:
    """Raise UsageError unless a delivery with the key failed."""
    states = await reports.states_by_fact_key(app.db, fact_key, connection_ids)
    if not states:
        raise UsageError(f"There is no delivery with the key {fact_key!r}: `events --json` shows the keys.")
    if DeliveryState.FAILED not in states:
        raise UsageError(f"The delivery {fact_key!r} is {states[0]}: only failed deliveries can be sent again.")
