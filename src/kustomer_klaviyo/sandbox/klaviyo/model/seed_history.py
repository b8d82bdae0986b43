"""What marketing did with a person before today: consent, lists, messages, predictions. The same for the same address.

The properties of message events are those seen on the wire: ``$flow`` tells a flow's message from a campaign's, and
``$message`` is the campaign's id, or the message's where a campaign had variations.
"""

import random
from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.marketing import NEWSLETTER, TEXTS, VIPS
from kustomer_klaviyo.sandbox.klaviyo.model.records import Campaign, Flow, Message, Profile, short_id

STRANGERS = 0.12
"""The part of people whom marketing never wrote to."""

OWN_METRICS = ("Received Email", "Opened Email", "Clicked Email")
TEXT_METRICS = {"old": ("SMS",), "new": ("Text Message",), "both": ("SMS", "Text Message")}
"""What the metrics of text messages speak of, the older name first."""

RENAMED = timedelta(days=30)
"""In an account with both names, texts sent longer ago are under the older one."""

CONSENTS = ("SUBSCRIBED", "SUBSCRIBED", "SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED")


def furnish(account: Account, profile: Profile) -> None:
    """Give a person a past with this shop."""
    texts = (f"{what} {kind}" for kind in TEXT_METRICS[account.text_metrics] for what in ("Received", "Clicked"))
    account.know_own_metrics((*OWN_METRICS, *texts))
    address = profile.attributes.get("email")
    chance = random.Random(str(address or profile.attributes.get("phone_number") or profile.id).lower())
    if chance.random() < STRANGERS:
        return
    since = account.now() - timedelta(days=chance.randrange(30, 360), minutes=chance.randrange(1440))
    joined = set()
    if address:
        joined |= _consent_by_email(profile, since.replace(microsecond=0), chance)
    if profile.attributes.get("phone_number") and chance.random() < 0.5:
        _consent(profile, "sms", "SUBSCRIBED", since.replace(microsecond=0))
        joined.add(TEXTS)
    _consent_by_whatsapp(profile, since.replace(microsecond=0))
    if chance.random() < 0.3:
        _consent(profile, "mobile_push", "SUBSCRIBED", since.replace(microsecond=0))
    if chance.random() < 0.7:
        profile.predictive_analytics = _predictions(account.now(), chance)
    profile.lists |= {one.id for one in account.marketing.lists.values() if one.name in joined}
    for campaign in account.marketing.campaigns.values():
        if campaign.audience in profile.lists and since < campaign.sent_at:
            _receive_campaign(account, profile, campaign, chance)
    if address and NEWSLETTER in joined:
        flow = next(iter(account.marketing.flows.values()))
        for days, message in enumerate(flow.messages):
            _receive_flow(account, profile, flow, message, since + timedelta(days=days, minutes=1), chance)


def _consent_by_email(profile: Profile, since: datetime, chance: random.Random) -> set[str]:
    consent = chance.choice(CONSENTS)
    _consent(profile, "email", consent, None if consent == "NEVER_SUBSCRIBED" else since)
    if consent == "UNSUBSCRIBED":
        at = {"timestamp": since.isoformat()}
        off_list = {"list_id": short_id(f"list {NEWSLETTER}"), "reason": "USER_SUPPRESSED"}
        profile.subscriptions["email"]["marketing"] |= {
            "suppression": [{"reason": "UNSUBSCRIBE"} | at],
            "list_suppressions": [off_list | at],
        }
    if consent != "SUBSCRIBED":
        return set()
    return {NEWSLETTER, VIPS} if chance.random() < 0.25 else {NEWSLETTER}


def _consent_by_whatsapp(profile: Profile, since: datetime) -> None:
    """Let every other person with a number be written to on WhatsApp: for marketing, and in a talk that ends."""
    number = profile.attributes.get("phone_number")
    if not number or random.Random(f"whatsapp {number}").random() < 0.5:
        return
    _consent(profile, "whatsapp", "SUBSCRIBED", since)
    _consent(profile, "whatsapp", "SUBSCRIBED", since, "conversational")
    for purpose in ("marketing", "conversational"):
        profile.subscriptions["whatsapp"][purpose] |= {"phone_number": number, "created_timestamp": since.isoformat()}
    talk_ends = since + timedelta(days=400)
    profile.subscriptions["whatsapp"]["conversational"]["valid_until"] = talk_ends.isoformat()


