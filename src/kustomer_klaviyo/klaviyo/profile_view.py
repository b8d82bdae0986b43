"""Reads the parts of Klaviyo's responses that the card shows: profiles, memberships and messages. Pure.

Profiles: developers.klaviyo.com/en/reference/get_profiles. Message events have ``$message``, and ``$flow`` if a flow
sent the message (developers.klaviyo.com/en/docs/working_with_system_webhooks shows one). The other properties are
undocumented, so each is optional here.
"""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.klaviyo.campaigns import campaign_name
from kustomer_klaviyo.klaviyo.event_wire import read_document

RECEIVED = {"Received Email": "email", "Received SMS": "sms", "Received Text Message": "sms", "Received Push": "push"}
OPENED = {"Opened Email": "email", "Opened Push": "push"}
CLICKED = {"Clicked Email": "email", "Clicked SMS": "sms", "Clicked Text Message": "sms"}
MESSAGE_METRICS = (*RECEIVED, *OPENED, *CLICKED)
"""Klaviyo's own metrics of messages. The mappings above give the channel of each.

Accounts created since 1 July 2026 have ``Text Message`` where older ones have ``SMS``. An account may have both.
"""

CHANNELS = ("email", "sms", "whatsapp", "push")
"""The order on the card. Other channels follow."""

CHANNEL_ALIASES = {"mobile_push": "push"}
TRACKING_SUFFIX = "_tracking"
"""The suffix of entries among a channel's consents that are not consents to messages, such as ``open_tracking``."""

MARKETING = "marketing"
OWN_INTEGRATION = "Klaviyo"
MAX_CONSENTS = 20
MAX_WORD_LENGTH = 40
"""The most characters that are kept of a channel, purpose, state or reason. These are Klaviyo's own words."""

MAX_MESSAGES = 10
MAX_NUMBER = 1e15
REMOVED_CATEGORIES = ("Cc", "Cs")
"""The Unicode categories of characters that are removed from text: control characters and unpaired surrogates."""


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """The consent of a profile to messages on one channel, for one purpose."""

    channel: str
    purpose: str = MARKETING
    """As in Klaviyo: ``marketing``, ``transactional``, ``conversational``."""
    state: str
    """As in Klaviyo, in lower case: ``subscribed``, ``unsubscribed``, ``never_subscribed``."""
    since: datetime | None = None
    until: datetime | None = None
    """When the consent expires."""
    can_receive: bool | None = None
    suppressed: str | None = None
    """Klaviyo's reason for sending nothing despite consent, such as a bounce or a complaint."""


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """Klaviyo's predictions for a profile. Each is None if Klaviyo makes no prediction."""

    lifetime_value: float | None = None
    """The value of past and predicted orders, in the account's currency."""
    churn_risk: float | None = None
    """From 0 to 1."""
    next_order: datetime | None = None


class KlaviyoProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a Klaviyo profile that the card uses."""

    id: str
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    consents: tuple[Consent, ...] = ()
    prediction: Prediction | None = None
    """None if predictions were not requested."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message that was sent to a profile."""

    id: str
    """The id of a campaign or of a message."""
    channel: str
    name: str | None = None
    subject: str | None = None
    flow_id: str | None = None
    """The id of the flow that sent the message; None for a campaign."""
    sent_at: datetime | None = None
    """None if the message was sent before the period that was read."""
    opened_at: datetime | None = None
    clicked_at: datetime | None = None

    @property
    def last_at(self) -> datetime:
        """The time of the latest event of the message."""
        times = [at for at in (self.sent_at, self.opened_at, self.clicked_at) if at is not None]
        return max(times, default=datetime.min.replace(tzinfo=UTC))


class NamedRef(msgspec.Struct, frozen=True):
    """The id and name of a list, segment or campaign."""

    id: str
    name: str


class MessageEvent(msgspec.Struct, frozen=True):
    """A message was received, opened or clicked."""

    metric: str
    occurred_at: datetime
    properties: dict[str, Any]


def read_profiles(body: bytes) -> list[KlaviyoProfile]:
    """Read the profiles of a response with one profile or several."""
    return [_profile(resource) for resource in _resources(body)]


