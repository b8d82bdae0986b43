"""Who may ask what, and how often: keys with their roles, and the limits of a minute. Pure.

Rules: developer.kustomer.com/docs/concepts/rate-limits and developer.kustomer.com/docs/get-started/api-keys-and-roles
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal

MINUTE = 60
ROLE_FORMS = ("org.permission.{}", "org.user.{}", "org.admin.{}", "org.{}")
"""The names, newer and older, under which a role may grant a permission such as ``customer.read``."""


def admit(authorization: str, keys: Mapping[str, frozenset[str]], permission: str | None) -> frozenset[str]:
    """Return the roles of the key in an ``Authorization`` header. Raises Refusal (401, 403)."""
    scheme, _, key = authorization.partition(" ")
    roles = keys.get(key) if scheme == "Bearer" else None
    if roles is None:
        raise Refusal(401, "unauthorized", "Unauthorized", detail="Invalid or expired token")
    if permission is not None and not may(roles, permission):
        raise Refusal(403, "forbidden", "Forbidden", detail=f"Missing role org.permission.{permission}")
    return roles


def may(roles: frozenset[str], permission: str) -> bool:
    """Say whether roles grant a permission; a role stands for all that begin with it."""
    names = [form.format(permission) for form in ROLE_FORMS]
    # The older role for webhooks is written in the plural: org.outbound_webhooks.
    names += [name.replace("outbound_webhook.", "outbound_webhooks.") for name in names]
    return any(name == role or name.startswith(f"{role}.") for name in names for role in roles)


@dataclass(slots=True)
class Meter:
    """Counts requests in whole minutes of the clock."""

    limit: int | None
    search_limit: int | None
    left: int = 0
    """What remained of the organisation's limit after the last request."""
    _minute: int = -1
    _counts: Counter[str] = field(default_factory=Counter)

    def take(self, *, is_search: bool, now: float) -> None:
        """Count a request. Raises Refusal (429) beyond a limit."""
        if self.limit is None:
            return
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute, self._counts = minute, Counter()
        self._counts["all"] += 1
        self._counts["search"] += is_search
        self.left = max(0, self.limit - self._counts["all"])
        is_beyond_search = is_search and self.search_limit is not None and self._counts["search"] > self.search_limit
        if self._counts["all"] > self.limit or is_beyond_search:
            raise too_many()

    def headers(self) -> dict[str, str]:
        """Return the headers that every answer carries."""
        if self.limit is None:
            return {}
        return {"x-ratelimit-limit": str(self.limit), "x-ratelimit-remaining": str(self.left)}


def too_many() -> Refusal:
    """Make the refusal of a request beyond the limit."""
    return Refusal(429, "ratelimit", "Too Many Requests", detail="Rate limit exceeded")


def reset_at(now: float) -> int:
    """Return when the running minute ends, in epoch seconds."""
    return int(now // MINUTE + 1) * MINUTE
