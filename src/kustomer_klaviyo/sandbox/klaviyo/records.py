"""What an account is made of: profiles, metrics, events, and how their ids look. Knows no rules."""

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"


def new_ulid(now: float) -> str:
    """Return a profile id of the newer kind: 26 characters, the first ten from the time."""
    number = (int(now * 1000) << 80) | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def short_id(text: str) -> str:
    """Return a six-character id for a thing with a name."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return "".join(LETTERS[number // len(LETTERS) ** place % len(LETTERS)] for place in range(6))


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


@dataclass(slots=True)
class Metric:
    """A kind of event, made by the first event of its name."""

    id: str
    name: str
    created: datetime
    updated: datetime
    has_value: bool = False
    integration: str = "API"


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
