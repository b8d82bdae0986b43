"""What a simulated organisation is like: its keys, its limits, and how its webhooks behave."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

DEFAULT_KEY = "sandbox-kustomer-key"
EVERY_ROLE = frozenset({"org"})
"""A role stands for all that begin with it: ``org.user`` for ``org.user.customer.read``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomerOptions:
    """What the simulated organisation is like, and how its webhooks behave."""

    org_name: str = "sandbox"
    """The subdomain."""
    api_keys: Mapping[str, frozenset[str]] = field(default_factory=lambda: {DEFAULT_KEY: EVERY_ROLE})
    """The API keys and their roles."""
    retry_scale: float = 1.0
    """Multiplies the waits between webhook retries."""
    webhook_timeout: float = 5.0
    """Seconds a receiver has for its answer."""
    duplicate_probability: float = 0.0
    """The part of webhooks that are sent twice."""
    reorder_probability: float = 0.0
    """The part of webhooks that are held back shortly, so that later ones overtake them."""
    noise: int = 3
    """About how many updates that tell nothing new an action brings."""
    rate_limit: int | None = 1000
    """Requests per minute of the whole organisation; None switches all limits off."""
    search_limit: int | None = 100
    """Searches per minute; None: only the limit of all requests counts."""
    disable_after_failures: int = 1
    """Webhook deliveries in a row that use up all retries before the webhook is switched off."""
    seed: int = 0
    """Decides noise, duplicates and disorder."""
    masked: bool = False
    """Sensitive attributes are hidden, from the keys and in webhooks."""
    allow_http: bool = True
    """Webhooks may go to plain ``http``, which the real one refuses."""
    clock: Callable[[], float] = time.time
