"""API operations on campaigns, their audiences, messages and variations, in the revision's format."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.campaign_resources import (
    BUILDER,
    MESSAGE_STATUS,
    STATUS,
    Resource,
    campaign_audience_resource,
    campaign_resource,
    message_resource,
    variation_resource,
)
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    EQUALS,
    VALUE_OR_LIST,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
    boolean_field,
    filter_conditions,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.query import (
    page_of,
    requested_includes,
    requested_page,
    sparse_fields,
    with_included,
)
from kustomer_klaviyo.sandbox.klaviyo.api.request_pipeline import revision_of
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OMNI_CAMPAIGNS
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, invalid_parameter, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Campaign, MarketingMessage

Item = TypeVar("Item")
SentMessage = tuple[Campaign, MarketingMessage]
CHANNELS = frozenset({"email", "sms", "mobile_push"})
CONTAINS = frozenset({"contains"})
OMNI_FILTERS: FilterFields[Campaign] = {
    "id": FilterField(frozenset({"any[]"}), lambda campaign: campaign.id),
    "name": FilterField(CONTAINS, lambda campaign: campaign.name),
    "archived": boolean_field(lambda campaign: campaign.is_archived),
    "builder": FilterField(EQUALS, lambda _: BUILDER),
    "created_at": time_field(lambda campaign: campaign.sent_at),
    "updated_at": time_field(lambda campaign: campaign.sent_at),
}
CAMPAIGN_FILTERS: FilterFields[Campaign] = {
    **{name: field for name, field in OMNI_FILTERS.items() if name != "builder"},
    "messages.channel": FilterField(
        EQUALS, lambda campaign: tuple(message.channel for message in campaign.messages), choices=CHANNELS
    ),
    "status": FilterField(VALUE_OR_LIST, lambda _: STATUS),
    "scheduled_at": time_field(lambda campaign: campaign.sent_at),
}
CAMPAIGN_SORTS: SortKeys[Campaign] = {
    **dict.fromkeys(("created_at", "scheduled_at", "updated_at"), lambda campaign: campaign.sent_at),
    "id": lambda campaign: campaign.id,
    "name": lambda campaign: campaign.name,
}
MESSAGE_FILTERS: FilterFields[SentMessage] = {
    "id": FilterField(frozenset({"any[]", "equals"}), lambda sent: sent[1].id),
    "campaign_id": FilterField(EQUALS, lambda sent: sent[0].id),
    "name": FilterField(CONTAINS, lambda sent: sent[1].name),
    "status": FilterField(EQUALS, lambda _: MESSAGE_STATUS),
    "created": time_field(lambda sent: sent[0].sent_at),
    "updated": time_field(lambda sent: sent[0].sent_at),
}
MESSAGE_SORTS: SortKeys[SentMessage] = {
    **dict.fromkeys(("created", "updated"), lambda sent: sent[0].sent_at),
    "id": lambda sent: sent[1].id,
    "name": lambda sent: sent[1].name,
}


async def list_campaigns(request: web.Request) -> web.Response:
    """``GET /api/campaigns``; before revision 2026-10-15 it needs a filter on the channel."""
    fields = OMNI_FILTERS if _is_omni(request) else CAMPAIGN_FILTERS
    filtered_names = {condition.field for condition in filter_conditions(request, fields)}
    if fields is CAMPAIGN_FILTERS and "messages.channel" not in filtered_names:
        raise invalid_parameter("Campaigns must be filtered on 'messages.channel' in this revision.", "filter")
    matches = apply_filter(request, request.app[ACCOUNT].marketing.campaigns.values(), fields)
    matches = apply_sort(request, matches, CAMPAIGN_SORTS, "-created_at")
    items, links = page_of(request, matches, requested_page(request, default=100, max_size=100))
    content = {"data": [_campaign(request, campaign) for campaign in items], "links": links}
    includes = [resource for campaign in items for resource in _included_resources(request, campaign)]
    return document_response(with_included(request, content, includes))


async def get_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}``."""
    campaign = _require(request, request.app[ACCOUNT].marketing.campaigns)
    return _resource_response(request, _campaign(request, campaign), _included_resources(request, campaign))


async def audiences_of_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}/campaign-audiences``."""
    _require_omni(request)
    campaign = _require(request, request.app[ACCOUNT].marketing.campaigns)
    return _list_response(request, [_audience(request, campaign)])


async def messages_of_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}/campaign-messages``."""
    campaign = _require(request, request.app[ACCOUNT].marketing.campaigns)
    messages = [_message(request, (campaign, message)) for message in campaign.messages]
    return _list_response(request, messages, [_campaign(request, campaign)])


