"""How Klaviyo shows what was sent once, as JSON:API resources, before and since campaigns became another resource.

Before: developers.klaviyo.com/en/v2026-07-15/reference/get_campaign. Since: .../v2026-10-15/reference/get_campaign
"""

from collections.abc import Mapping
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.api.resources import moment
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OMNI_CAMPAIGNS
from kustomer_klaviyo.sandbox.klaviyo.model.records import Campaign, Message

BUILDER = "wizard"
STATUS, MESSAGE_STATUS = "Sent", "sent"
Resource = dict[str, Any]


def campaign_resource(campaign: Campaign, base: str, revision: str) -> Resource:
    """Show a campaign as the revision has it."""
    messages = _many("campaign-message", [one.id for one in campaign.messages])
    if revision >= OMNI_CAMPAIGNS:
        related = {"campaign-audiences": _many("campaign-audience", [campaign.audience_id])}
        attributes = _omni_campaign(campaign)
    else:
        related, attributes = {}, _campaign(campaign)
    return _resource("campaign", campaign.id, base, attributes, related | {"campaign-messages": messages, "tags": {}})


def _campaign(campaign: Campaign) -> Resource:
    sent = moment(campaign.sent_at)
    return {
        "name": campaign.name,
        "status": STATUS,
        "archived": campaign.is_archived,
        "audiences": {"included": [campaign.audience], "excluded": []},
        "send_options": {"use_smart_sending": True},
        "tracking_options": None,
        "send_strategy": {"method": "immediate"},
        "created_at": sent,
        "scheduled_at": sent,
        "updated_at": sent,
        "send_time": sent,
    }


def _omni_campaign(campaign: Campaign) -> Resource:
    sent = moment(campaign.sent_at)
    definition = {
        "name": campaign.name,
        "builder": BUILDER,
        "archived": campaign.is_archived,
        "color": None,
        "description": None,
        "send_settings": {"send_timezone": "UTC", "send_strategy": "static"},
    }
    return {"created_at": sent, "updated_at": sent, "definition": definition}


def campaign_audience_resource(campaign: Campaign, base: str) -> Resource:
    """Show to whom a campaign was sent."""
    definition = {"name": "Audience 1", "included": [campaign.audience], "excluded": [], "priority": 0}
    related = {
        "campaign": _one("campaign", campaign.id),
        "campaign-messages": _many("campaign-message", [one.id for one in campaign.messages]),
    }
    return _resource("campaign-audience", campaign.audience_id, base, _defined(campaign, definition), related)


def message_resource(campaign: Campaign, message: Message, base: str, revision: str) -> Resource:
    """Show a campaign's message as the revision has it."""
    related: Resource = {"campaign": _one("campaign", campaign.id)}
    if revision >= OMNI_CAMPAIGNS:
        related["campaign-audience"] = _one("campaign-audience", campaign.audience_id)
        related["campaign-variations"] = _many("campaign-variation", [message.variation_id])
        attributes = _defined(campaign, _omni_message(campaign, message))
    else:
        related |= {"template": {}, "image": {}}
        attributes = _message(campaign, message)
    return _resource("campaign-message", message.id, base, attributes, related)


def _message(campaign: Campaign, message: Message) -> Resource:
    sent = moment(campaign.sent_at)
    return {
        "definition": {"channel": message.channel, "content": _content(message)} | _by_channel(message),
        "send_times": [{"datetime": sent, "is_local": False}],
        "created_at": sent,
        "updated_at": sent,
    }


def _by_channel(message: Message) -> Resource:
    if message.channel == "email":
        return {"label": message.name}
    options = ("shorten_links", "add_org_prefix", "add_info_link", "add_opt_out_language")
    return {"render_options": dict.fromkeys(options, False)}


def _omni_message(campaign: Campaign, message: Message) -> Resource:
    return {
        "name": message.name,
        "status": MESSAGE_STATUS,
        "tracking_options": {"is_add_utm": False, "is_tracking_clicks": True, "is_tracking_opens": True},
        "send_options": {"send_time": moment(campaign.sent_at), "send_strategy": "static"},
        "ab_test": None,
    }


def variation_resource(campaign: Campaign, message: Message, base: str) -> Resource:
    """Show what a message says."""
    definition = {"name": message.name, "details": {"channel": message.channel} | _content(message)}
    related = {"campaign-message": _one("campaign-message", message.id), "image": {}, "translation": {}}
    return _resource("campaign-variation", message.variation_id, base, _defined(campaign, definition), related)


def _content(message: Message) -> Resource:
    return {"subject": message.subject} if message.channel == "email" else {"body": message.name}


def _defined(campaign: Campaign, definition: Resource) -> Resource:
    sent = moment(campaign.sent_at)
    return {"created": sent, "updated": sent, "definition": definition}


def _one(kind: str, one: str) -> Resource:
    return {"data": {"type": kind, "id": one}}


def _many(kind: str, ids: list[str]) -> Resource:
    return {"data": [{"type": kind, "id": one} for one in ids]}


def _resource(kind: str, one: str, base: str, attributes: Resource, related: Mapping[str, Resource]) -> Resource:
    url = f"{base}/api/{kind}s/{one}/"
    relationships = {
        name: data | {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}}
        for name, data in related.items()
    }
    return {
        "type": kind, "id": one, "attributes": attributes, "relationships": relationships, "links": {"self": url},
    }  # fmt: skip
