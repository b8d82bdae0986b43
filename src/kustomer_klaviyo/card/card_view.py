"""What an agent sees: the faces of a card, ready to be shown. Pure.

The answer holds display-ready, minimal text: addresses are shortened, since an agent may not be allowed to see them.
"""

from collections.abc import Iterable
from datetime import datetime

import msgspec

from kustomer_klaviyo.card.card_build import Insight
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.klaviyo.profile_view import MARKETING, Consent, Message, Named, Who

COME_AGAIN_SECONDS = 16
"""Kustomer keeps an answer for 15 seconds (developer.kustomer.com/kustomer-apps-platform/docs/cache-fallback)."""

LOOK_AGAIN_SECONDS = 60
"""After so long it is worth looking whether somebody was made a profile, or a key was mended."""

FACES = {
    "unknown": "Klaviyo knows nobody with this customer's email or phone.",
    "no_contact": "This customer has neither an email nor a phone number, so that Klaviyo cannot be asked.",
    "masked": "The email and phone are hidden from the integration: its Kustomer key lacks the permission.",
    "gone": "Kustomer no longer has this customer.",
    "fetching": "Asking Klaviyo ...",
    "away": "Klaviyo does not answer at the moment.",
    "throttled": "Klaviyo's limit is used up for the moment; this card is next in line.",
    "locked_out": "Klaviyo refuses the integration's key. An admin must put in a new one.",
    "busy": "Cards are opened too often at the moment; this one shows in a few seconds.",
    "stranger": "Kustomer did not say who this customer is.",
}
"""What is said when there is nothing else to show."""

NOTES = {
    "throttled": "Klaviyo's limit is used up for the moment: what is older is shown with its age.",
    "away": "Klaviyo does not answer at the moment: what is shown is the last that was known.",
    "key refused": "Klaviyo refuses the integration's key: what is shown is the last that was known.",
}


CHANNELS = {"sms": "SMS", "whatsapp": "WhatsApp"}
"""How channels are written; others as Klaviyo calls them."""


class ConsentLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A consent as it is shown."""

    channel: str
    state: str
    since: datetime | None = None
    until: datetime | None = None
    suppressed: str | None = None


class Line(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A message as it is shown."""

    title: str
    subtitle: str | None = None
    channel: str = ""
    sent_at: datetime | None = None
    opened_at: datetime | None = None
    clicked_at: datetime | None = None
    link: str | None = None


