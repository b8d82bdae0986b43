"""Options of a simulated account: keys with scopes, rate limits, vendor behaviour."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OLDEST
from kustomer_klaviyo.sandbox.klaviyo.model.account import TextMetrics

SCOPES = frozenset(
    f"{name}:{level}"
    for name in (
        "accounts", "campaigns", "catalogs", "conversations", "coupon-codes", "coupons", "custom-objects",
        "data-privacy", "events", "flows", "forms", "images", "lists", "metrics", "profiles", "push-tokens",
        "reviews", "segments",
        "subscriptions", "tags", "templates", "tracking-settings", "web-feeds", "webhooks",
    )
    for level in ("read", "write")
)  # fmt: skip
DEFAULT_KEY = "pk_sandbox_0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class KlaviyoOptions:
    """Options of the simulated account."""

    keys: Mapping[str, frozenset[str]] = field(default_factory=lambda: {DEFAULT_KEY: SCOPES})
    """The private keys with their scopes."""
    site_id: str = "SbxKlv"
    organization_name: str = "Sandbox Shop"
    timezone: str = "US/Eastern"
    rate_limits: bool = True
    rate_scale: float = 1.0
    """Multiplies the limit of each window; the lengths of the windows stay."""
    latency: float = 0.0
    """Seconds added to each request."""
    job_seconds: float = 1.0
    """Seconds between the request for an import, merge or deletion and its start."""
    metric_lists: bool = True
    """Whether events can be filtered on several metrics at once: the vendor's own pages disagree."""
    strict_emails: bool = False
    """Whether unusual but standard-conforming addresses are rejected: Klaviyo does not document it."""
    marketing: bool = False
    """Whether each new profile gets a marketing history: consent, lists, messages received, predictions."""
    text_metrics: TextMetrics = "both"
    oldest_revision: str = OLDEST
    """Older revisions are retired."""
    falls_forward: bool = True
    """Whether the oldest revision serves requests for a retired one, unless they opt out; otherwise they get 410."""
    clock: Callable[[], float] = time.time