def _consent(profile: Profile, channel: str, consent: str, since: datetime | None, purpose: str = "marketing") -> None:
    held = profile.subscriptions[channel][purpose]
    at = None if since is None else since.isoformat()
    held |= {"consent": consent, "consent_timestamp": at}
    if "last_updated" in held:
        held["last_updated"] = at
    if "method" in held:
        held["method"] = None if at is None else "FORM"
    may = next(name for name in held if name.startswith("can_receive"))
    held[may] = consent == "SUBSCRIBED" or (channel == "email" and consent == "NEVER_SUBSCRIBED")


def _predictions(now: datetime, chance: random.Random) -> dict[str, Any]:
    orders = chance.randrange(1, 9)
    value = round(chance.uniform(18, 90), 2)
    next_order = now + timedelta(days=chance.randrange(5, 60))
    to_come = round(chance.uniform(0.1, 3), 2)
    return {
        "historic_clv": round(orders * value, 2),
        "predicted_clv": round(to_come * value, 2),
        "total_clv": round((orders + to_come) * value, 2),
        "historic_number_of_orders": orders,
        "predicted_number_of_orders": to_come,
        "average_days_between_orders": chance.randrange(20, 120),
        "average_order_value": value,
        "churn_probability": round(chance.uniform(0.02, 0.95), 2),
        "expected_date_of_next_order": next_order.strftime("%Y-%m-%dT00:00:00+00:00"),
        "ranked_channel_affinity": ["email", "sms", "push"],
    }  # fmt: skip


def _receive_campaign(account: Account, profile: Profile, campaign: Campaign, chance: random.Random) -> None:
    message = chance.choice(campaign.messages)
    named = message.id if len(campaign.messages) > 1 else campaign.id
    properties = _properties(profile, message, named, campaign.sent_at) | {"$group_ids": [campaign.audience]}
    if len(campaign.messages) > 1:
        properties["$variation"] = message.id
    _receive(account, profile, message, campaign.sent_at + timedelta(seconds=chance.randrange(600)), properties, chance)


def _receive_flow(
    account: Account, profile: Profile, flow: Flow, message: Message, at: datetime, chance: random.Random
) -> None:
    properties = _properties(profile, message, message.id, at) | {"$flow": flow.id}
    _receive(account, profile, message, at, properties, chance)


def _properties(profile: Profile, message: Message, named: str, at: datetime) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "Campaign Name": message.name,
        "$message": named,
        "$_cohort$message_send_cohort": f"{at.timestamp():.0f}:{named}",
    }
    if message.channel == "sms":
        return properties | {"To Phone Region": "US", "Message Type": "marketing"}
    domain = str(profile.attributes["email"]).rsplit("@", 1)[-1]
    return properties | {
        "Subject": message.subject,
        "Email Domain": domain,
        "Inbox Provider": "Other",
        "$ESP": 0,
    }


def _receive(
    account: Account,
    profile: Profile,
    message: Message,
    at: datetime,
    properties: dict[str, Any],
    chance: random.Random,
) -> None:
    at = at.replace(microsecond=0)
    kind = "Email" if message.channel == "email" else _text_metric(account, at)
    account.happen(f"Received {kind}", profile, at, properties)
    later = at + timedelta(minutes=chance.randrange(5, 2000))
    if kind == "Email" and chance.random() < 0.6:
        account.happen(
            "Opened Email", profile, later, properties | {"Client Name": "Apple Mail", "Client Type": "mail"}
        )
        if chance.random() < 0.35:
            clicked = {"URL": "https://lanternpost.example/shop", "Client Type": "browser", "Bot Click": False}
            account.happen("Clicked Email", profile, later + timedelta(minutes=1), properties | clicked)
    elif kind != "Email" and chance.random() < 0.3:
        account.happen(f"Clicked {kind}", profile, later, properties | {"URL": "https://lanternpost.example/s"})


def _text_metric(account: Account, at: datetime) -> str:
    names = TEXT_METRICS[account.text_metrics]
    return names[0] if at < account.now() - RENAMED else names[-1]
