"""A marketing history for a profile: consent, lists, messages, predictions. Derived from its address.

The properties of message events are as recorded from Klaviyo: ``$flow`` is present for flow messages only, and
``$message`` is the campaign's id, or the message's id when a campaign has variations.
"""

import random
from datetime import datetime, timedelta
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.marketing import NEWSLETTER, SMS_CLUB, VIPS
from kustomer_klaviyo.sandbox.klaviyo.model.records import Campaign, Flow, MarketingMessage, Profile, short_id

NEVER_CONTACTED_SHARE = 0.12
"""The share of profiles without any marketing history."""

EMAIL_METRICS = ("Received Email", "Opened Email", "Clicked Email")
TEXT_METRICS = {"old": ("SMS",), "new": ("Text Message",), "both": ("SMS", "Text Message")}
"""The names in text-message metrics, older name first."""

RENAMED_AGO = timedelta(days=30)
"""In an account with both names, older texts have the older name."""

CONSENTS = ("SUBSCRIBED", "SUBSCRIBED", "SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED")


def seed_profile(account: Account, profile: Profile) -> None:
    """Add a marketing history to a profile."""
    kinds = TEXT_METRICS[account.text_metrics]
    text_metrics = (f"{verb} {kind}" for kind in kinds for verb in ("Received", "Clicked"))
    account.add_internal_metrics((*EMAIL_METRICS, *text_metrics))
    address = profile.attributes.get("email")
    rng = random.Random(str(address or profile.attributes.get("phone_number") or profile.id).lower())
    if rng.random() < NEVER_CONTACTED_SHARE:
        return
    since = account.now() - timedelta(days=rng.randrange(30, 360), minutes=rng.randrange(1440))
    list_names = set()
    if address:
        list_names |= _set_email_consent(profile, since.replace(microsecond=0), rng)
    if profile.attributes.get("phone_number") and rng.random() < 0.5:
        _set_consent(profile, "sms", "SUBSCRIBED", since.replace(microsecond=0))
        list_names.add(SMS_CLUB)
    _set_whatsapp_consent(profile, since.replace(microsecond=0))
    if rng.random() < 0.3:
        _set_consent(profile, "mobile_push", "SUBSCRIBED", since.replace(microsecond=0))
    if rng.random() < 0.7:
        profile.predictive_analytics = _predictions(account.now(), rng)
    profile.lists |= {audience.id for audience in account.marketing.lists.values() if audience.name in list_names}
    for campaign in account.marketing.campaigns.values():
        if campaign.audience in profile.lists and since < campaign.sent_at:
            _add_campaign_events(account, profile, campaign, rng)
    if address and NEWSLETTER in list_names:
        flow = next(iter(account.marketing.flows.values()))
        for days, message in enumerate(flow.messages):
            _add_flow_events(account, profile, flow, message, since + timedelta(days=days, minutes=1), rng)


def _set_email_consent(profile: Profile, since: datetime, rng: random.Random) -> set[str]:
    consent = rng.choice(CONSENTS)
    _set_consent(profile, "email", consent, None if consent == "NEVER_SUBSCRIBED" else since)
    if consent == "UNSUBSCRIBED":
        timestamp = {"timestamp": since.isoformat()}
        off_list = {"list_id": short_id(f"list {NEWSLETTER}"), "reason": "USER_SUPPRESSED"}
        profile.subscriptions["email"]["marketing"] |= {
            "suppression": [{"reason": "UNSUBSCRIBE"} | timestamp],
            "list_suppressions": [off_list | timestamp],
        }
    if consent != "SUBSCRIBED":
        return set()
    return {NEWSLETTER, VIPS} if rng.random() < 0.25 else {NEWSLETTER}


def _set_whatsapp_consent(profile: Profile, since: datetime) -> None:
    """Subscribe half of the profiles with a number to WhatsApp: for marketing, and for a conversation that ends."""
    number = profile.attributes.get("phone_number")
    if not number or random.Random(f"whatsapp {number}").random() < 0.5:
        return
    _set_consent(profile, "whatsapp", "SUBSCRIBED", since)
    _set_consent(profile, "whatsapp", "SUBSCRIBED", since, "conversational")
    for purpose in ("marketing", "conversational"):
        profile.subscriptions["whatsapp"][purpose] |= {"phone_number": number, "created_timestamp": since.isoformat()}
    valid_until = since + timedelta(days=400)
    profile.subscriptions["whatsapp"]["conversational"]["valid_until"] = valid_until.isoformat()


