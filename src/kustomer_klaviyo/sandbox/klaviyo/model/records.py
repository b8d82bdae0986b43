"""What an account is made of: profiles, metrics, events, and how their ids look. Knows no rules."""

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
    """Return a profile id of the newer kind: 26 characters, the first ten from the time."""
    return _ulid(now, secrets.randbits(80))


def named_ulid(now: float, text: str) -> str:
    """Return the id of a campaign or message: the same for the same time and name."""
    return _ulid(now, int.from_bytes(hashlib.sha256(text.encode()).digest()[:10], "big"))


def _ulid(now: float, bits: int) -> str:
    number = (int(now * 1000) << 80) | bits
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def short_id(text: str) -> str:
    """Return a six-character id for a thing with a name."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(6))


def never_subscribed() -> dict[str, Any]:
    """Return the consent of a person who gave none (developers.klaviyo.com/en/reference/get_profile)."""
    nothing = {"consent": "NEVER_SUBSCRIBED", "consent_timestamp": None, "last_updated": None}
    how = {"method": None, "method_detail": None}
    email = {"can_receive_email_marketing": True, "double_optin": None, "custom_method_detail": None}
    until = {"can_receive": False, "created_timestamp": None, "metadata": None, "valid_until": None}
    return {
        "email": {
            "marketing": nothing | how | email | {"suppression": [], "list_suppressions": []},
            "open_tracking": nothing | until,
        },
        "sms": {
            "marketing": nothing | how | {"can_receive_sms_marketing": False},
            "transactional": nothing | how | {"can_receive_sms_transactional": False},
        },
        "mobile_push": {
            "marketing": {
                "can_receive_push_marketing": False, "consent": "NEVER_SUBSCRIBED", "consent_timestamp": None
            }
        },
        "whatsapp": {
            purpose: nothing | until | {"phone_number": None}
            for purpose in ("marketing", "transactional", "conversational")
        },
    }  # fmt: skip


def nothing_predicted() -> dict[str, Any]:
    """Return the predictions for a person of whom nothing is predicted: the names, without a value."""
    return dict.fromkeys(PREDICTIONS)


@dataclass(slots=True)
class Profile:
    """A person."""

    id: str
    created: datetime
    updated: datetime
    attributes: dict[str, Any] = field(default_factory=dict)
    location: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    last_event: datetime | None = None
    lists: set[str] = field(default_factory=set)
    subscriptions: dict[str, Any] = field(default_factory=never_subscribed)
    predictive_analytics: dict[str, Any] = field(default_factory=nothing_predicted)


@dataclass(slots=True)
class Metric:
    """A kind of event, made by the first event of its name."""

    id: str
    name: str
    created: datetime
    updated: datetime
    has_value: bool = False
    integration: str = "API"


@dataclass(frozen=True, slots=True)
class Audience:
    """A list, or a segment: whoever meets a condition at the moment of asking."""

    id: str
    name: str
    created: datetime
    meets: Callable[[Profile], bool] | None = None
    """The condition of a segment; None for a list."""
    is_active: bool = True
    is_starred: bool = False

    def has(self, profile: Profile) -> bool:
        """Say whether a person is on the list, or in the segment now."""
        return self.id in profile.lists if self.meets is None else self.meets(profile)


@dataclass(frozen=True, slots=True)
class Message:
    """What a campaign or a flow sends."""

    id: str
    name: str
    channel: str
    """``email`` or ``sms``."""
    subject: str | None = None
    variation_id: str = ""
    """Since 2026-10-15 a campaign's message says what its variations say."""


@dataclass(frozen=True, slots=True)
class Campaign:
    """Something sent once, to a list."""

    id: str
    name: str
    audience: str
    sent_at: datetime
    messages: tuple[Message, ...]
    """Several are variations that were tried on parts of the list."""
    audience_id: str
    """Of the ``campaign-audience``, since 2026-10-15."""
    is_archived: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """Messages sent to each person when something happens."""

    id: str
    name: str
    trigger_type: str
    created: datetime
    messages: tuple[Message, ...]
    status: str = "live"
    is_archived: bool = False


@dataclass(slots=True)
class ImportJob:
    """A bulk import of profiles: what it was given, and what came of it."""

    id: str
    created_at: datetime
    entries: list[Any]
    total: int
    status: str = "queued"
    started_at: datetime | None = None
    completed_at: datetime | None = None
    profiles: list[str] = field(default_factory=list)
    """Ids of those imported."""
    errors: list[dict[str, Any]] = field(default_factory=list)
    """JSON:API resources."""


@dataclass(slots=True)
class Event:
    """Something a person did."""

    n: int
    id: str
    metric: Metric
    profile: Profile
    time: datetime
    unique_id: str | None
    properties: dict[str, Any]
    backfill: bool
    received_at: float
    request: str
