"""Renders a card for an agent. Pure.

The result holds display-ready, minimal text: contacts are shortened, since an agent may not be allowed to see them.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from kustomer_klaviyo.card.card_build import Insight
from kustomer_klaviyo.card.card_status import STATUS_OF_ERROR, CardError, CardStatus
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.klaviyo.profile_view import MARKETING, Consent, KlaviyoProfile, Message, NamedRef

REFRESH_SECONDS = 16
"""Kustomer caches a response for 15 seconds (developer.kustomer.com/kustomer-apps-platform/docs/cache-fallback)."""

UNKNOWN_REFRESH_SECONDS = 60
"""After this time the customer may have a profile, or the key may have been replaced."""

MESSAGES = {
    CardStatus.CUSTOMER_UNKNOWN: "Klaviyo has no profile with this customer's email or phone number.",
    CardStatus.NO_CONTACT: "This customer has neither an email nor a phone number, so there is nothing to search for.",
    CardStatus.MASKED: "The integration's Kustomer key lacks the permission to read the email and phone number.",
    CardStatus.CUSTOMER_DELETED: "This customer no longer exists in Kustomer.",
    CardStatus.FETCHING: "Loading from Klaviyo ...",
    CardStatus.KLAVIYO_UNAVAILABLE: "Klaviyo does not answer at the moment.",
    CardStatus.RATE_LIMITED: "Klaviyo's rate limit is used up at the moment. This card is next in line.",
    CardStatus.KEY_REJECTED: "Klaviyo rejects the integration's key. An admin must add a new one.",
    CardStatus.TOO_MANY_REQUESTS: "Too many cards are opened at the moment. This one is shown in a few seconds.",
    CardStatus.NOT_IN_KUSTOMER: "Kustomer did not return this customer.",
}
"""The message of a card that has no data to show."""

NOTES = {
    CardError.RATE_LIMITED: "Klaviyo's rate limit is used up at the moment. Older data is shown with its age.",
    CardError.KLAVIYO_UNAVAILABLE: "Klaviyo does not answer at the moment. The latest known data is shown.",
    CardError.KEY_REJECTED: "Klaviyo rejects the integration's key. The latest known data is shown.",
}
"""The note of a card that has data but lacks a part."""

SCOPES = {
    "profile": "profiles:read",
    "lists": "lists:read",
    "segments": "segments:read",
    "messages": "events:read",
    "metrics": "metrics:read",
}
"""The scope that each part needs."""

CHANNELS = {"sms": "SMS", "whatsapp": "WhatsApp"}
"""Display names of channels; other channels keep Klaviyo's name."""


class ConsentRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A consent, as displayed."""

    channel: str
    state: str
    since: datetime | None = None
    until: datetime | None = None
    suppressed: str | None = None


class CardRow(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message, as displayed."""

    title: str
    subtitle: str | None = None
    channel: str = ""
    sent_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    link: str | None = None


