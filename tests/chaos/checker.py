"""Reads the histories of a round, in Jepsen's manner: what was promised, and what is there. Pure."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kustomer_klaviyo.demo.comparison import Comparison

Row = Mapping[str, Any]
EXPLAINED = ("failed", "skipped", "unidentified")
"""States of deliveries that need a reason."""


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What both vendors and the database hold when every fault has ended."""

    comparison: Comparison
    """What happened in Kustomer, beside what Klaviyo holds: events with their times, and profiles."""
    lost_after_kill: Sequence[str]
    """Conversations whose webhook was acknowledged, and that the database did not hold after a kill or at the end."""
    given_up: int
    """Webhooks that Kustomer gave up: the service was not available for as long as Kustomer retries."""
    deliveries: Sequence[Row]
    """All events in the outbox in their order: ``subject``, ``fact_key``, ``state``, ``reason``."""
    inbox: Mapping[str, int]
    """The number of events in the inbox by state."""
    klaviyo_events: Sequence[Row]
    """The events that Klaviyo holds, in the order of arrival."""
    recovery_seconds: float | None
    """From the end of the last fault until Klaviyo held everything; None when it did not within the bound."""
    program_errors: Sequence[str] = ()
    """Errors of the program that its processes logged, other than those of an unavailable database or vendor."""


def check(history: History, *, bound_seconds: float) -> list[str]:
    """Return a sentence for each broken promise."""
    recovery = history.recovery_seconds
    is_late = recovery is None or recovery > bound_seconds
    return [
        *(["not recovered within the bound"] if is_late else []),
        *([f"Kustomer gave up {history.given_up} webhooks"] if history.given_up else []),
        *(f"acknowledged and lost: conversation {conversation}" for conversation in history.lost_after_kill),
        *history.comparison.differences,
        *_unexplained(history),
        *_doubled(history.klaviyo_events),
        *_out_of_order(history),
        *(f"an error of the program: {line}" for line in history.program_errors),
    ]


def _unexplained(history: History) -> list[str]:
    """Every event is delivered, or waits or failed with a reason; nothing fails when every fault ends."""
    sentences = [f"{history.inbox[state]} events {state} in the inbox" for state in ("pending", "failed")
                 if history.inbox.get(state)]  # fmt: skip
    for row in history.deliveries:
        if row["state"] in EXPLAINED and not row["reason"]:
            sentences.append(f"{row['fact_key']} is {row['state']} without a reason")
        if row["state"] in ("pending", "failed"):
            sentences.append(f"{row['fact_key']} is {row['state']}: {row['reason']}")
    return sentences


def _doubled(events: Sequence[Row]) -> list[str]:
    counts = Counter(event["unique_id"] for event in events)
    return [f"{key} is {count} times at Klaviyo" for key, count in counts.items() if count > 1]


def _out_of_order(history: History) -> list[str]:
    """The events of each customer arrive in the order of the outbox."""
    position = {event["unique_id"]: event["number"] for event in history.klaviyo_events}
    arrivals: defaultdict[str, list[int]] = defaultdict(list)
    for row in history.deliveries:
        if row["state"] == "delivered" and row["fact_key"] in position:
            arrivals[row["subject"]].append(position[row["fact_key"]])
    return [f"events of {subject} out of order: {order}" for subject, order in arrivals.items()
            if order != sorted(order)]  # fmt: skip
