"""The rate limit of the organisation, counted per calendar minute. Pure.

Rules: developer.kustomer.com/docs/concepts/rate-limits
"""

from collections import Counter
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal

MINUTE = 60


@dataclass(slots=True)
class MinuteLimit:
    """Counts requests per minute of the clock."""

    limit: int | None
    search_limit: int | None
    remaining: int = 0
    """What the last request left of the organisation's limit."""
    _minute: int = -1
    _counts: Counter[str] = field(default_factory=Counter)

    def count_request(self, *, is_search: bool, now: float) -> None:
        """Count a request. Raises KustomerRefusal (429) beyond a limit."""
        if self.limit is None:
            return
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute, self._counts = minute, Counter()
        self._counts["all"] += 1
        self._counts["search"] += is_search
        self.remaining = max(0, self.limit - self._counts["all"])
        is_beyond_search = is_search and self.search_limit is not None and self._counts["search"] > self.search_limit
        if self._counts["all"] > self.limit or is_beyond_search:
            raise rate_limit_refusal()

    def headers(self) -> dict[str, str]:
        """Return the rate-limit headers of every response."""
        if self.limit is None:
            return {}
        return {"x-ratelimit-limit": str(self.limit), "x-ratelimit-remaining": str(self.remaining)}


def rate_limit_refusal() -> KustomerRefusal:
    """Make the 429 of a request beyond the limit."""
    return KustomerRefusal(429, "ratelimit", "Too Many Requests", detail="Rate limit exceeded")


def reset_at(now: float) -> int:
    """Return the end of the current minute, in epoch seconds."""
    return int(now // MINUTE + 1) * MINUTE
