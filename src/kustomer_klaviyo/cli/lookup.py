"""``status``, ``events`` and ``retry``: how things stand, what became of an event, and sending again."""

import asyncio
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from kustomer_klaviyo.cli.choosing import chosen
from kustomer_klaviyo.cli.failures import ExitCode, UsageError
from kustomer_klaviyo.cli.numbers import LIMIT
from kustomer_klaviyo.cli.output import ago, bold, print_json, received_body, say, show, table, warning
from kustomer_klaviyo.connections.registry import joined
from kustomer_klaviyo.planning.resend import SentAgain, send_again
from kustomer_klaviyo.reasons import code, sentence
from kustomer_klaviyo.runtime.connection_health import DISK_FULL, problems, status_of
from kustomer_klaviyo.service import House, house, lacks_space
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.reports import Search

MASKED_HELP = (
    "The Kustomer key lacks the permission to read sensitive data: give its user a role with Read Sensitive for "
    "these attributes (Settings > Users > Roles), or leave them out of the mapping."
)

StateName = Literal["waiting", "unidentified", "delivered", "failed", "skipped"]
Json = Annotated[bool, Parameter(name="--json", negative="")]


def status(*, json: Json = False) -> int:
    """Show how each connection stands: delivering, waiting or paused, and what it owes.

    Example: kustomer-klaviyo status

    Exits 1 when a connection is paused, something was set aside as failed, or a key needs replacing.

    Parameters
    ----------
    json
        Print JSON for a program.
    """
    rows = asyncio.run(_status())
    documents = [_status_document(row) for row in rows]
    if json:
        print_json(documents)
    elif not documents:
        say("No connection yet. Make one with: kustomer-klaviyo connect --help")
    else:
        for document in documents:
            _print_status(document)
    return ExitCode.ATTENTION if any(map(_needs_attention, rows)) else ExitCode.DONE


async def _status() -> list[dict[str, Any]]:
    async with house(load_settings()) as home:
        is_full = lacks_space(home.settings)
        return [row | {"disk_full": is_full} for row in await reports.status(home.database)]


def _needs_attention(row: dict[str, Any]) -> bool:
    return bool(
        row["paused"]
        or row["note"]
        or row["disk_full"]
        or problems(row)
        or row["lookups_failed"]
        or _count(row, "failed")
        or row["inbox_failed"]
    )


def _count(row: dict[str, Any], state: str) -> int:
    return int(row["deliveries"].get(state, 0) + row["profiles"].get(state, 0))


def _status_document(row: dict[str, Any]) -> dict[str, Any]:
    return {"connection": row["id"], "health": status_of(row)} | {k: v for k, v in row.items() if k != "id"}


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none yet"


def _print_status(row: dict[str, Any]) -> None:
    tallies = row["tallies"]
    say(bold(row["connection"]), f": {row['organisation']} -> Klaviyo {row['klaviyo_account'] or '?'}")
    say(f"  {row['health']}" + (f": {row['reason']}" if row["reason"] else ""))
    for problem in [*([DISK_FULL] if row["disk_full"] else []), *problems(row)]:
        say("  ", (problem, "red"))
    if row["note"]:
        say("  ", warning(row["note"]))
    say(f"  events: {_counts(row['deliveries'])}; last accepted by Klaviyo {ago(row['last_accepted_at'])}")
    say(f"  profile writes: {_counts(row['profiles'])}")
    say(
        f"  webhooks: {tallies.get('received', 0)} received, {tallies.get('nothing new', 0)} told nothing new, "
        f"{tallies.get('bad signature', 0)} with a wrong signature; {row['inbox_waiting']} wait to be understood"
    )
    if row["oldest_waiting"]:
        say(f"  the oldest waiting delivery was told {ago(row['oldest_waiting'])}")
    if row["lookups"]:
        say(
            f"  questions to Kustomer: {row['lookups']}, {row['lookups_failed']} of them failed"
            + (f" ({row['lookup_note']})" if row["lookup_note"] else "")
        )
    if row["masked"]:
        masked = ", ".join(f"{name} ({n} customers)" for name, n in sorted(row["masked"].items()))
        say("  ", warning(f"masked by Kustomer, so not sent: {masked}"))
        say("  ", warning(MASKED_HELP))
    if _count(row, "failed") or row["inbox_failed"]:
        say("  set aside: look with `kustomer-klaviyo events --state failed`, send with `... retry`")