class Link(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A name with a link to Klaviyo."""

    name: str
    link: str


class Card(msgspec.Struct, kw_only=True):
    """Everything that a card shows."""

    status: CardStatus
    message: str | None = None
    """The sentence of a status other than ``ok``."""
    account: str | None = None
    """The Klaviyo account. Links open in the account that the browser is signed in to."""
    profile: Link | None = None
    other_profiles: list[Link] = []
    """The customer's other profiles."""
    consents: list[ConsentRow] = []
    lifetime_value: float | None = None
    currency: str | None = None
    """The currency of the value (ISO 4217)."""
    churn_risk: float | None = None
    next_order: datetime | None = None
    campaigns: list[CardRow] | None = None
    flows: list[CardRow] | None = None
    lists: list[Link] | None = None
    segments: list[Link] | None = None
    notes: list[str] = []
    fetched_at: datetime | None = None
    """The age of the oldest part shown."""
    refresh_after: int | None = None
    """Seconds after which there is likely to be more data; None if the card is complete."""


def card_status(insight: Insight | None, error: CardError | None) -> CardStatus:
    """Return the status of a card with the given data and error."""
    if insight is None or (insight.status is CardStatus.OK and insight.profile is None):
        return CardStatus.FETCHING if error is None else STATUS_OF_ERROR[error]
    return insight.status


def render_card(
    insight: Insight | None,
    options: ConnectionOptions,
    *,
    account: str | None,
    error: CardError | None = None,
    is_refresh_requested: bool = False,
) -> Card:
    """Render a card from its stored data. ``account`` is the site ID."""
    status = card_status(insight, error)
    card = Card(status=status, message=MESSAGES.get(status), account=account)
    card.refresh_after = _refresh_after(status, is_refresh_requested=is_refresh_requested)
    if insight is None:
        return card
    card.account = f"{insight.account} ({account})" if insight.account and account else insight.account or account
    card.fetched_at = insight.profile_at
    if status is CardStatus.OK and insight.profile is not None:
        _add_profile(card, insight.profile, insight, options)
        _add_groups_and_messages(card, insight, options)
        ages = (insight.profile_at, insight.lists_at, insight.segments_at, insight.messages_at)
        card.fetched_at = min((at for at in ages if at is not None), default=None)
    return card


def _refresh_after(status: CardStatus, *, is_refresh_requested: bool) -> int | None:
    waiting = (CardStatus.FETCHING, CardStatus.RATE_LIMITED, CardStatus.KLAVIYO_UNAVAILABLE)
    if is_refresh_requested or status in waiting:
        return REFRESH_SECONDS
    return UNKNOWN_REFRESH_SECONDS if status in (CardStatus.CUSTOMER_UNKNOWN, CardStatus.KEY_REJECTED) else None


def _add_profile(card: Card, profile: KlaviyoProfile, insight: Insight, options: ConnectionOptions) -> None:
    card.profile = _profile_link(profile, options, profile.name or short_contact(profile) or "Profile")
    card.other_profiles = [
        _profile_link(other, options, short_contact(other) or other.id) for other in insight.other_profiles
    ]
    card.consents = [_consent_row(consent) for consent in profile.consents if _is_shown(consent)]
    if profile.prediction is not None:
        card.lifetime_value = profile.prediction.lifetime_value
        card.currency = insight.currency
        card.churn_risk = profile.prediction.churn_risk
        card.next_order = profile.prediction.next_order


def _add_groups_and_messages(card: Card, insight: Insight, options: ConnectionOptions) -> None:
    card.lists = _links(insight.lists, options.list_link)
    card.segments = _links(insight.segments, options.segment_link)
    messages = insight.messages
    if messages is not None:
        card.campaigns = [_campaign_row(message, insight, options) for message in messages if message.flow_id is None]
        card.flows = [_flow_row(message, insight, options) for message in messages if message.flow_id is not None]
    card.notes = _notes(insight)


def short_contact(profile: KlaviyoProfile) -> str | None:
    """Return enough of an email or phone number to distinguish profiles, and no more."""
    if profile.email is not None:
        local, _, domain = profile.email.partition("@")
        return f"{local[:1]}...@{domain}"
    return f"...{profile.phone[-3:]}" if profile.phone else None


def _profile_link(profile: KlaviyoProfile, options: ConnectionOptions, name: str) -> Link:
    return Link(name=name, link=_link(options.profile_link, profile.id))


def _is_shown(consent: Consent) -> bool:
    """Return whether a consent is displayed: marketing always, other purposes once they were given or withdrawn."""
    return consent.purpose == MARKETING or consent.state != "never_subscribed"


def _consent_row(consent: Consent) -> ConsentRow:
    channel = _channel(consent.channel)
    return ConsentRow(
        channel=channel if consent.purpose == MARKETING else f"{channel}, {consent.purpose.replace('_', ' ')}",
        state=consent.state,
        since=consent.since,
        until=consent.until,
        suppressed=consent.suppressed,
    )


def _channel(name: str) -> str:
    return CHANNELS.get(name, name.replace("_", " "))


def _notes(insight: Insight) -> list[str]:
    notes = list(dict.fromkeys(_note(part, error) for part, error in insight.errors.items()))
    if insight.other_profiles:
        notes.append("Klaviyo has more than one profile with this customer's email addresses.")
    return notes


def _note(part: str, error: CardError) -> str:
    if error is CardError.MISSING_SCOPE:
        return f"Not shown: the integration's Klaviyo key lacks the scope {SCOPES[part]}."
    return NOTES[error]


def _campaign_row(message: Message, insight: Insight, options: ConnectionOptions) -> CardRow:
    campaign = insight.campaigns.get(message.id)
    title = (campaign.name if campaign is not None else message.name) or "A campaign"
    return _row(message, title, _link(options.campaign_link, message.id if campaign is None else campaign.id))


def _flow_row(message: Message, insight: Insight, options: ConnectionOptions) -> CardRow:
    name = insight.flows.get(message.flow_id or "")
    title = " - ".join(filter(None, (name, message.name))) or "A flow"
    return _row(message, title, _link(options.flow_link, message.flow_id or ""))


def _row(message: Message, title: str, link: str) -> CardRow:
    return CardRow(
        title=title,
        subtitle=message.subject,
        channel=_channel(message.channel),
        sent_at=message.sent_at,
        opened_at=message.opened_at,
        clicked_at=message.clicked_at,
        link=link,
    )


def _links(references: Iterable[NamedRef] | None, template: str) -> list[Link] | None:
    if references is None:
        return None
    return [Link(name=reference.name, link=_link(template, reference.id)) for reference in references]


def _link(template: str, object_id: str) -> str:
    """Fill an id into a link. Only letters, digits, ``-`` and ``_`` are kept, so that an id cannot change the URL."""
    return template.replace("{id}", "".join(char for char in object_id if char.isalnum() or char in "-_"))
