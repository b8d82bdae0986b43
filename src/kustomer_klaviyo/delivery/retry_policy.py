"""What to do after an attempt: one pure decision for the delivery, one for the connection's lane.

Klaviyo's quota is one for the whole account, so that being throttled, unreachable or locked out concerns every delivery
of a connection; only a refusal, or a failure while others get through, is about the delivery itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from kustomer_klaviyo.backoff import Chance, Patience, jittered
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable

KEY_OR_REVISION = (401, 402, 403, 410)
"""Statuses that Klaviyo answers whatever is sent, until somebody puts in another key or another release."""


@dataclass(frozen=True, slots=True)
class History:
    """What happened to a delivery before this attempt."""

    own_failures: int
    """How often it failed while others got through."""
    attempted_at: datetime | None
    last_accepted_at: datetime | None
    """When Klaviyo last took anything of the same connection."""
    like_accepted_at: datetime | None
    """When it last took something of the same kind: an event, or a profile write."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Klaviyo has it."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """To be sent again at ``at``; None leaves it due, waiting only for its lane."""

    at: datetime | None
    reason: str
    is_own: bool = False
    """Others got through since it was last tried."""


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
        case Throttled():
            return Again(None, reason_of(outcome))
        case LockedOut() if must_act(outcome):
            return Again(None, reason_of(outcome))
        case Unreachable() | LockedOut():
            return _decide_failed(outcome, history, now=now, chance=chance, patience=patience)


def must_act(outcome: LockedOut) -> bool:
    """Say whether it is surely the key or the revision, so that someone must act whatever is sent."""
    return outcome.status in KEY_OR_REVISION


def _decide_failed(
    outcome: Unreachable | LockedOut, history: History, *, now: datetime, chance: Chance, patience: Patience
) -> Verdict:
    """Try again; what fails time and again is given up only while others get through: in an outage all fail."""
    is_own = _is_since(history.attempted_at, history.last_accepted_at)
    failures = history.own_failures + is_own
    # One endpoint may be away for hours while the other is well: then it is not the delivery that is the matter.
    is_alone = _is_since(history.attempted_at, history.like_accepted_at)
    if is_alone and failures + 1 >= patience.tries:
        return SetAside(f"failed {failures + 1} times while others got through: {outcome.detail}")
    wait = jittered(patience.first_wait, patience.longest_wait, failures, chance)
    return Again(now + timedelta(seconds=wait), reason_of(outcome), is_own)


def _is_since(attempted_at: datetime | None, accepted_at: datetime | None) -> bool:
    return attempted_at is not None and accepted_at is not None and accepted_at > attempted_at


def hold(outcome: Outcome, failures: int, *, now: datetime, chance: Chance, patience: Patience) -> Hold | None:
    """Say whether the connection's lane waits, given how many times in a row it failed before."""
    paused = isinstance(outcome, LockedOut) and (must_act(outcome) or failures >= patience.failures_until_pause)
    match outcome:
        case Accepted() | Refused():
            return None
        case LockedOut() if paused:
            wait = jittered(patience.first_pause, patience.longest_pause, failures, chance)
        case LockedOut():
            wait = _probe_wait(failures, chance, patience)
        case Throttled(retry_after=asked):
            longest = min(patience.longest_wait, patience.longest_throttle_wait)
            own = jittered(patience.first_wait, longest, failures, chance)
            wait = max(own, min(asked or 0.0, patience.longest_retry_after) * (1 + 0.1 * chance()))
        case Unreachable(retry_after=asked):
            wait = max(_probe_wait(failures, chance, patience), min(asked or 0.0, patience.longest_outage_wish))
    return Hold(now + timedelta(seconds=wait), reason_of(outcome), paused)


def _probe_wait(failures: int, chance: Chance, patience: Patience) -> float:
    return jittered(patience.first_wait, min(patience.longest_wait, patience.longest_probe_wait), failures, chance)


def reason_of(outcome: Outcome) -> str:
    """Say in words for an admin why nothing was delivered, and what to do."""
    match outcome:
        case Throttled():
            return f"Klaviyo's rate limit was met; sending goes on by itself ({outcome.detail})"
        case Unreachable():
            return f"Klaviyo could not be reached; sending goes on by itself ({outcome.detail})"
        case LockedOut() if not must_act(outcome):
            return f"{outcome.detail} ({outcome.status}). Delivery is tried now and then; nothing is lost meanwhile"
        case LockedOut():
            return (
                f"Klaviyo does not let us in ({outcome.status}: {outcome.detail}). Put in a working key with "
                "`kustomer-klaviyo connect`; nothing is lost meanwhile"
            )
        case Refused():
            return outcome.detail
        case Accepted():
            return ""
