"""The health of a connection, as a code and as sentences, for commands, pages and alerts. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from kustomer_klaviyo.connections.clock import clock_problem
from kustomer_klaviyo.reconcile.webhook_watch import WebhookState

DISK_FULL = (
    "The disk of the database is full: webhooks get a 503, so that Kustomer retries for a while, and nothing is sent. "
    "Free some space; the service then continues by itself"
)


@dataclass(frozen=True, slots=True)
class HealthMetrics:
    """The health of the service as numbers, for a monitor."""

    is_disk_full: bool
    failing: Sequence[tuple[str, str, int]] = ()
    """Connection id (empty: the program), loop, consecutive failures."""
    webhooks: Sequence[tuple[str, bool]] = ()
    """Connection id, and whether its webhook has a problem."""


class HealthStatus(StrEnum):
    """The health of a connection, the worst first."""

    PAUSED = "paused"
    """Klaviyo denies access."""
    FAILING = "failing"
    """A loop fails repeatedly, or Kustomer sends no webhooks any more."""
    WAITING = "waiting"
    """Klaviyo accepts nothing at the moment."""
    DELIVERING = "delivering"


def health_status(row: Mapping[str, Any]) -> HealthStatus:
    """Return the health of a connection, from its row of ``reports.status``."""
    if row["paused"]:
        return HealthStatus.PAUSED
    if row["failing"] or webhook_problem(row):
        return HealthStatus.FAILING
    return HealthStatus.WAITING if row["consecutive_failures"] else HealthStatus.DELIVERING


def webhook_problem(row: Mapping[str, Any]) -> str | None:
    """Describe why Kustomer sends no webhooks; None if it does, or if the state is unknown."""
    match row["webhook_state"]:
        case WebhookState.OFF:
            state = "is switched off"
        case WebhookState.MISSING:
            state = "was deleted"
        case _:
            return None
    since = _format(row["webhook_state_since"])
    return f"the webhook {state} in Kustomer (seen {since}): no events arrive. Run `kustomer-klaviyo connect` again"


def loop_problems(failing: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe the failing loops: since when, how often and why."""
    return [
        f"{row['loop']} has failed {row['consecutive_failures']} times since {_format(row['failing_since'])}: "
        f"{row['error_message']} ({row['error_code']})"
        for row in failing
    ]


def problems(row: Mapping[str, Any]) -> list[str]:
    """Describe everything that needs an admin, except a pause."""
    clock = clock_problem(row.get("kustomer_clock_skew_seconds"))
    return [problem for problem in (webhook_problem(row), clock, *loop_problems(row["failing"])) if problem is not None]


def _format(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"