def events(
    *,
    email: str | None = None,
    customer: str | None = None,
    conversation: str | None = None,
    state: StateName | None = None,
    connection: str | None = None,
    limit: Annotated[int, LIMIT] = 50,
    received: bool = False,
    json: Json = False,
) -> int:
    """Look events up: what was received, what was sent, what Klaviyo answered, and why if it was not sent.

    Example: kustomer-klaviyo events --email ada@lanternpost.example
    Example: kustomer-klaviyo events --state failed --json

    Parameters
    ----------
    email
        The address the event was sent to, or of the customer.
    customer
        The Kustomer customer id.
    conversation
        The Kustomer conversation id.
    state
        waiting, unidentified (no email or phone yet), delivered, failed (set aside), skipped (by a setting).
    connection
        Only this connection's.
    limit
        At most so many, the newest first.
    received
        With --json: add the webhook as it was received. It may hold personal data.
    json
        Print JSON for a program.
    """
    search = Search(
        connection=connection, email=email, customer=customer, conversation=conversation, state=state, limit=limit
    )
    found = [_event_document(row, received=received) for row in asyncio.run(_events(search))]
    if json:
        print_json(found)
    elif not found:
        say("Nothing found.")
    else:
        _print_events(found)
    return ExitCode.DONE


async def _events(search: Search) -> list[dict[str, Any]]:
    async with house(load_settings()) as home:
        await chosen(home, search.connection)
        deliveries = await reports.events(home.database, search)
        return deliveries + await reports.not_understood(home.database, search)


def _event_document(row: dict[str, Any], *, received: bool) -> dict[str, Any]:
    document = {name: value for name, value in row.items() if name != "received"}
    document |= {"reason": sentence(row["reason"]), "reason_code": code(row["reason"])}
    if received:
        document["received"] = received_body(row["received"])
    return document


def _print_events(found: list[dict[str, Any]]) -> None:
    show(table("happened", "what", "to", "conversation", "state", "why / answer", rows=map(_event_row, found)))
    say(f"{len(found)} shown. `--json` shows what was sent and answered in full, `--received` the webhook.")


def _event_row(row: dict[str, Any]) -> tuple[str, ...]:
    happened = row.get("occurred_at") or row["received_at"]
    answer = f"{row['answer_status']} {row['answer_request_id'] or ''}" if row.get("answer_status") else ""
    return (
        f"{happened:%Y-%m-%d %H:%M:%S}",
        row.get("kind") or row["event_name"],
        row.get("identifier") or "-",
        row["conversation_id"] or "-",
        row["state"],
        "; ".join(text for text in (row["reason"], *(row.get("notes") or ()), answer.strip()) if text),
    )


def retry(*, connection: str | None = None, key: str | None = None, json: Json = False) -> int:
    """Send again what was set aside as failed.

    Example: kustomer-klaviyo retry --connection acme

    Parameters
    ----------
    connection
        Only this connection's; without it, every connection's.
    key
        Only the delivery with this key (see `events --json`).
    json
        Print JSON for a program.
    """
    results = asyncio.run(_retry(connection, key))
    if json:
        print_json({name: {"deliveries": moved.deliveries, "events": moved.events} for name, moved in results.items()})
    else:
        for name, moved in results.items():
            say(f"{name}: {moved.deliveries} deliveries and {moved.events} events go on their way again.")
    return ExitCode.DONE


async def _retry(connection_id: str | None, key: str | None) -> dict[str, SentAgain]:
    async with house(load_settings()) as home:
        found = await chosen(home, connection_id)
        if key is not None:
            await _find(home, key, [one.id for one in found])
        return {connection.id: await send_again(home.database, joined(connection), key=key) for connection in found}


async def _find(home: House, key: str, connection_ids: list[str]) -> None:
    """Raise UsageError unless a delivery with the key failed."""
    states = await reports.states_of(home.database, key, connection_ids)
    if not states:
        raise UsageError(f"There is no delivery with the key {key!r}: `events --json` shows the keys.")
    if "failed" not in states:
        raise UsageError(f"The delivery {key!r} is {states[0]}: only what failed can be sent again.")
