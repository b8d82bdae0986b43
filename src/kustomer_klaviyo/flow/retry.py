"""What to do after an attempt: one pure decision for the delivery, one for the connection's lane.

Klaviyo's quota is one for the whole account, so that being throttled, unreachable or locked out concerns every delivery
of a connection; only a refusal, or a failure while others get through, is about the delivery itself.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable

Chance = Callable[[], float]
"""Gives a number from 0 to 1, each time another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait, in seconds, and how often to try."""

    first_wait: float = 1.0
    longest_wait: float = 900.0
    first_pause: float = 30.0
    longest_pause: float = 600.0
    longest_retry_after: float = 3600.0
    """A vendor's wish beyond this is taken for a mistake."""
    tries: int = 12
    """Failures of one delivery, while others get through, before it is set aside."""


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a delivery before this attempt."""

    attempts: int
    first_attempt_at: datetime | None
    last_accepted_at: datetime | None
    """When Klaviyo last took anything of the same connection."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Klaviyo has it."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """To be sent again at ``at``; None leaves it due, waiting only for its lane."""

    at: datetime | None
    reason: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Will not be sent again unless an admin says so."""

    reason: str


Verdict = Delivered | Again | SetAside


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing of the connection is sent before ``until``."""

    until: datetime
    reason: str
    paused: bool = False
    """Someone must act; delivery is still tried now and then, in case they did so at Klaviyo."""


def decide(outcome: Outcome, history: History, *, now: datetime, chance: Chance, patience: Patience) -> Verdict:
    """Say what becomes of the delivery."""
    match outcome:
        case Accepted(note=note):
            return Delivered(note)
        case Refused(status=status, detail=detail):
            return SetAside(f"Klaviyo refused it ({status}): {detail}")
        case Throttled() | LockedOut():
            return Again(None, reason_of(outcome))
        case Unreachable():
            return _decide_unreachable(outcome, history, now=now, chance=chance, patience=patience)


def _decide_unreachable(
    outcome: Unreachable, history: History, *, now: datetime, chance: Chance, patience: Patience
) -> Verdict:
    others_got_through = (
        history.first_attempt_at is not None
        and history.last_accepted_at is not None
        and history.last_accepted_at > history.first_attempt_at
    )
    if history.attempts + 1 >= patience.tries and others_got_through:
        return SetAside(f"failed {history.attempts + 1} times while others got through: {outcome.detail}")
    wait = jittered(patience.first_wait, patience.longest_wait, history.attempts, chance)
    return Again(now + timedelta(seconds=wait), reason_of(outcome))


def hold(outcome: Outcome, failures: int, *, now: datetime, chance: Chance, patience: Patience) -> Hold | None:
    """Say whether the connection's lane waits, given how many times in a row it failed before."""
    match outcome:
        case Accepted() | Refused():
            return None
        case LockedOut():
            wait = jittered(patience.first_pause, patience.longest_pause, failures, chance)
            return Hold(now + timedelta(seconds=wait), reason_of(outcome), paused=True)
        case Throttled(retry_after=asked) | Unreachable(retry_after=asked):
            own = jittered(patience.first_wait, patience.longest_wait, failures, chance)
            wait = own if asked is None else min(asked, patience.longest_retry_after) * (1 + 0.1 * chance())
            return Hold(now + timedelta(seconds=wait), reason_of(outcome))


def jittered(first: float, longest: float, failures: int, chance: Chance) -> float:
    """Return a wait that doubles with each failure up to the longest, then spread over its second half."""
    wait = min(longest, first * 2.0 ** min(failures, 30))
    return wait * (0.5 + 0.5 * chance())


def reason_of(outcome: Outcome) -> str:
    """Say in words for an admin why nothing was delivered, and what to do."""
    match outcome:
        case Throttled():
            return f"Klaviyo's rate limit was met; sending goes on by itself ({outcome.detail})"
        case Unreachable():
            return f"Klaviyo could not be reached; sending goes on by itself ({outcome.detail})"
        case LockedOut():
            return (
                f"Klaviyo does not let us in ({outcome.status}: {outcome.detail}). Put in a working key with "
                "`kustomer-klaviyo connect`; nothing is lost meanwhile"
            )
        case Refused():
            return outcome.detail
        case Accepted():
            return ""
