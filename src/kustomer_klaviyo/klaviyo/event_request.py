"""Builds Klaviyo event requests from facts: metric names and properties. Pure.

Rules of the event API: developers.klaviyo.com/en/reference/events_api_overview
"""

import hashlib
import math
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from kustomer_klaviyo.facts import Conversation, ConversationCreated, ConversationDone, CsatSubmitted, Fact

MAX_UNIQUE_ID_LENGTH = 255
MAX_METRIC_LENGTH = 127
MAX_SUBJECT_LENGTH = 1000
"""Klaviyo accepts 100 kB, but a longer subject is of no use in segments."""
MIN_GOOD_RATING = 4
PLACEHOLDERS = ("{org}", "{customerId}", "{conversationId}")
DROPPED_DOMAINS = ("example.com", "test.com")
"""Klaviyo responds with 202 to events for addresses at these domains, and drops them."""

_BRACED = re.compile(r"\{[^{}]*\}")

Property = str | int | float


@dataclass(frozen=True, slots=True)
class EventRequest:
    """One event to create in Klaviyo, for a profile with one identifier."""

    metric: str
    unique_id: str
    time: datetime
    properties: dict[str, Property]
    email: str | None = None
    phone: str | None = None
    """Set only without an email: Klaviyo merges profiles when one request links two identifiers."""
    backfill: bool = False
    """Klaviyo stores the event with its own time and starts no flow."""


@dataclass(frozen=True, slots=True)
class EventSettings:
    """The options of a connection that concern events."""

    org: str
    created_metric: str = "Kustomer Conversation Create"
    done_metric: str = "Kustomer Conversation Done"
    csat_metric: str = "Kustomer Conversation CSAT Submitted"
    conversation_link: str = "https://{org}.kustomerapp.com/app/customers/{customerId}/event/{conversationId}"


def build_event(
    fact: Fact, *, email: str | None, phone: str | None, settings: EventSettings, backfill: bool = False
) -> EventRequest:
    """Build the request of a fact. Unknown values are left out, since Klaviyo drops null and empty text."""
    match fact:
        case ConversationCreated(conversation=conversation):
            metric, properties = settings.created_metric, _conversation_properties(conversation, settings)
        case ConversationDone(conversation=conversation):
            metric, properties = (
                settings.done_metric,
                _channel_property(conversation) | _conversation_properties(conversation, settings),
            )
        case CsatSubmitted(conversation=conversation):
            metric = settings.csat_metric
            properties = (
                _channel_property(conversation)
                | _conversation_properties(conversation, settings)
                | _rating_properties(fact)
            )
    return EventRequest(
        metric=metric,
        unique_id=unique_id(fact.fact_key),
        time=fact.occurred_at,
        properties=properties,
        email=email,
        phone=None if email else phone,
        backfill=backfill,
    )


def _conversation_properties(conversation: Conversation, settings: EventSettings) -> dict[str, Property]:
    properties: dict[str, Property] = {
        "conversationId": conversation.id,
        "conversationLink": conversation_url(settings, conversation),
    }
    if conversation.subject:
        properties["subject"] = conversation.subject[:MAX_SUBJECT_LENGTH]
    return properties


def _channel_property(conversation: Conversation) -> dict[str, Property]:
    return {"conversationChannel": conversation.channel} if conversation.channel else {}


def rating_and_score(csat: CsatSubmitted) -> tuple[int | float | None, int | None]:
    """Return the rating and the score derived from it; without a rating, Kustomer's own score."""
    rating = csat.rating
    if rating is None or not math.isfinite(rating):
        return None, csat.score
    return int(rating) if rating.is_integer() else rating, int(rating >= MIN_GOOD_RATING)


def _rating_properties(csat: CsatSubmitted) -> dict[str, Property]:
    """Return rating and score, and ``scoreText``, because Klaviyo drops the number 0 from event properties."""
    rating, score = rating_and_score(csat)
    properties: dict[str, Property] = {"rating": rating} if rating else {}
    return properties if score is None else properties | {"score": score, "scoreText": str(score)}


def unique_id(fact_key: str) -> str:
    """Return Klaviyo's deduplication id: the fact key, or a digest of a key that is too long."""
    if 0 < len(fact_key) <= MAX_UNIQUE_ID_LENGTH:
        return fact_key
    return f"{fact_key[:180]}:{hashlib.sha256(fact_key.encode()).hexdigest()}"


def conversation_url(settings: EventSettings, conversation: Conversation) -> str:
    """Fill the placeholders of the link. Values are URL-quoted, so that an id cannot change the target."""
    values = (settings.org, conversation.customer_id or "", conversation.id)
    url = settings.conversation_link
    for placeholder, value in zip(PLACEHOLDERS, values, strict=True):
        url = url.replace(placeholder, quote(value, safe=""))
    return url


def validate_conversation_link(link: str) -> None:
    """Raise ValueError for a link with unknown placeholders, or one that is no web address."""
    if not link.startswith(("https://", "http://")):
        raise ValueError("conversation_link must start with https://")
    unknown = [name for name in _BRACED.findall(link) if name not in PLACEHOLDERS]
    stripped = _BRACED.sub("", link)
    if unknown or "{" in stripped or "}" in stripped:
        raise ValueError(f"conversation_link may contain {', '.join(PLACEHOLDERS)} and no other braces")


def validate_metric_name(name: str) -> None:
    """Raise ValueError for a metric name that Klaviyo does not accept."""
    if not name.strip() or len(name) > MAX_METRIC_LENGTH:
        raise ValueError(f"a metric name has 1 to {MAX_METRIC_LENGTH} characters")


def is_dropped_by_klaviyo(email: str | None) -> bool:
    """Return whether Klaviyo is known to drop events for this address silently."""
    return email is not None and email.rsplit("@", 1)[-1].lower() in DROPPED_DOMAINS
