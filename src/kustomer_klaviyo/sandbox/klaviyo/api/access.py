"""Who may do what, how often: private keys with scopes, and each operation's limits for the whole account.

Tiers: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal

TIERS = {"XS": (1, 15), "S": (3, 60), "M": (10, 150), "L": (75, 750), "XL": (350, 3500)}
"""Requests per second and per minute."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API: its name, its tier, and the scopes it needs."""

    name: str
    tier: str
    scopes: frozenset[str]


def operation(name: str, tier: str, *scopes: str) -> Operation:
    """Describe an operation."""
    return Operation(name, tier, frozenset(scopes))


EXTRAS = {
    "lists": operation("include lists", "XS", "lists:read"),
    "segments": operation("include segments", "XS", "segments:read"),
    "predictive_analytics": operation("additional predictive_analytics", "M", "profiles:read"),
}
"""What is limited in addition, over all operations together (developers.klaviyo.com/en/reference/get_profile)."""


@dataclass(slots=True)
class Window:
    """A fixed window of ``length`` seconds."""

    length: int
    number: int = -1
    count: int = 0

    def counted(self, now: float) -> int:
        """Return how many requests the current window has seen."""
        number = int(now // self.length)
        if number != self.number:
            self.number, self.count = number, 0
        return self.count

    def ends_in(self, now: float) -> float:
        """Return the seconds until the next window."""
        return self.length - now % self.length


@dataclass(slots=True)
class Meter:
    """The burst and steady windows of one operation."""

    burst_limit: int
    steady_limit: int
    burst: Window = field(default_factory=lambda: Window(1))
    steady: Window = field(default_factory=lambda: Window(60))

    def take(self, now: float) -> None:
        """Count a request. Raises Refusal (429) when a window is full."""
        for window, limit in ((self.steady, self.steady_limit), (self.burst, self.burst_limit)):
            if window.counted(now) >= limit:
                raise throttled(max(1, math.ceil(window.ends_in(now))))
        self.burst.count += 1
        self.steady.count += 1

    def headers(self, now: float) -> dict[str, str]:
        """Return the headers as seen on the wire: the first number and the others are those of the burst window."""
        limit = f"{self.burst_limit}, {self.burst_limit};w=1, {self.steady_limit};w=60"
        remaining = max(0, self.burst_limit - self.burst.counted(now))
        return {"RateLimit-Limit": limit, "RateLimit-Remaining": str(remaining), "RateLimit-Reset": "0"}


def throttled(retry_after: float | None) -> Refusal:
    """Make the refusal of a request beyond the limits; None leaves the header out."""
    seconds = None if retry_after is None else math.ceil(retry_after)
    named = 1 if seconds is None else seconds
    return Refusal(
        429,
        "throttled",
        "Request was throttled.",
        f"Request was throttled. Expected available in {named} second{'' if named == 1 else 's'}.",
        headers={} if seconds is None else {"Retry-After": str(seconds)},
    )


class Access:
    """The keys of the account, and its meters."""

    def __init__(self, keys: Mapping[str, frozenset[str]], *, is_limited: bool, scale: float) -> None:
        self._first_keys = dict(keys)
        self.keys = dict(keys)
        self._is_limited = is_limited
        self._scale = scale
        self._meters: dict[str, Meter] = {}

    def admit(self, authorization: str, wanted: Operation) -> None:
        """Check key and scopes. Raises Refusal (401, 403)."""
        scheme, _, key = authorization.partition(" ")
        scopes = self.keys.get(key.strip()) if scheme == "Klaviyo-API-Key" else None
        if scopes is None:
            raise Refusal(
                401,
                "not_authenticated",
                "Authentication credentials were not provided.",
                "Missing or invalid private key.",
                headers={"Www-Authenticate": "Bearer, Klaviyo-API-Key"},
            )
        if not wanted.scopes <= scopes:
            sentence = "You do not have permission to perform this action."
            raise Refusal(403, "permission_denied", sentence, sentence)

    def meter(self, wanted: Operation) -> Meter:
        """Return the meter of an operation."""
        meter = self._meters.get(wanted.name)
        if meter is None:
            burst, steady = TIERS[wanted.tier]
            meter = Meter(max(1, round(burst * self._scale)), max(1, round(steady * self._scale)))
            self._meters[wanted.name] = meter
        return meter

    def take(self, wanted: Operation, now: float) -> None:
        """Count a request of the operation. Raises Refusal (429)."""
        if self._is_limited:
            self.meter(wanted).take(now)

    def take_extra(self, authorization: str, name: str, now: float) -> None:
        """Count and permit what a request of profiles asks for besides. Raises Refusal (403, 429)."""
        extra = EXTRAS.get(name)
        if extra is not None:
            self.admit(authorization, extra)
            self.take(extra, now)

    def reset(self) -> None:
        """Forget what was counted, and take the first keys again."""
        self.keys = dict(self._first_keys)
        self._meters.clear()
