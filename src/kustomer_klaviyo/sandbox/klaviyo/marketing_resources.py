"""How Klaviyo shows lists, segments, campaigns and flows, as JSON:API resources."""

from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.records import Audience, Campaign, Flow, Message
from kustomer_klaviyo.sandbox.klaviyo.resources import moment

OMNI_CAMPAIGNS_SINCE = "2026-10-15"
"""The revision with which campaigns became another resource."""


def audience_resource(audience: Audience, base: str) -> dict[str, Any]:
    """Show a list or a segment."""
    kind = "list" if audience.meets is None else "segment"
    url = f"{base}/api/{kind}s/{audience.id}/"
    times = {"created": moment(audience.created), "updated": moment(audience.created)}
    more: dict[str, Any] = (
        {"opt_in_process": "single_opt_in"}
        if kind == "list"
        else {"definition": None, "is_active": True, "is_processing": False, "is_starred": False}
    )
    neighbours = ("profiles", "tags", "flow-triggers")
    return {
        "type": kind,
        "id": audience.id,
        "attributes": {"name": audience.name} | times | more,
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}} for name in neighbours
        },
        "links": {"self": url},
    }


def campaign_resource(campaign: Campaign, base: str, revision: str) -> dict[str, Any]:
    """Show a campaign as the revision has it."""
    url = f"{base}/api/campaigns/{campaign.id}/"
    sent = moment(campaign.sent_at)
    if revision >= OMNI_CAMPAIGNS_SINCE:
        attributes: dict[str, Any] = {
            "created_at": sent,
            "updated_at": sent,
            "definition": {
                "name": campaign.name, "builder": "standard", "archived": False, "color": None, "description": None,
                "send_settings": {},
            },
        }  # fmt: skip
    else:
        attributes = {
            "name": campaign.name,
            "status": "Sent",
            "archived": False,
            "audiences": {"included": [campaign.audience], "excluded": []},
            "send_options": {"use_smart_sending": True},
            "tracking_options": None,
            "send_strategy": {"method": "immediate"},
            "created_at": sent,
            "scheduled_at": sent,
            "updated_at": sent,
            "send_time": sent,
        }
    return {
        "type": "campaign",
        "id": campaign.id,
        "attributes": attributes,
        "relationships": {
            "campaign-messages": {
                "data": [{"type": "campaign-message", "id": one.id} for one in campaign.messages],
                "links": {
                    "self": f"{url}relationships/campaign-messages/",
                    "related": f"{url}campaign-messages/",
                },
            },
            "tags": {"links": {"self": f"{url}relationships/tags/", "related": f"{url}tags/"}},
        },
        "links": {"self": url},
    }


def message_resource(campaign: Campaign, message: Message, base: str) -> dict[str, Any]:
    """Show a campaign's message."""
    url = f"{base}/api/campaign-messages/{message.id}/"
    content: dict[str, Any] = {"subject": message.subject} if message.channel == "email" else {"body": message.name}
    return {
        "type": "campaign-message",
        "id": message.id,
        "attributes": {
            "definition": {"channel": message.channel, "label": message.name, "content": content},
            "send_times": [{"datetime": moment(campaign.sent_at), "is_local": False}],
            "created_at": moment(campaign.sent_at),
            "updated_at": moment(campaign.sent_at),
        },
        "relationships": {
            "campaign": {
                "data": {"type": "campaign", "id": campaign.id},
                "links": {"self": f"{url}relationships/campaign/", "related": f"{url}campaign/"},
            }
        },
        "links": {"self": url},
    }


def flow_resource(flow: Flow, base: str) -> dict[str, Any]:
    """Show a flow."""
    url = f"{base}/api/flows/{flow.id}/"
    return {
        "type": "flow",
        "id": flow.id,
        "attributes": {
            "name": flow.name,
            "status": "live",
            "archived": False,
            "created": moment(flow.created),
            "updated": moment(flow.created),
            "trigger_type": flow.trigger_type,
        },
        "relationships": {
            name: {"links": {"self": f"{url}relationships/{name}/", "related": f"{url}{name}/"}}
            for name in ("flow-actions", "tags")
        },
        "links": {"self": url},
    }
