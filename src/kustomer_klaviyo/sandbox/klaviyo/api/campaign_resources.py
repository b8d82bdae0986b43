"""JSON:API resources of campaigns and their messages, before and since their format changed.

Before: developers.klaviyo.com/en/v2026-07-15/reference/get_campaign. Since: .../v2026-10-15/reference/get_campaign
"""

from collections.abc import Mapping
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.api.resources import format_time
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OMNI_CAMPAIGNS
from kustomer_klaviyo.sandbox.klaviyo.model.records import Campaign, MarketingMessage

BUILDER = "wizard"
STATUS, MESSAGE_STATUS = "Sent", "sent"
Resource = dict[str, Any]


def campaign_resource(campaign: Campaign, base: str, revision: str) -> Resource:
    """Return a campaign in the revision's format."""
    messages = _to_many("campaign-message", [message.id for message in campaign.messages])
    if revision >= OMNI_CAMPAIGNS:
        related = {"campaign-audiences": _to_many("campaign-audience", [campaign.audience_id])}
        attributes = _omni_campaign_attributes(campaign)
    else:
        related, attributes = {}, _campaign_attributes(campaign)
    return _resource("campaign", campaign.id, base, attributes, related | {"campaign-messages": messages, "tags": {}})


def _campaign_attributes(campaign: Campaign) -> Resource:
    sent = format_time(campaign.sent_at)
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


def _omni_campaign_attributes(campaign: Campaign) -> Resource:
    sent = format_time(campaign.sent_at)
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
    """Return the audience of a campaign."""
    definition = {"name": "Audience 1", "included": [campaign.audience], "excluded": [], "priority": 0}
    related = {
        "campaign": _to_one("campaign", campaign.id),
        "campaign-messages": _to_many("campaign-message", [message.id for message in campaign.messages]),
    }
    return _resource(
        "campaign-audience", campaign.audience_id, base, _definition_attributes(campaign, definition), related
    )


def message_resource(campaign: Campaign, message: MarketingMessage, base: str, revision: str) -> Resource:
    """Return a campaign's message in the revision's format."""
    related: Resource = {"campaign": _to_one("campaign", campaign.id)}
    if revision >= OMNI_CAMPAIGNS:
        related["campaign-audience"] = _to_one("campaign-audience", campaign.audience_id)
        related["campaign-variations"] = _to_many("campaign-variation", [message.variation_id])
        attributes = _definition_attributes(campaign, _omni_message_definition(campaign, message))
    else:
        related |= {"template": {}, "image": {}}
        attributes = _message_attributes(campaign, message)
    return _resource("campaign-message", message.id, base, attributes, related)


def _message_attributes(campaign: Campaign, message: MarketingMessage) -> Resource:
    sent = format_time(campaign.sent_at)
    return {
        "definition": {"channel": message.channel, "content": _content(message)} | _channel_options(message),
        "send_times": [{"datetime": sent, "is_local": False}],
        "created_at": sent,
        "updated_at": sent,
    }


def _channel_options(message: MarketingMessage) -> Resource:
    if message.channel == "email":
        return {"label": message.name}
    options = ("shorten_links", "add_org_prefix", "add_info_link", "add_opt_out_language")
    return {"render_options": dict.fromkeys(options, False)}


def _omni_message_definition(campaign: Campaign, message: MarketingMessage) -> Resource:
    return {
        "name": message.name,
        "status": MESSAGE_STATUS,
        "tracking_options": {"is_add_utm": False, "is_tracking_clicks": True, "is_tracking_opens": True},
        "send_options": {"send_time": format_time(campaign.sent_at), "send_strategy": "static"},
        "ab_test": None,
    }


def variation_resource(campaign: Campaign, message: MarketingMessage, base: str) -> Resource:
    """Return the variation of a message, with its content."""
    definition = {"name": message.name, "details": {"channel": message.channel} | _content(message)}
    related = {"campaign-message": _to_one("campaign-message", message.id), "image": {}, "translation": {}}
    return _resource(
        "campaign-variation", message.variation_id, base, _definition_attributes(campaign, definition), related
    )


def _content(message: MarketingMessage) -> Resource:
    return {"subject": message.subject} if message.channel == "email" else {"body": message.name}


def _definition_attributes(campaign: Campaign, definition: Resource) -> Resource:
    sent = format_time(campaign.sent_at)
    return {"created": sent, "updated": sent, "definition": definition}


def _to_one(kind: str, resource_id: str) -> Resource:
    return {"data": {"type": kind, "id": resource_id}}


def _to_many(kind: str, ids: list[str]) -> Resource:
    return {"data": [{"type": kind, "id": resource_id} for resource_id in ids]}


def _resource(
    kind: str, resource_id: str, base: str, attributes: Resource, related: Mapping[str, Resource]
) -> Resource:
    url = f"{base}/api/{kind}s/{resource_id}/"
    relationships = {
        name: data | {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}}
        for name, data in related.items()
    }
    return {
        "type": kind, "id": resource_id, "attributes": attributes, "relationships": relationships,
        "links": {"self": url},
    }  # fmt: skip
