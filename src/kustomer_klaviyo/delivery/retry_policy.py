"""What to do after an attempt: one pure decision for the delivery, and one for the connection.

Klaviyo's quota applies to the whole account, so a rate limit, an outage or a rejected key concerns every delivery of a
connection. Only a rejection, or a failure while others succeed, concerns the delivery itself.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from kustomer_klaviyo.backoff import RetrySettings, Rng, backoff_seconds
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable
from kustomer_klaviyo.reasons import Reason

KEY_OR_REVISION = (401, 402, 403, 410)
"""Statuses that Klaviyo returns for every request, until an admin changes the API key or upgrades the program."""


@dataclass(frozen=True, slots=True)
class DeliveryHistory:
    """What happened before this attempt."""

    own_failures: int
    """How often the delivery failed while others succeeded."""
    last_attempt_at: datetime | None
    last_accepted_at: datetime | None
    """When Klaviyo last accepted a request of the connection."""
    same_kind_accepted_at: datetime | None
    """When Klaviyo last accepted a request of the same kind: an event, or a profile write."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """Klaviyo accepted it."""

    note: str | None = None


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Retry at the time ``at``. With None the delivery stays due, and only the hold on its connection delays it."""

    at: datetime | None
    reason: Reason
    is_own_failure: bool = False
    """Others succeeded since its last attempt."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Not retried unless an admin requests it."""

    reason: Reason


Decision = Delivered | RetryAt | GiveUp


@dataclass(frozen=True, slots=True)
class Hold:
    """Nothing of the connection is sent before ``until``."""

    until: datetime
    reason: Reason
    detail: str
    """The vendor's message, after the HTTP status."""
    paused: bool = False
    """An admin must act. Delivery is still tried at intervals, in case the problem was solved at Klaviyo."""


def decide(outcome: Outcome, history: DeliveryHistory, *, now: datetime, rng: Rng, retry: RetrySettings) -> Decision:
    """Decide what becomes of the delivery."""
    match outcome:
        case Accepted(note=note):
            return Delivered(note)
        case Refused():
            return GiveUp(Reason.REJECTED)
        case Throttled():
            return RetryAt(None, reason_of(outcome))
        case LockedOut() if needs_action(outcome):
            return RetryAt(None, reason_of(outcome))
        case Unreachable() | LockedOut():
            return _decide_failure(outcome, history, now=now, rng=rng, retry=retry)


def needs_action(outcome: LockedOut) -> bool:
    """Return whether the key or the API revision is certainly at fault, so that an admin must act."""
    return outcome.status in KEY_OR_REVISION


def _decide_failure(
    outcome: Unreachable | LockedOut, history: DeliveryHistory, *, now: datetime, rng: Rng, retry: RetrySettings
) -> Decision:
    """Retry a failure. Give up only after repeated failures while others succeed, because in an outage all fail."""
    is_own_failure = _is_after(history.last_accepted_at, history.last_attempt_at)
    failures = history.own_failures + is_own_failure
    # One endpoint may be down for hours while the other works: that is no fault of the delivery.
    has_same_kind_succeeded = _is_after(history.same_kind_accepted_at, history.last_attempt_at)
    if has_same_kind_succeeded and failures + 1 >= retry.max_attempts:
        return GiveUp(Reason.FAILED_REPEATEDLY)
    wait = backoff_seconds(retry.initial_seconds, retry.max_seconds, failures, rng)
    return RetryAt(now + timedelta(seconds=wait), reason_of(outcome), is_own_failure)


def _is_after(accepted_at: datetime | None, attempted_at: datetime | None) -> bool:
    return attempted_at is not None and accepted_at is not None and accepted_at > attempted_at


def decide_hold(outcome: Outcome, failures: int, *, now: datetime, rng: Rng, retry: RetrySettings) -> Hold | None:
    """Decide whether the connection is held, given its number of consecutive failures before this attempt."""
    paused = isinstance(outcome, LockedOut) and (needs_action(outcome) or failures >= retry.failures_until_pause)
    match outcome:
        case Accepted() | Refused():
            return None
        case LockedOut() if paused:
            wait = backoff_seconds(retry.auth_initial_seconds, retry.auth_max_seconds, failures, rng)
        case LockedOut():
            wait = _probe_wait(failures, rng, retry)
        case Throttled(retry_after=retry_after):
            max_seconds = min(retry.max_seconds, retry.max_throttle_seconds)
            backoff = backoff_seconds(retry.initial_seconds, max_seconds, failures, rng)
            wait = max(backoff, min(retry_after or 0.0, retry.max_retry_after) * (1 + 0.1 * rng()))
        case Unreachable(retry_after=retry_after):
            wait = max(_probe_wait(failures, rng, retry), min(retry_after or 0.0, retry.max_outage_retry_after))
    return Hold(now + timedelta(seconds=wait), reason_of(outcome), _detail(outcome), paused)


def _probe_wait(failures: int, rng: Rng, retry: RetrySettings) -> float:
    return backoff_seconds(retry.initial_seconds, min(retry.max_seconds, retry.max_probe_seconds), failures, rng)


def reason_of(outcome: Throttled | Unreachable | LockedOut) -> Reason:
    """Return why nothing was delivered."""
    match outcome:
        case Throttled():
            return Reason.RATE_LIMITED
        case Unreachable():
            return Reason.KLAVIYO_UNAVAILABLE
        case LockedOut():
            return Reason.KEY_REJECTED if needs_action(outcome) else Reason.ACCESS_DENIED


def _detail(outcome: Throttled | Unreachable | LockedOut) -> str:
    """Return the HTTP status and the vendor's message."""
    return outcome.detail if outcome.status is None else f"{outcome.status}: {outcome.detail}"
