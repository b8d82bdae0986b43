"""How a connection fares, in a word and in sentences: for commands, pages and alerts alike. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from kustomer_klaviyo.connections.clock import clock_problem
from kustomer_klaviyo.reconcile.webhook_watch import WebhookState

DISK_FULL = (
    "The disk of the database is full: webhooks are answered 503, which Kustomer tries again for a while, and "
    "everything waits. Make room; all goes on by itself"
)


@dataclass(frozen=True, slots=True)
class HealthNumbers:
    """How the service fares, as numbers for a monitor."""

    is_disk_full: bool
    failing: Sequence[tuple[str, str, int]] = ()
    """Connection (empty: the program), loop, failures."""
    webhooks: Sequence[tuple[str, bool]] = ()
    """Connection, whether Kustomer sends nothing."""


class Status(StrEnum):
    """How a connection fares, the worst first."""

    PAUSED = "paused"
    """Klaviyo does not let us in."""
    FAILING = "failing"
    """A loop fails again and again, or Kustomer no longer sends webhooks."""
    WAITING = "waiting"
    """Klaviyo takes nothing for the moment."""
    DELIVERING = "delivering"


def status_of(row: Mapping[str, Any]) -> Status:
    """Return how a connection fares."""
    if row["paused"]:
        return Status.PAUSED
    if row["failing"] or webhook_problem(row):
        return Status.FAILING
    return Status.WAITING if row["failures"] else Status.DELIVERING


def webhook_problem(row: Mapping[str, Any]) -> str | None:
    """Say that Kustomer sends no webhooks any more; None where it does, or where that is not known."""
    match row["webhook_state"]:
        case WebhookState.OFF:
            how = "is switched off"
        case WebhookState.MISSING:
            how = "was deleted"
        case _:
            return None
    seen = _at(row["webhook_since"])
    return f"the webhook {how} in Kustomer (seen {seen}): nothing arrives. Make it anew with `kustomer-klaviyo connect`"


def loop_problems(failing: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say which loops fail, since when, how many times and why."""
    return [
        f"{one['loop']} fails since {_at(one['since'])}, {one['failures']} times: {one['message']} ({one['code']})"
        for one in failing
    ]


def problems(row: Mapping[str, Any]) -> list[str]:
    """Say what somebody must look after although it is no pause."""
    clock = clock_problem(row.get("kustomer_clock_ahead_seconds"))
    return [text for text in (webhook_problem(row), clock, *loop_problems(row["failing"])) if text is not None]


def _at(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC"
