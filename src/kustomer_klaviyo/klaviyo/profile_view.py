"""What Klaviyo knows of a person that an agent may want to see, read out of its answers. Pure.

Profiles: developers.klaviyo.com/en/reference/get_profiles. Message events carry ``$message``, and ``$flow`` when a flow
sent them (developers.klaviyo.com/en/docs/working_with_system_webhooks shows one); nothing documents the rest of their
properties, so that each is optional here.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.klaviyo.campaigns import campaign_name
from kustomer_klaviyo.klaviyo.event_wire import read_document

RECEIVED = {"Received Email": "email", "Received SMS": "sms", "Received Text Message": "sms", "Received Push": "push"}
OPENED = {"Opened Email": "email", "Opened Push": "push"}
CLICKED = {"Clicked Email": "email", "Clicked SMS": "sms", "Clicked Text Message": "sms"}
MESSAGE_METRICS = (*RECEIVED, *OPENED, *CLICKED)
"""Klaviyo's own metrics that tell what a person was sent, and the channel of each.

Accounts made since 1 July 2026 have ``Text Message`` where older ones have ``SMS``; one account may have both.
"""

CHANNELS = ("email", "sms", "whatsapp", "push")
"""In the order of the card; further ones that Klaviyo may come to know follow."""

OTHER_NAMES = {"mobile_push": "push"}
TRACKING = "_tracking"
"""So ends what stands beside the consents of a channel without being one to be written to: ``open_tracking``."""

MARKETING = "marketing"
OWN_INTEGRATION = "Klaviyo"
MOST_CONSENTS = 20
LONGEST_WORD = 40
"""Characters of a channel, a purpose or a state: Klaviyo's own words."""

MOST_MESSAGES = 10
LARGEST_NUMBER = 1e15
UNKEEPABLE = ("Cc", "Cs")
"""Categories of Unicode."""


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a person may be written to on one channel, for one purpose."""

    channel: str
    purpose: str = MARKETING
    """Klaviyo's word: ``marketing``, ``transactional``, ``conversational``."""
    state: str
    """Klaviyo's word in lower case: ``subscribed``, ``unsubscribed``, ``never_subscribed``."""
    since: datetime | None = None
    until: datetime | None = None
    """When the consent ends by itself."""
    can_receive: bool | None = None
    suppressed: str | None = None
    """Why nothing is sent whatever the consent, in Klaviyo's word: a bounce, a complaint."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What Klaviyo expects of a person; each is None where it predicts nothing."""

    lifetime_value: float | None = None
    """In the account's currency, past and expected orders together."""
    churn_risk: float | None = None
    """From 0 to 1."""
    next_order: datetime | None = None


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """A Klaviyo profile, as far as an agent needs it."""

    id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    consents: tuple[Consent, ...] = ()
    prediction: Prediction | None = None
    """None when it was not asked for."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something a person was sent."""

    id: str
    """A campaign's id, or a message's."""
    channel: str
    name: str | None = None
    subject: str | None = None
    flow: str | None = None
    """The id of the flow that sent it; None for a campaign."""
    sent_at: datetime | None = None
    """None when it was sent before what was read began."""
    opened_at: datetime | None = None
    clicked_at: datetime | None = None

    @property
    def last_at(self) -> datetime:
        """When something last happened with it."""
        moments = [at for at in (self.sent_at, self.opened_at, self.clicked_at) if at is not None]
        return max(moments, default=datetime.min.replace(tzinfo=UTC))


class Named(msgspec.Struct, frozen=True):
    """A list or a segment."""

    id: str
    name: str


class Happening(msgspec.Struct, frozen=True):
    """One event of a message: received, opened or clicked."""

    metric: str
    at: datetime
    properties: dict[str, Any]


def read_profiles(body: bytes) -> list[Who]:
    """Read the profiles in an answer, one or several."""
    return [_who(one) for one in _resources(body)]


def read_named(body: bytes) -> list[Named]:
    """Read lists or segments, by their names."""
    found = [Named(one["id"], _text(_dict(one.get("attributes")).get("name")) or one["id"]) for one in _resources(body)]
    return sorted(found, key=lambda one: one.name.lower())


def read_metrics(body: bytes) -> dict[str, str]:
    """Read Klaviyo's own message metrics: names by ids. Another integration may have one of the same name."""
    found = {}
    for one in _resources(body):
        attributes = _dict(one.get("attributes"))
        name, integration = attributes.get("name"), _dict(attributes.get("integration"))
        if name in MESSAGE_METRICS and integration.get("name", OWN_INTEGRATION) == OWN_INTEGRATION:
            found[one["id"]] = name
    return found


def read_happenings(body: bytes, metrics: Mapping[str, str]) -> list[Happening]:
    """Read events of some metrics (names by ids); one without a time, or of no metric known, tells nothing."""
    found = []
    for one in _resources(body):
        attributes = _dict(one.get("attributes"))
        at, properties = _time(attributes.get("datetime")), _dict(attributes.get("event_properties"))
        metric = metrics.get(_metric_of(one, metrics))
        if at is not None and metric is not None and properties.get("Bot Click") is not True:
            found.append(Happening(metric, at, properties))
    return found


def _metric_of(event: Mapping[str, Any], asked: Mapping[str, str]) -> str:
    """Return the id of an event's metric: as it says, else the one that was asked for."""
    related = _dict(_dict(_dict(event.get("relationships")).get("metric")).get("data")).get("id")
    if isinstance(related, str):
        return related
    return next(iter(asked)) if len(asked) == 1 else ""


def read_ids(body: bytes) -> set[str]:
    """Read the ids of what an answer lists."""
    return {one["id"] for one in _resources(body)}