def read_named(body: bytes) -> list[NamedRef]:
    """Read lists or segments, sorted by name."""
    groups = [
        NamedRef(resource["id"], _text(_attributes(resource).get("name")) or resource["id"])
        for resource in _resources(body)
    ]
    return sorted(groups, key=lambda group: group.name.lower())


def read_metrics(body: bytes) -> dict[str, str]:
    """Read the names of Klaviyo's own message metrics by id. Other integrations may use the same names."""
    names = {}
    for resource in _resources(body):
        attributes = _attributes(resource)
        name, integration = attributes.get("name"), as_object(attributes.get("integration"))
        if name in MESSAGE_METRICS and integration.get("name", OWN_INTEGRATION) == OWN_INTEGRATION:
            names[resource["id"]] = name
    return names


def read_message_events(body: bytes, metrics: Mapping[str, str]) -> list[MessageEvent]:
    """Read events of the given metrics (names by id). Events without a time and clicks by bots are left out."""
    events = []
    for resource in _resources(body):
        attributes = _attributes(resource)
        occurred_at, properties = _time(attributes.get("datetime")), as_object(attributes.get("event_properties"))
        metric = metrics.get(_metric_id(resource, metrics))
        if occurred_at is not None and metric is not None and properties.get("Bot Click") is not True:
            events.append(MessageEvent(metric, occurred_at, properties))
    return events


def _metric_id(event: Mapping[str, Any], metrics: Mapping[str, str]) -> str:
    """Return the metric id of an event; if the event has none, the only metric that was requested."""
    relationship = as_object(as_object(event.get("relationships")).get("metric"))
    metric_id = as_object(relationship.get("data")).get("id")
    if isinstance(metric_id, str):
        return metric_id
    return next(iter(metrics)) if len(metrics) == 1 else ""


def read_ids(body: bytes) -> set[str]:
    """Read the ids of the resources in a response."""
    return {resource["id"] for resource in _resources(body)}


def read_account(body: bytes) -> dict[str, str | None]:
    """Read an account's ``name`` and ``currency``."""
    attributes = next(map(_attributes, _resources(body)), {})
    name = as_object(attributes.get("contact_information")).get("organization_name")
    return {"name": _text(name), "currency": _text(attributes.get("preferred_currency"))}


def read_campaign(body: bytes) -> NamedRef | None:
    """Read a campaign of any API revision; None if the response has none."""
    for resource in _resources(body):
        name = _text(campaign_name(_attributes(resource)))
        return NamedRef(resource["id"], name or resource["id"])
    return None


def build_messages(events: Iterable[MessageEvent]) -> list[Message]:
    """Combine events into messages, the latest first. A message that was sent twice is two messages."""
    by_id: dict[str, list[Message]] = {}
    for event in sorted(events, key=lambda event: (event.occurred_at, event.metric not in RECEIVED)):
        message_id = _text(event.properties.get("$message"))
        if message_id is None:
            continue
        copies = by_id.setdefault(message_id, [])
        if event.metric in RECEIVED:
            # An account with both sets of text metrics may record one receipt under each name.
            if not any(copy.sent_at == event.occurred_at for copy in copies):
                copies.append(_message(message_id, event, RECEIVED[event.metric]))
            continue
        if not copies:
            copies.append(_message(message_id, event, {**OPENED, **CLICKED}[event.metric]))
        copies[-1] = _updated(copies[-1], event)
    messages = [message for copies in by_id.values() for message in copies]
    return sorted(messages, key=lambda message: message.last_at, reverse=True)


def latest_messages(messages: Sequence[Message]) -> list[Message]:
    """Return the latest campaigns and the latest flow messages, as many of each as a card shows."""
    campaigns = [message for message in messages if message.flow_id is None][:MAX_MESSAGES]
    flows = [message for message in messages if message.flow_id is not None][:MAX_MESSAGES]
    return campaigns + flows


