"""``status``: the health of each connection, its queues and what it received."""

import asyncio
from typing import Annotated, Any

from cyclopts import Parameter

from kustomer_klaviyo.cli.errors import ExitCode
from kustomer_klaviyo.cli.output import bold, format_ago, print_json, print_line, warning
from kustomer_klaviyo.reasons import sentence
from kustomer_klaviyo.runtime.connection_health import DISK_FULL, health_status, problems
from kustomer_klaviyo.service import is_disk_full, open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.outbox import DeliveryState

MASKED_HELP = (
    "The Kustomer key lacks the permission to read sensitive data: give its user a role with Read Sensitive for "
    "these attributes (Settings > Users > Roles), or remove them from the mapping."
)


def status(*, json: Annotated[bool, Parameter(name="--json", negative="")] = False) -> int:
    """Show the health of each connection: delivering, waiting, failing or paused, and its queues.

    Example: kustomer-klaviyo status

    Exits 1 when a connection is paused, something failed, or a key needs replacing.

    Parameters
    ----------
    json
        Print JSON for a program.
    """
    rows = asyncio.run(_read_rows())
    documents = [_document(row) for row in rows]
    if json:
        print_json(documents)
    elif not documents:
        print_line("No connection yet. Create one with: kustomer-klaviyo connect --help")
    else:
        for document in documents:
            _print_connection(document)
    return ExitCode.ATTENTION if any(map(_needs_attention, rows)) else ExitCode.DONE


async def _read_rows() -> list[dict[str, Any]]:
    async with open_app(load_settings()) as app:
        is_full = is_disk_full(app.settings)
        return [row | {"disk_full": is_full} for row in await reports.status(app.db)]


def _needs_attention(row: dict[str, Any]) -> bool:
    return bool(
        row["paused"]
        or row["note"]
        or row["disk_full"]
        or problems(row)
        or row["lookups_failed"]
        or _count(row, DeliveryState.FAILED)
        or row["inbox_failed"]
    )


def _count(row: dict[str, Any], state: DeliveryState) -> int:
    return int(row["deliveries"].get(state, 0) + row["profiles"].get(state, 0))


def _document(row: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in row.items() if name not in ("id", "hold_reason", "hold_detail")}
    hold = sentence(row["hold_reason"], row["hold_detail"])
    head = {"connection": row["id"], "health": health_status(row), "reason": hold, "reason_code": row["hold_reason"]}
    return head | rest


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none yet"


def _print_connection(row: dict[str, Any]) -> None:
    print_line(bold(row["connection"]), f": {row['organisation']} -> Klaviyo {row['klaviyo_account'] or '?'}")
    print_line(f"  {row['health']}" + (f": {row['reason']}" if row["reason"] else ""))
    for problem in [*([DISK_FULL] if row["disk_full"] else []), *problems(row)]:
        print_line("  ", (problem, "red"))
    if row["note"]:
        print_line("  ", warning(sentence(row["note"])))
    _print_queues(row)
    if row["masked"]:
        masked = ", ".join(f"{name} ({count} customers)" for name, count in sorted(row["masked"].items()))
        print_line("  ", warning(f"masked by Kustomer, so not sent: {masked}"))
        print_line("  ", warning(MASKED_HELP))
    if _count(row, DeliveryState.FAILED) or row["inbox_failed"]:
        print_line("  failed: list with `kustomer-klaviyo events --state failed`, send again with `... retry`")


def _print_queues(row: dict[str, Any]) -> None:
    counters = row["counters"]
    print_line(
        f"  events: {_counts(row['deliveries'])}; last accepted by Klaviyo {format_ago(row['last_accepted_at'])}"
    )
    print_line(f"  profile updates: {_counts(row['profiles'])}")
    print_line(
        f"  webhooks: {counters.get('received', 0)} received, {counters.get('unchanged', 0)} unchanged, "
        f"{counters.get('bad_signature', 0)} with a bad signature, {row['inbox_pending']} waiting to be processed"
    )
    if row["oldest_pending_at"]:
        print_line(f"  oldest pending delivery: {format_ago(row['oldest_pending_at'])}")
    if row["lookups"]:
        reason = sentence(row["lookup_reason"], row["lookup_note"])
        print_line(
            f"  Kustomer lookups: {row['lookups']} queued, {row['lookups_failed']} of them failed"
            + (f" ({reason})" if reason else "")
        )
