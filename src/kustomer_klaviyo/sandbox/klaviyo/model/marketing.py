"""What the simulated shop markets with: lists, segments, campaigns sent, flows. The same for everybody who plays."""

from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.records import (
    Audience,
    Campaign,
    Flow,
    Message,
    Profile,
    named_ulid,
    short_id,
)

NEWSLETTER, TEXTS, VIPS = "Newsletter", "SMS Club", "Lantern Circle"
LISTS = (NEWSLETTER, TEXTS, VIPS)

CAMPAIGNS = (
    ("Autumn Lights 2026", ("The evenings are drawing in",), 3, "email", NEWSLETTER),
    ("New: paper lanterns", ("Fold one yourself", "A lantern in five folds"), 9, "email", NEWSLETTER),
    ("Weekend text", (None,), 13, "sms", TEXTS),
    ("Circle preview", ("Before anyone else sees it",), 20, "email", VIPS),
    ("Late summer sale", ("Everything that glows, 20% off",), 41, "email", NEWSLETTER),
    ("End of summer text", (None,), 45, "sms", TEXTS),
    ("Midsummer letter", ("The longest day",), 96, "email", NEWSLETTER),
)
"""Name, subjects (several are variations), days ago, channel, list."""

FLOWS = (
    ("Welcome series", "Added to List", (("Welcome #1", "Good to have you here"), ("Welcome #2", "How we make light"))),
    ("Abandoned cart", "Metric", (("Cart reminder", "Still thinking about it?"),)),
)


class Marketing:
    """The lists, segments, campaigns and flows of an account, by their ids."""

    def __init__(self, now: datetime) -> None:
        founded = (now - timedelta(days=400)).replace(microsecond=0)
        self.lists = {one.id: one for one in (Audience(short_id(f"list {name}"), name, founded) for name in LISTS)}
        self.segments = {one.id: one for one in _segments(founded)}
        self.campaigns = {one.id: one for one in (_campaign(now, *given) for given in CAMPAIGNS)}
        self.flows = {one.id: one for one in (_flow(founded, *given) for given in FLOWS)}

    def segments_of(self, profile: Profile) -> list[Audience]:
        """Return the segments whose condition a person meets now."""
        return [one for one in self.segments.values() if one.meets is not None and one.meets(profile)]

    def lists_of(self, profile: Profile) -> list[Audience]:
        """Return the lists a person is on."""
        return [one for one in self.lists.values() if one.id in profile.lists]


def _has_open_conversation(person: Profile) -> bool:
    return _number(person.properties, "Kustomer Open Conversations") > 0


def _is_subscribed(person: Profile) -> bool:
    return bool(_consent(person, "email") == "SUBSCRIBED")


def _is_worth_keeping(person: Profile) -> bool:
    return _number(person.predictive_analytics, "total_clv") > 250


def _may_leave(person: Profile) -> bool:
    return _number(person.predictive_analytics, "churn_probability") > 0.6


SEGMENTS = {
    "People with an open conversation": _has_open_conversation,
    "Email subscribers": _is_subscribed,
    "Worth keeping": _is_worth_keeping,
    "Likely to leave": _may_leave,
}


def _segments(created: datetime) -> list[Audience]:
    return [Audience(short_id(f"segment {name}"), name, created, meets) for name, meets in SEGMENTS.items()]


def _number(held: dict[str, Any], name: str) -> float:
    value = held.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _consent(person: Profile, channel: str) -> Any:
    return person.subscriptions[channel]["marketing"]["consent"]


def _campaign(
    now: datetime, name: str, subjects: tuple[str | None, ...], days_ago: int, channel: str, audience: str
) -> Campaign:
    sent_at = (now - timedelta(days=days_ago)).replace(hour=9, minute=30, second=0, microsecond=0)
    at = sent_at.timestamp()
    messages = tuple(
        Message(
            named_ulid(at, f"message {name} {number}"), name, channel, subject, named_ulid(at, f"said {name} {number}")
        )
        for number, subject in enumerate(subjects)
    )
    made, whom = named_ulid(at, f"campaign {name}"), named_ulid(at, f"audience {name}")
    return Campaign(made, name, short_id(f"list {audience}"), sent_at, messages, whom)


def _flow(created: datetime, name: str, trigger_type: str, messages: tuple[tuple[str, str], ...]) -> Flow:
    sent = tuple(Message(short_id(f"flow message {title}"), title, "email", subject) for title, subject in messages)
    return Flow(short_id(f"flow {name}"), name, trigger_type, created, sent)