class Link(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A name that leads somewhere in Klaviyo."""

    name: str
    link: str


class Card(msgspec.Struct, kw_only=True):
    """All that a card shows. ``face`` is ``known``, or says why there is nothing more."""

    face: str
    says: str | None = None
    """One sentence for a face that has nothing else."""
    account: str | None = None
    """The Klaviyo account, since links open in whichever one the browser is signed in to."""
    person: Link | None = None
    others: list[Link] = []
    """The same customer's further profiles."""
    consents: list[ConsentLine] = []
    lifetime_value: float | None = None
    currency: str | None = None
    """What the value is in (ISO 4217)."""
    churn_risk: float | None = None
    next_order: datetime | None = None
    campaigns: list[Line] | None = None
    flows: list[Line] | None = None
    lists: list[Link] | None = None
    segments: list[Link] | None = None
    notes: list[str] = []
    fetched_at: datetime | None = None
    """The age of the oldest part shown."""
    refresh_after: int | None = None
    """Seconds after which there is likely to be more; None when this is all."""


def face(insight: Insight | None, trouble: str | None) -> str:
    """Say which face a card has."""
    if insight is None or (insight.status == "known" and insight.who is None):
        if trouble is not None:
            return _troubled_face(trouble)
        return "fetching"
    return insight.status


def _troubled_face(trouble: str) -> str:
    if "key refused" in trouble or "missing scope" in trouble:
        return "locked_out"
    if "throttled" in trouble:
        return "throttled"
    return "stranger" if "Kustomer" in trouble else "away"


def show(
    insight: Insight | None,
    options: ConnectionOptions,
    *,
    account: str | None,
    trouble: str | None = None,
    is_wanted: bool = False,
) -> Card:
    """Make the card out of what is kept; ``account`` is the site ID."""
    shown = face(insight, trouble)
    card = Card(face=shown, says=FACES.get(shown), account=account)
    card.refresh_after = COME_AGAIN_SECONDS if is_wanted or shown in ("fetching", "throttled", "away") else None
    if shown in ("unknown", "locked_out"):
        card.refresh_after = card.refresh_after or LOOK_AGAIN_SECONDS
    if insight is None:
        return card
    card.account = f"{insight.account} ({account})" if insight.account and account else insight.account or account
    card.fetched_at = insight.who_at
    if shown != "known" or insight.who is None:
        return card
    who = insight.who
    card.person = _profile(who, options, who.name or shortened(who) or "Profile")
    card.others = [_profile(one, options, shortened(one) or one.id) for one in insight.others]
    card.consents = [_consent(one) for one in who.consents if _matters(one)]
    if who.prediction is not None:
        card.lifetime_value = who.prediction.lifetime_value
        card.currency = insight.currency
        card.churn_risk = who.prediction.churn_risk
        card.next_order = who.prediction.next_order
    card.lists = _links(insight.lists, options.list_link)
    card.segments = _links(insight.segments, options.segment_link)
    if insight.messages is not None:
        card.campaigns = [_campaign(one, insight, options) for one in insight.messages if one.flow is None]
        card.flows = [_flow(one, insight, options) for one in insight.messages if one.flow is not None]
    card.notes = _notes(insight)
    ages = (insight.who_at, insight.lists_at, insight.segments_at, insight.messages_at)
    card.fetched_at = min((at for at in ages if at is not None), default=None)
    return card


def shortened(who: Who) -> str | None:
    """Return enough of an address or number to tell one profile from another, and no more."""
    if who.email is not None:
        local, _, domain = who.email.partition("@")
        return f"{local[:1]}...@{domain}"
    return f"...{who.phone[-3:]}" if who.phone else None


def _profile(who: Who, options: ConnectionOptions, name: str) -> Link:
    return Link(name=name, link=_link(options.profile_link, who.id))


def _matters(consent: Consent) -> bool:
    """Say whether a consent is worth a line: that for marketing always, others once somebody gave or withdrew them."""
    return consent.purpose == MARKETING or consent.state != "never_subscribed"


def _consent(consent: Consent) -> ConsentLine:
    channel = _channel(consent.channel)
    return ConsentLine(
        channel=channel if consent.purpose == MARKETING else f"{channel}, {consent.purpose.replace('_', ' ')}",
        state=consent.state,
        since=consent.since,
        until=consent.until,
        suppressed=consent.suppressed,
    )


def _channel(name: str) -> str:
    return CHANNELS.get(name, name.replace("_", " "))


def _notes(insight: Insight) -> list[str]:
    notes = [NOTES.get(trouble, f"{_plainly(trouble)}.") for trouble in dict.fromkeys(insight.troubles.values())]
    if insight.others:
        notes.append("Klaviyo has more than one profile with this customer's addresses.")
    return notes


def _plainly(trouble: str) -> str:
    scope = trouble.removeprefix("missing scope ")
    return f"Not shown: the integration's Klaviyo key lacks the scope {scope}" if scope != trouble else trouble


def _campaign(message: Message, insight: Insight, options: ConnectionOptions) -> Line:
    known = insight.campaigns.get(message.id)
    title = (known.name if known is not None else message.name) or "A campaign"
    return _line(message, title, _link(options.campaign_link, message.id if known is None else known.id))


def _flow(message: Message, insight: Insight, options: ConnectionOptions) -> Line:
    name = insight.flows.get(message.flow or "")
    title = " - ".join(filter(None, (name, message.name))) or "A flow"
    return _line(message, title, _link(options.flow_link, message.flow or ""))


def _line(message: Message, title: str, link: str) -> Line:
    return Line(
        title=title,
        subtitle=message.subject,
        channel=_channel(message.channel),
        sent_at=message.sent_at,
        opened_at=message.opened_at,
        clicked_at=message.clicked_at,
        link=link,
    )


def _links(named: Iterable[Named] | None, template: str) -> list[Link] | None:
    return None if named is None else [Link(name=one.name, link=_link(template, one.id)) for one in named]


def _link(template: str, thing_id: str) -> str:
    """Fill an id into an address. Ids are Klaviyo's: letters and digits; anything else must not shape an address."""
    return template.replace("{id}", "".join(one for one in thing_id if one.isalnum() or one in "-_"))
