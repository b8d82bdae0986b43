"""Access to operations: private keys with scopes, and each operation's rate limit for the whole account."""

from collections.abc import Mapping
from dataclasses import dataclass

from kustomer_klaviyo.sandbox.klaviyo.api.rate_windows import TIERS, OperationLimit
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal


@dataclass(frozen=True, slots=True)
class OperationAccess:
    """One operation of the API: its name, its rate-limit tier, and the scopes it needs."""

    name: str
    tier: str
    scopes: frozenset[str]


def operation(name: str, tier: str, *scopes: str) -> OperationAccess:
    """Describe an operation."""
    return OperationAccess(name, tier, frozenset(scopes))


EXTRAS = {
    "lists": operation("include lists", "XS", "lists:read"),
    "segments": operation("include segments", "XS", "segments:read"),
    "predictive_analytics": operation("additional predictive_analytics", "M", "profiles:read"),
}
"""Parts of a response with their own limit across all operations (developers.klaviyo.com/en/reference/get_profile)."""


class AccessControl:
    """The account's keys, and the limits of its operations."""

    def __init__(self, keys: Mapping[str, frozenset[str]], *, is_limited: bool, scale: float) -> None:
        self._initial_keys = dict(keys)
        self.keys = dict(keys)
        self._is_limited = is_limited
        self._scale = scale
        self._limits: dict[str, OperationLimit] = {}

    def check_key(self, authorization: str, operation: OperationAccess) -> None:
        """Check the key and its scopes. Raises KlaviyoRefusal (401, 403)."""
        scheme, _, key = authorization.partition(" ")
        scopes = self.keys.get(key.strip()) if scheme == "Klaviyo-API-Key" else None
        if scopes is None:
            raise KlaviyoRefusal(
                401,
                "not_authenticated",
                "Authentication credentials were not provided.",
                "Missing or invalid private key.",
                headers={"Www-Authenticate": "Bearer, Klaviyo-API-Key"},
            )
        if not operation.scopes <= scopes:
            message = "You do not have permission to perform this action."
            raise KlaviyoRefusal(403, "permission_denied", message, message)

    def limit(self, operation: OperationAccess) -> OperationLimit:
        """Return the limit of an operation."""
        limit = self._limits.get(operation.name)
        if limit is None:
            burst, steady = TIERS[operation.tier]
            limit = OperationLimit(max(1, round(burst * self._scale)), max(1, round(steady * self._scale)))
            self._limits[operation.name] = limit
        return limit

    def count_request(self, operation: OperationAccess, now: float) -> None:
        """Count a request of the operation. Raises KlaviyoRefusal (429)."""
        if self._is_limited:
            self.limit(operation).count_request(now)

    def count_extra(self, authorization: str, name: str, now: float) -> None:
        """Check and count a part of the response with its own limit. Raises KlaviyoRefusal (403, 429)."""
        extra = EXTRAS.get(name)
        if extra is not None:
            self.check_key(authorization, extra)
            self.count_request(extra, now)

    def reset(self) -> None:
        """Reset the counts, and restore the initial keys."""
        self.keys = dict(self._initial_keys)
        self._limits.clear()