async def get_audience(request: web.Request) -> web.Response:
    """``GET /api/campaign-audiences/{id}``."""
    campaign = _campaign_of_audience(request)
    return _resource_response(request, _audience(request, campaign), _included_resources(request, campaign))


async def campaign_of_audience(request: web.Request) -> web.Response:
    """``GET /api/campaign-audiences/{id}/campaign``."""
    return _resource_response(request, _campaign(request, _campaign_of_audience(request)))


async def list_messages(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages``."""
    _require_omni(request)
    matches = apply_filter(request, _sent_messages(request).values(), MESSAGE_FILTERS)
    matches = apply_sort(request, matches, MESSAGE_SORTS, "created")
    items, links = page_of(request, matches, requested_page(request, default=20, max_size=100))
    content = {"data": [_message(request, sent) for sent in items], "links": links}
    campaigns = {campaign.id: campaign for campaign, _ in items}
    includes = [_campaign(request, campaign) for campaign in campaigns.values()]
    return document_response(with_included(request, content, includes))


async def get_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}``."""
    sent = _require(request, _sent_messages(request))
    related = {"campaign": _campaign(request, sent[0]), "campaign-variations": _variation(request, sent)}
    includes = [related[name] for name in requested_includes(request) if name in related]
    return _resource_response(request, _message(request, sent), includes)


async def campaign_of_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}/campaign``."""
    campaign, _ = _require(request, _sent_messages(request))
    return _resource_response(request, _campaign(request, campaign))


async def variations_of_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}/campaign-variations``."""
    _require_omni(request)
    return _list_response(request, [_variation(request, _require(request, _sent_messages(request)))])


async def get_variation(request: web.Request) -> web.Response:
    """``GET /api/campaign-variations/{id}``."""
    _require_omni(request)
    by_variation = {sent[1].variation_id: sent for sent in _sent_messages(request).values()}
    sent = _require(request, by_variation)
    return _resource_response(request, _variation(request, sent), [_message(request, sent)])


def _is_omni(request: web.Request) -> bool:
    return revision_of(request) >= OMNI_CAMPAIGNS


def _require_omni(request: web.Request) -> None:
    if not _is_omni(request):
        raise not_found(f"This path exists from revision {OMNI_CAMPAIGNS} on.")


def _sent_messages(request: web.Request) -> dict[str, SentMessage]:
    campaigns = request.app[ACCOUNT].marketing.campaigns.values()
    return {message.id: (campaign, message) for campaign in campaigns for message in campaign.messages}


def _campaign_of_audience(request: web.Request) -> Campaign:
    _require_omni(request)
    campaigns = request.app[ACCOUNT].marketing.campaigns.values()
    return _require(request, {campaign.audience_id: campaign for campaign in campaigns})


def _require(request: web.Request, items: Mapping[str, Item]) -> Item:
    item = items.get(request.match_info["id"])
    if item is None:
        raise not_found(f"A resource with id {request.match_info['id']} does not exist.")
    return item


def _included_resources(request: web.Request, campaign: Campaign) -> list[Resource]:
    related = {
        "campaign": [_campaign(request, campaign)],
        "campaign-audiences": [_audience(request, campaign)],
        "campaign-messages": [_message(request, (campaign, message)) for message in campaign.messages],
    }
    return [resource for name in requested_includes(request) for resource in related.get(name, [])]


def _campaign(request: web.Request, campaign: Campaign) -> Resource:
    return sparse_fields(request, campaign_resource(campaign, str(request.url.origin()), revision_of(request)))


def _audience(request: web.Request, campaign: Campaign) -> Resource:
    return sparse_fields(request, campaign_audience_resource(campaign, str(request.url.origin())))


def _message(request: web.Request, sent: SentMessage) -> Resource:
    return sparse_fields(request, message_resource(*sent, str(request.url.origin()), revision_of(request)))


def _variation(request: web.Request, sent: SentMessage) -> Resource:
    return sparse_fields(request, variation_resource(*sent, str(request.url.origin())))


def _resource_response(request: web.Request, resource: Resource, includes: Iterable[Resource] = ()) -> web.Response:
    return document_response(with_included(request, {"data": resource, "links": {"self": str(request.url)}}, includes))


def _list_response(request: web.Request, resources: list[Resource], includes: Iterable[Resource] = ()) -> web.Response:
    links = {"self": str(request.url), "next": None, "prev": None}
    return document_response(with_included(request, {"data": resources, "links": links}, includes))
