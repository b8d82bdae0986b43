"""Options of a simulated organisation: API keys, rate limits, webhook delivery."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

DEFAULT_KEY = "sandbox-kustomer-key"
EVERY_ROLE = frozenset({"org"})
"""A role includes every role that starts with it: ``org.user`` includes ``org.user.customer.read``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomerOptions:
    """Options of the simulated organisation."""

    org_name: str = "sandbox"
    """The subdomain."""
    api_keys: Mapping[str, frozenset[str]] = field(default_factory=lambda: {DEFAULT_KEY: EVERY_ROLE})
    """The API keys with their roles."""
    retry_scale: float = 1.0
    """Multiplies the intervals between webhook retries."""
    webhook_timeout: float = 5.0
    """Seconds that a receiver has to respond."""
    duplicate_probability: float = 0.0
    """The share of webhooks that are sent twice."""
    reorder_probability: float = 0.0
    """The share of webhooks that are held back briefly, so that later ones overtake them."""
    background_updates: int = 3
    """Updates without a new event that follow each action."""
    rate_limit: int | None = 1000
    """Requests per minute of the whole organisation; None disables all limits."""
    search_limit: int | None = 100
    """Searches per minute; with None only ``rate_limit`` applies."""
    disable_after_failures: int = 1
    """A webhook is disabled after this many consecutive deliveries that used all their retries."""
    seed: int = 0
    """Seed of background updates, duplicates and reordering."""
    masked: bool = False
    """Sensitive attributes are masked in the API and in webhooks."""
    allow_http: bool = True
    """Webhook URLs may be plain ``http``, which Kustomer itself rejects."""
    clock: Callable[[], float] = time.time