def _set_consent(
    profile: Profile, channel: str, consent: str, since: datetime | None, purpose: str = "marketing"
) -> None:
    subscription = profile.subscriptions[channel][purpose]
    timestamp = None if since is None else since.isoformat()
    subscription |= {"consent": consent, "consent_timestamp": timestamp}
    if "last_updated" in subscription:
        subscription["last_updated"] = timestamp
    if "method" in subscription:
        subscription["method"] = None if timestamp is None else "FORM"
    permission = next(name for name in subscription if name.startswith("can_receive"))
    subscription[permission] = consent == "SUBSCRIBED" or (channel == "email" and consent == "NEVER_SUBSCRIBED")


def _predictions(now: datetime, rng: random.Random) -> dict[str, Any]:
    orders = rng.randrange(1, 9)
    value = round(rng.uniform(18, 90), 2)
    next_order = now + timedelta(days=rng.randrange(5, 60))
    predicted_orders = round(rng.uniform(0.1, 3), 2)
    return {
        "historic_clv": round(orders * value, 2),
        "predicted_clv": round(predicted_orders * value, 2),
        "total_clv": round((orders + predicted_orders) * value, 2),
        "historic_number_of_orders": orders,
        "predicted_number_of_orders": predicted_orders,
        "average_days_between_orders": rng.randrange(20, 120),
        "average_order_value": value,
        "churn_probability": round(rng.uniform(0.02, 0.95), 2),
        "expected_date_of_next_order": next_order.strftime("%Y-%m-%dT00:00:00+00:00"),
        "ranked_channel_affinity": ["email", "sms", "push"],
    }  # fmt: skip


def _add_campaign_events(account: Account, profile: Profile, campaign: Campaign, rng: random.Random) -> None:
    message = rng.choice(campaign.messages)
    message_id = message.id if len(campaign.messages) > 1 else campaign.id
    properties = _properties(profile, message, message_id, campaign.sent_at) | {"$group_ids": [campaign.audience]}
    if len(campaign.messages) > 1:
        properties["$variation"] = message.id
    _add_message_events(
        account, profile, message, campaign.sent_at + timedelta(seconds=rng.randrange(600)), properties, rng
    )


def _add_flow_events(
    account: Account, profile: Profile, flow: Flow, message: MarketingMessage, at: datetime, rng: random.Random
) -> None:
    properties = _properties(profile, message, message.id, at) | {"$flow": flow.id}
    _add_message_events(account, profile, message, at, properties, rng)


def _properties(profile: Profile, message: MarketingMessage, message_id: str, at: datetime) -> dict[str, Any]:
    properties: dict[str, Any] = {
        "Campaign Name": message.name,
        "$message": message_id,
        "$_cohort$message_send_cohort": f"{at.timestamp():.0f}:{message_id}",
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


def _add_message_events(
    account: Account,
    profile: Profile,
    message: MarketingMessage,
    at: datetime,
    properties: dict[str, Any],
    rng: random.Random,
) -> None:
    at = at.replace(microsecond=0)
    kind = "Email" if message.channel == "email" else _text_metric(account, at)
    account.record_internal_event(f"Received {kind}", profile, at, properties)
    later = at + timedelta(minutes=rng.randrange(5, 2000))
    if kind == "Email" and rng.random() < 0.6:
        account.record_internal_event(
            "Opened Email", profile, later, properties | {"Client Name": "Apple Mail", "Client Type": "mail"}
        )
        if rng.random() < 0.35:
            clicked = {"URL": "https://lanternpost.example/shop", "Client Type": "browser", "Bot Click": False}
            account.record_internal_event("Clicked Email", profile, later + timedelta(minutes=1), properties | clicked)
    elif kind != "Email" and rng.random() < 0.3:
        account.record_internal_event(
            f"Clicked {kind}", profile, later, properties | {"URL": "https://lanternpost.example/s"}
        )


def _text_metric(account: Account, at: datetime) -> str:
    names = TEXT_METRICS[account.text_metrics]
    return names[0] if at < account.now() - RENAMED_AGO else names[-1]