def _message(message_id: str, event: MessageEvent, channel: str) -> Message:
    return Message(
        id=message_id,
        channel=channel,
        name=_text(event.properties.get("Campaign Name")),
        subject=_text(event.properties.get("Subject")),
        flow_id=_text(event.properties.get("$flow")),
        sent_at=event.occurred_at if event.metric in RECEIVED else None,
    )


def _updated(message: Message, event: MessageEvent) -> Message:
    if event.metric in OPENED:
        return msgspec.structs.replace(message, opened_at=message.opened_at or event.occurred_at)
    return msgspec.structs.replace(message, clicked_at=message.clicked_at or event.occurred_at)


def _profile(resource: Mapping[str, Any]) -> KlaviyoProfile:
    attributes = _attributes(resource)
    names = [_text(attributes.get(field)) for field in ("first_name", "last_name")]
    return KlaviyoProfile(
        id=resource["id"],
        name=" ".join(filter(None, names)) or None,
        email=_text(attributes.get("email")),
        phone=_text(attributes.get("phone_number")),
        consents=tuple(_consents(as_object(attributes.get("subscriptions")))),
        prediction=_prediction(attributes),
    )


def _consents(subscriptions: Mapping[str, Any]) -> list[Consent]:
    consents = [
        consent
        for channel, purposes in subscriptions.items()
        for purpose, values in as_object(purposes).items()
        if not purpose.endswith(TRACKING_SUFFIX) and (consent := _consent(channel, purpose, values)) is not None
    ]
    return sorted(consents, key=_sort_key)[:MAX_CONSENTS]


def _sort_key(consent: Consent) -> tuple[int, bool]:
    position = CHANNELS.index(consent.channel) if consent.channel in CHANNELS else len(CHANNELS)
    return position, consent.purpose != MARKETING


def _consent(channel: str, purpose: str, attributes: Any) -> Consent | None:
    """Read a consent; None if it has no channel, purpose or state."""
    values = as_object(attributes)
    channel_name = _short_text(CHANNEL_ALIASES.get(channel, channel))
    purpose_name, state = _short_text(purpose), _short_text(values.get("consent"))
    if channel_name is None or purpose_name is None or state is None:
        return None
    suppression = next(map(as_object, as_list(values.get("suppression"))), {})
    can_receive = next((values[key] for key in values if key.startswith("can_receive")), None)
    return Consent(
        channel=channel_name,
        purpose=purpose_name,
        state=state.lower(),
        since=_time(values.get("consent_timestamp")),
        until=_time(values.get("valid_until")),
        can_receive=can_receive if isinstance(can_receive, bool) else None,
        suppressed=(_short_text(suppression.get("reason")) or "").lower() or None,
    )


def _short_text(value: Any) -> str | None:
    text = _text(value)
    return text[:MAX_WORD_LENGTH] if text else None


def _prediction(attributes: Mapping[str, Any]) -> Prediction | None:
    """Read the predictions; None if they were not requested."""
    if "predictive_analytics" not in attributes:
        return None
    analytics = as_object(attributes["predictive_analytics"])
    return Prediction(
        lifetime_value=_number(analytics.get("total_clv")),
        churn_risk=_number(analytics.get("churn_probability")),
        next_order=_time(analytics.get("expected_date_of_next_order")),
    )


def _resources(body: bytes) -> list[dict[str, Any]]:
    """Return the resource or resources of a document; those without an id are left out."""
    data = as_object(read_document(body)).get("data")
    resources = data if isinstance(data, list) else [data]
    return [resource for resource in resources if isinstance(resource, dict) and _is_id(resource.get("id"))]


def _attributes(resource: Mapping[str, Any]) -> dict[str, Any]:
    return as_object(resource.get("attributes"))


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and value.isprintable()


def _text(value: Any) -> str | None:
    """Return a text on one line, without characters that cannot be stored; None if nothing is left."""
    if not isinstance(value, str):
        return None
    storable = (char for char in value if unicodedata.category(char) not in REMOVED_CATEGORIES)
    return " ".join("".join(storable).split()) or None


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < MAX_NUMBER
    return float(value) if is_number else None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        parsed = datetime.fromisoformat(value)
        return parsed.astimezone(UTC) if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None
