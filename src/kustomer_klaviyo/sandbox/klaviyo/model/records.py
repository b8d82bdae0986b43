"""Records of an account: profiles, metrics, events, marketing, and the format of their ids."""

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
PREDICTIONS = (
    "historic_clv", "predicted_clv", "total_clv", "historic_number_of_orders", "predicted_number_of_orders",
    "average_days_between_orders", "average_order_value", "churn_probability", "expected_date_of_next_order",
    "ranked_channel_affinity",
)  # fmt: skip


def new_ulid(now: float) -> str:
    """Return a profile id in the newer format: 26 characters, the first ten from the time."""
    return _ulid(now, secrets.randbits(80))


def named_ulid(now: float, text: str) -> str:
    """Return the id of a campaign or message, derived from its time and name."""
    return _ulid(now, int.from_bytes(hashlib.sha256(text.encode()).digest()[:10], "big"))


def _ulid(now: float, bits: int) -> str:
    number = (int(now * 1000) << 80) | bits
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def short_id(text: str) -> str:
    """Return a six-character id derived from a name."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(6))


def never_subscribed() -> dict[str, Any]:
    """Return the subscriptions of a profile without any consent (developers.klaviyo.com/en/reference/get_profile)."""
    no_consent = {"consent": "NEVER_SUBSCRIBED", "consent_timestamp": None, "last_updated": None}
    method = {"method": None, "method_detail": None}
    email = {"can_receive_email_marketing": True, "double_optin": None, "custom_method_detail": None}
    validity = {"can_receive": False, "created_timestamp": None, "metadata": None, "valid_until": None}
    return {
        "email": {
            "marketing": no_consent | method | email | {"suppression": [], "list_suppressions": []},
            "open_tracking": no_consent | validity,
        },
        "sms": {
            "marketing": no_consent | method | {"can_receive_sms_marketing": False},
            "transactional": no_consent | method | {"can_receive_sms_transactional": False},
        },
        "mobile_push": {
            "marketing": {
                "can_receive_push_marketing": False, "consent": "NEVER_SUBSCRIBED", "consent_timestamp": None
            }
        },
        "whatsapp": {
            purpose: no_consent | validity | {"phone_number": None}
            for purpose in ("marketing", "transactional", "conversational")
        },
    }  # fmt: skip


def no_predictions() -> dict[str, Any]:
    """Return the predictions of a profile without predictions: every name with None."""
    return dict.fromkeys(PREDICTIONS)


@dataclass(slots=True)
class Profile:
    """A profile."""

    id: str
    created: datetime
    updated: datetime
    attributes: dict[str, Any] = field(default_factory=dict)
    location: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    last_event: datetime | None = None
    lists: set[str] = field(default_factory=set)
    subscriptions: dict[str, Any] = field(default_factory=never_subscribed)
    predictive_analytics: dict[str, Any] = field(default_factory=no_predictions)


@dataclass(slots=True)
class Metric:
    """A kind of event, created with the first event of its name."""

    id: str
    name: str
    created: datetime
    updated: datetime
    has_value: bool = False
    integration: str = "API"


@dataclass(frozen=True, slots=True)
class Audience:
    """A list, or a segment: the profiles that meet a condition at the time of the request."""

    id: str
    name: str
    created: datetime
    condition: Callable[[Profile], bool] | None = None
    """The condition of a segment; None for a list."""
    is_active: bool = True
    is_starred: bool = False

    def has(self, profile: Profile) -> bool:
        """Return whether a profile is on the list, or in the segment now."""
        return self.id in profile.lists if self.condition is None else self.condition(profile)


@dataclass(frozen=True, slots=True)
class MarketingMessage:
    """A message of a campaign or a flow."""

    id: str
    name: str
    channel: str
    """``email`` or ``sms``."""
    subject: str | None = None
    variation_id: str = ""
    """Since revision 2026-10-15 the content of a campaign message is in its variations."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """A campaign, sent once to a list."""

    id: str
    name: str
    audience: str
    sent_at: datetime
    messages: tuple[MarketingMessage, ...]
    """Several messages are variations, each sent to a part of the list."""
    audience_id: str
    """The id of the ``campaign-audience``, since revision 2026-10-15."""
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages sent to a profile after a trigger."""

    id: str
    name: str
    trigger_type: str
    created: datetime
    messages: tuple[MarketingMessage, ...]
    status: str = "live"
    is_archived: bool = False


@dataclass(slots=True)
class ImportJob:
    """A bulk import of profiles with its results."""

    id: str
    created_at: datetime
    entries: list[Any]
    total: int
    status: str = "queued"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    profiles: list[str] = field(default_factory=list)
    """Ids of the imported profiles."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """JSON:API resources."""


@dataclass(slots=True)
class Event:
    """An event of a profile."""

    number: int
    """Position in order of arrival; negative for internal events."""
    id: str
    metric: Metric
    profile: Profile
    time: datetime
    unique_id: str | None
    properties: dict[str, Any]
    backfill: bool
    received_at: float
    request: str
