"""Marketing of the simulated shop: lists, segments, sent campaigns, flows. Always the same."""

from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.records import (
    Audience,
    Campaign,
    Flow,
    MarketingMessage,
    Profile,
    named_ulid,
    short_id,
)

NEWSLETTER, SMS_CLUB, VIPS = "Newsletter", "SMS Club", "Lantern Circle"
LISTS = (NEWSLETTER, SMS_CLUB, VIPS)

CAMPAIGNS = (
    ("Autumn Lights 2026", ("The evenings are drawing in",), 3, "email", NEWSLETTER),
    ("New: paper lanterns", ("Fold one yourself", "A lantern in five folds"), 9, "email", NEWSLETTER),
    ("Weekend text", (None,), 13, "sms", SMS_CLUB),
    ("Circle preview", ("Before anyone else sees it",), 20, "email", VIPS),
    ("Late summer sale", ("Everything that glows, 20% off",), 41, "email", NEWSLETTER),
    ("End of summer text", (None,), 45, "sms", SMS_CLUB),
    ("Midsummer letter", ("The longest day",), 96, "email", NEWSLETTER),
)
"""Name, subjects (several are variations), days since it was sent, channel, list."""

FLOWS = (
    ("Welcome series", "Added to List", (("Welcome #1", "Good to have you here"), ("Welcome #2", "How we make light"))),
    ("Abandoned cart", "Metric", (("Cart reminder", "Still thinking about it?"),)),
)


class Marketing:
    """The lists, segments, campaigns and flows of an account, by id."""

    def __init__(self, now: datetime) -> None:
        created = (now - timedelta(days=400)).replace(microsecond=0)
        self.lists = {audience.id: audience for audience in _lists(created)}
        self.segments = {segment.id: segment for segment in _segments(created)}
        campaigns = (_campaign(now, *definition) for definition in CAMPAIGNS)
        self.campaigns = {campaign.id: campaign for campaign in campaigns}
        flows = (_flow(created, *definition) for definition in FLOWS)
        self.flows = {flow.id: flow for flow in flows}

    def segments_of(self, profile: Profile) -> list[Audience]:
        """Return the segments that a profile is in now."""
        return [segment for segment in self.segments.values() if segment.has(profile)]

    def lists_of(self, profile: Profile) -> list[Audience]:
        """Return the lists that a profile is on."""
        return [audience for audience in self.lists.values() if audience.has(profile)]


def _has_open_conversation(profile: Profile) -> bool:
    return _number(profile.properties, "Kustomer Open Conversations") > 0


def _is_subscribed(profile: Profile) -> bool:
    return bool(_consent(profile, "email") == "SUBSCRIBED")


def _has_high_clv(profile: Profile) -> bool:
    return _number(profile.predictive_analytics, "total_clv") > 250


def _is_churn_risk(profile: Profile) -> bool:
    return _number(profile.predictive_analytics, "churn_probability") > 0.6


SEGMENTS = {
    "People with an open conversation": _has_open_conversation,
    "Email subscribers": _is_subscribed,
    "High lifetime value": _has_high_clv,
    "Churn risk": _is_churn_risk,
}


def _lists(created: datetime) -> list[Audience]:
    return [Audience(short_id(f"list {name}"), name, created) for name in LISTS]


def _segments(created: datetime) -> list[Audience]:
    return [Audience(short_id(f"segment {name}"), name, created, condition) for name, condition in SEGMENTS.items()]


def _number(values: dict[str, Any], name: str) -> float:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _consent(profile: Profile, channel: str) -> Any:
    return profile.subscriptions[channel]["marketing"]["consent"]


def _campaign(
    now: datetime, name: str, subjects: tuple[str | None, ...], days_ago: int, channel: str, audience: str
) -> Campaign:
    sent_at = (now - timedelta(days=days_ago)).replace(hour=9, minute=30, second=0, microsecond=0)
    timestamp = sent_at.timestamp()
    messages = tuple(
        MarketingMessage(
            named_ulid(timestamp, f"message {name} {number}"),
            name,
            channel,
            subject,
            named_ulid(timestamp, f"variation {name} {number}"),
        )
        for number, subject in enumerate(subjects)
    )
    campaign_id, audience_id = named_ulid(timestamp, f"campaign {name}"), named_ulid(timestamp, f"audience {name}")
    return Campaign(campaign_id, name, short_id(f"list {audience}"), sent_at, messages, audience_id)


def _flow(created: datetime, name: str, trigger_type: str, messages: tuple[tuple[str, str], ...]) -> Flow:
    flow_messages = tuple(
        MarketingMessage(short_id(f"flow message {title}"), title, "email", subject) for title, subject in messages
    )
    return Flow(short_id(f"flow {name}"), name, trigger_type, created, flow_messages)