def read_account(body: bytes) -> dict[str, str | None]:
    """Read an account's ``name``, and the ``currency`` of its values."""
    attributes = next((_dict(one.get("attributes")) for one in _resources(body)), {})
    name = _dict(attributes.get("contact_information")).get("organization_name")
    return {"name": _text(name), "currency": _text(attributes.get("preferred_currency"))}


def read_campaign(body: bytes) -> Named | None:
    """Read a campaign, in whatever shape it comes."""
    for one in _resources(body):
        name = _text(campaign_name(_dict(one.get("attributes"))))
        return Named(one["id"], name or one["id"])
    return None


def messages(happenings: Iterable[Happening]) -> list[Message]:
    """Put together what happened with each message, the latest first."""
    sent: dict[str, list[Message]] = {}
    for one in sorted(happenings, key=lambda one: (one.at, one.metric not in RECEIVED)):
        message_id = _text(one.properties.get("$message"))
        if message_id is None:
            continue
        copies = sent.setdefault(message_id, [])
        if one.metric in RECEIVED:
            # An account with both sets of text metrics may record one receipt under each name.
            if not any(copy.sent_at == one.at for copy in copies):
                copies.append(_message(message_id, one, RECEIVED[one.metric]))
            continue
        if not copies:
            copies.append(_message(message_id, one, {**OPENED, **CLICKED}[one.metric]))
        copies[-1] = _with(copies[-1], one)
    found = [message for copies in sent.values() for message in copies]
    return sorted(found, key=lambda message: message.last_at, reverse=True)


def latest(found: Sequence[Message]) -> list[Message]:
    """Return the latest campaigns and the latest messages of flows, so many of each as a card shows."""
    campaigns = [one for one in found if one.flow is None][:MOST_MESSAGES]
    flows = [one for one in found if one.flow is not None][:MOST_MESSAGES]
    return campaigns + flows


def _message(message_id: str, one: Happening, channel: str) -> Message:
    return Message(
        id=message_id,
        channel=channel,
        name=_text(one.properties.get("Campaign Name")),
        subject=_text(one.properties.get("Subject")),
        flow=_text(one.properties.get("$flow")),
        sent_at=one.at if one.metric in RECEIVED else None,
    )


def _with(message: Message, one: Happening) -> Message:
    if one.metric in OPENED:
        return msgspec.structs.replace(message, opened_at=message.opened_at or one.at)
    clicked = message.clicked_at or one.at
    return msgspec.structs.replace(message, clicked_at=clicked)


def _who(resource: Mapping[str, Any]) -> Who:
    attributes = _dict(resource.get("attributes"))
    names = [_text(attributes.get(name)) for name in ("first_name", "last_name")]
    subscriptions = _dict(attributes.get("subscriptions"))
    return Who(
        id=resource["id"],
        name=" ".join(filter(None, names)) or None,
        email=_text(attributes.get("email")),
        phone=_text(attributes.get("phone_number")),
        consents=tuple(_consents(subscriptions)),
        prediction=_prediction(attributes),
    )


def _consents(subscriptions: Mapping[str, Any]) -> list[Consent]:
    found = [
        consent
        for name, purposes in subscriptions.items()
        for purpose, told in _dict(purposes).items()
        if not purpose.endswith(TRACKING) and (consent := _consent(name, purpose, _dict(told))) is not None
    ]
    return sorted(found, key=_place)[:MOST_CONSENTS]


def _place(consent: Consent) -> tuple[int, bool]:
    known = CHANNELS.index(consent.channel) if consent.channel in CHANNELS else len(CHANNELS)
    return known, consent.purpose != MARKETING


def _consent(name: str, purpose: str, told: Mapping[str, Any]) -> Consent | None:
    channel, kind, state = map(_word, (OTHER_NAMES.get(name, name), purpose, told.get("consent")))
    if channel is None or kind is None or state is None:
        return None
    suppressions = told.get("suppression")
    first = _dict(suppressions[0]) if isinstance(suppressions, list) and suppressions else {}
    allowed = next((told[key] for key in told if key.startswith("can_receive")), None)
    return Consent(
        channel=channel,
        purpose=kind,
        state=state.lower(),
        since=_time(told.get("consent_timestamp")),
        until=_time(told.get("valid_until")),
        can_receive=allowed if isinstance(allowed, bool) else None,
        suppressed=(_word(first.get("reason")) or "").lower() or None,
    )


def _word(value: Any) -> str | None:
    text = _text(value)
    return text[:LONGEST_WORD] if text else None


def _prediction(attributes: Mapping[str, Any]) -> Prediction | None:
    """Read what is predicted: nothing, where Klaviyo predicts nothing (all null); None where it was not asked."""
    if "predictive_analytics" not in attributes:
        return None
    analytics = _dict(attributes["predictive_analytics"])
    return Prediction(
        lifetime_value=_number(analytics.get("total_clv")),
        churn_risk=_number(analytics.get("churn_probability")),
        next_order=_time(analytics.get("expected_date_of_next_order")),
    )


def _resources(body: bytes) -> list[dict[str, Any]]:
    """Return the resources of a document, one or several; those without an id are none."""
    data = _dict(read_document(body)).get("data")
    listed = data if isinstance(data, list) else [data]
    return [one for one in listed if isinstance(one, dict) and _is_id(one.get("id"))]


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    """Return a text in one line, without what cannot be kept: control characters, halves of characters."""
    if not isinstance(value, str):
        return None
    kept = (one for one in value if unicodedata.category(one) not in UNKEEPABLE)
    return " ".join("".join(kept).split()) or None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER
    return float(value) if is_number else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
        return found.astimezone(UTC) if found.tzinfo is not None else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
