"""Facts become calls to Klaviyo: exact metric names and properties. Pure; knows nothing of Kustomer or of storage.

Rules of the event API: developers.klaviyo.com/en/reference/events_api_overview
"""

import hashlib
import math
import re
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from kustomer_klaviyo.facts import Conversation, ConversationClosed, ConversationOpened, Fact, SatisfactionAnswered

LONGEST_UNIQUE_ID = 255
LONGEST_METRIC = 127
LONGEST_SUBJECT = 1000
"""Characters of a subject that are sent; Klaviyo takes 100 kB, but nobody segments on an essay."""
GOOD_RATING = 4
PLACEHOLDERS = ("{org}", "{customerId}", "{conversationId}")
DROPPED_DOMAINS = ("example.com", "test.com")
"""Klaviyo answers 202 to events for addresses there and drops them."""

_BRACED = re.compile(r"\{[^{}]*\}")

Property = str | int | float


@dataclass(frozen=True, slots=True)
class EventCall:
    """One event to be created in Klaviyo, for a person known by one identifier."""

    metric: str
    unique_id: str
    time: datetime
    properties: dict[str, Property]
    email: str | None = None
    phone: str | None = None
    """Set only where there is no email: Klaviyo merges profiles when one message links two identifiers."""
    backfill: bool = False
    """Stored at its own time without starting flows."""


@dataclass(frozen=True, slots=True)
class ExpressOptions:
    """What a connection's settings say about wording."""

    org: str
    created_metric: str = "Kustomer Conversation Create"
    closed_metric: str = "Kustomer Conversation Done"
    satisfaction_metric: str = "Kustomer Conversation CSAT Submitted"
    link_template: str = "https://{org}.kustomerapp.com/app/customers/{customerId}/event/{conversationId}"


def express(
    fact: Fact, *, email: str | None, phone: str | None, options: ExpressOptions, backfill: bool = False
) -> EventCall:
    """Say a fact in Klaviyo's terms; what is unknown is left out, since Klaviyo drops null and empty text."""
    match fact:
        case ConversationOpened(conversation=conversation):
            metric, properties = options.created_metric, _about(conversation, options)
        case ConversationClosed(conversation=conversation):
            metric, properties = options.closed_metric, _channel(conversation) | _about(conversation, options)
        case SatisfactionAnswered(conversation=conversation):
            metric = options.satisfaction_metric
            properties = _channel(conversation) | _about(conversation, options) | _verdict(fact)
    return EventCall(
        metric=metric,
        unique_id=unique_id(fact.key),
        time=fact.at,
        properties=properties,
        email=email,
        phone=None if email else phone,
        backfill=backfill,
    )


def _about(conversation: Conversation, options: ExpressOptions) -> dict[str, Property]:
    about: dict[str, Property] = {
        "conversationId": conversation.id,
        "conversationLink": link(options, conversation),
    }
    if conversation.subject:
        about["subject"] = conversation.subject[:LONGEST_SUBJECT]
    return about


def _channel(conversation: Conversation) -> dict[str, Property]:
    return {"conversationChannel": conversation.channel} if conversation.channel else {}


def verdict(answer: SatisfactionAnswered) -> tuple[int | float | None, int | None]:
    """Return the rating, and the score that follows from it; the vendor's own score where there is no rating."""
    rating = answer.rating
    if rating is None or not math.isfinite(rating):
        return None, answer.score
    return int(rating) if rating.is_integer() else rating, int(rating >= GOOD_RATING)


def _verdict(answer: SatisfactionAnswered) -> dict[str, Property]:
    """Return rating and score; ``scoreText`` besides, because Klaviyo drops the number 0 from event properties."""
    rating, score = verdict(answer)
    properties: dict[str, Property] = {"rating": rating} if rating else {}
    return properties if score is None else properties | {"score": score, "scoreText": str(score)}


def unique_id(key: str) -> str:
    """Return the text by which Klaviyo tells a repeated event: the key itself, or a digest of one it would not take."""
    if 0 < len(key) <= LONGEST_UNIQUE_ID:
        return key
    return f"{key[:180]}:{hashlib.sha256(key.encode()).hexdigest()}"


def link(options: ExpressOptions, conversation: Conversation) -> str:
    """Fill the link template; its values are quoted, so that an id cannot lead elsewhere."""
    values = (options.org, conversation.customer_id or "", conversation.id)
    text = options.link_template
    for placeholder, value in zip(PLACEHOLDERS, values, strict=True):
        text = text.replace(placeholder, quote(value, safe=""))
    return text


def validate_template(template: str) -> None:
    """Raise ValueError when a link template holds anything but the known placeholders, or is no web address."""
    if not template.startswith(("https://", "http://")):
        raise ValueError("link_template must start with https://")
    unknown = [found for found in _BRACED.findall(template) if found not in PLACEHOLDERS]
    stripped = _BRACED.sub("", template)
    if unknown or "{" in stripped or "}" in stripped:
        raise ValueError(f"link_template may hold {', '.join(PLACEHOLDERS)} and no other braces")


def validate_metric(name: str) -> None:
    """Raise ValueError when Klaviyo would not take the name for a metric."""
    if not name.strip() or len(name) > LONGEST_METRIC:
        raise ValueError(f"a metric name has 1 to {LONGEST_METRIC} characters")


def is_dropped(email: str | None) -> bool:
    """Say whether Klaviyo is known to drop events for this address without a word."""
    return email is not None and email.rsplit("@", 1)[-1].lower() in DROPPED_DOMAINS
