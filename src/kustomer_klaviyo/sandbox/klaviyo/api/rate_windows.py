"""Rate limits of one operation: fixed burst and steady windows.

Tiers: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import math
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal

TIERS = {"XS": (1, 15), "S": (3, 60), "M": (10, 150), "L": (75, 750), "XL": (350, 3500)}
"""Requests per second and per minute."""


@dataclass(slots=True)
class RateWindow:
    """A fixed window of ``length`` seconds."""

    length: int
    number: int = -1
    count: int = 0

    def current_count(self, now: float) -> int:
        """Return the number of requests in the current window."""
        number = int(now // self.length)
        if number != self.number:
            self.number, self.count = number, 0
        return self.count

    def remaining_seconds(self, now: float) -> float:
        """Return the seconds until the next window."""
        return self.length - now % self.length


@dataclass(slots=True)
class OperationLimit:
    """The burst and steady windows of one operation."""

    burst_limit: int
    steady_limit: int
    burst: RateWindow = field(default_factory=lambda: RateWindow(1))
    steady: RateWindow = field(default_factory=lambda: RateWindow(60))

    def count_request(self, now: float) -> None:
        """Count a request. Raises KlaviyoRefusal (429) when a window is full."""
        for window, limit in ((self.steady, self.steady_limit), (self.burst, self.burst_limit)):
            if window.current_count(now) >= limit:
                raise throttled(max(1, math.ceil(window.remaining_seconds(now))))
        self.burst.count += 1
        self.steady.count += 1

    def headers(self, now: float) -> dict[str, str]:
        """Return the rate-limit headers. As in recorded responses, the plain values are those of the burst window."""
        limit = f"{self.burst_limit}, {self.burst_limit};w=1, {self.steady_limit};w=60"
        remaining = max(0, self.burst_limit - self.burst.current_count(now))
        return {"RateLimit-Limit": limit, "RateLimit-Remaining": str(remaining), "RateLimit-Reset": "0"}


def throttled(retry_after: float | None) -> KlaviyoRefusal:
    """Make the 429 of a request beyond the limits; None omits the ``Retry-After`` header."""
    header_seconds = None if retry_after is None else math.ceil(retry_after)
    seconds = 1 if header_seconds is None else header_seconds
    return KlaviyoRefusal(
        429,
        "throttled",
        "Request was throttled.",
        f"Request was throttled. Expected available in {seconds} second{'' if seconds == 1 else 's'}.",
        headers={} if header_seconds is None else {"Retry-After": str(header_seconds)},
    )
