"""Campaigns: what was sent once, to whom, and its messages; as the revision has them."""

from collections.abc import Iterable, Mapping
from typing import TypeVar

from aiohttp import web

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
from kustomer_klaviyo.sandbox.klaviyo.api.filtering import (
    BY_ANY_VALUE,
    EQUALS,
    Field,
    Fields,
    Keys,
    conditions,
    flag_field,
    matching,
    ordered,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT, revision_of
from kustomer_klaviyo.sandbox.klaviyo.api.query import included, listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OMNI_CAMPAIGNS
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, invalid_parameter, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Campaign, Message

Item = TypeVar("Item")
Sent = tuple[Campaign, Message]
CHANNELS = frozenset({"email", "sms", "mobile_push"})
CONTAINS = frozenset({"contains"})
OMNI_FILTERS: Fields[Campaign] = {
    "id": Field(frozenset({"any[]"}), lambda one: one.id),
    "name": Field(CONTAINS, lambda one: one.name),
    "archived": flag_field(lambda one: one.is_archived),
    "builder": Field(EQUALS, lambda _: BUILDER),
    "created_at": time_field(lambda one: one.sent_at),
    "updated_at": time_field(lambda one: one.sent_at),
}
CAMPAIGN_FILTERS: Fields[Campaign] = {
    **{name: field for name, field in OMNI_FILTERS.items() if name != "builder"},
    "messages.channel": Field(EQUALS, lambda one: tuple(message.channel for message in one.messages), choices=CHANNELS),
    "status": Field(BY_ANY_VALUE, lambda _: STATUS),
    "scheduled_at": time_field(lambda one: one.sent_at),
}
CAMPAIGN_SORTS: Keys[Campaign] = {
    **dict.fromkeys(("created_at", "scheduled_at", "updated_at"), lambda one: one.sent_at),
    "id": lambda one: one.id,
    "name": lambda one: one.name,
}
MESSAGE_FILTERS: Fields[Sent] = {
    "id": Field(frozenset({"any[]", "equals"}), lambda sent: sent[1].id),
    "campaign_id": Field(EQUALS, lambda sent: sent[0].id),
    "name": Field(CONTAINS, lambda sent: sent[1].name),
    "status": Field(EQUALS, lambda _: MESSAGE_STATUS),
    "created": time_field(lambda sent: sent[0].sent_at),
    "updated": time_field(lambda sent: sent[0].sent_at),
}
MESSAGE_SORTS: Keys[Sent] = {
    **dict.fromkeys(("created", "updated"), lambda sent: sent[0].sent_at),
    "id": lambda sent: sent[1].id,
    "name": lambda sent: sent[1].name,
}


async def list_campaigns(request: web.Request) -> web.Response:
    """``GET /api/campaigns``; until 2026-10-15 the channel must be filtered on, from then on it cannot be."""
    fields = OMNI_FILTERS if _is_omni(request) else CAMPAIGN_FILTERS
    if fields is CAMPAIGN_FILTERS and "messages.channel" not in {one.field for one in conditions(request, fields)}:
        raise invalid_parameter("Campaigns must be filtered on 'messages.channel' in this revision.", "filter")
    found = matching(request, request.app[ACCOUNT].marketing.campaigns.values(), fields)
    found = ordered(request, found, CAMPAIGN_SORTS, "-created_at")
    part, links = listed(request, found, page(request, default=100, most=100))
    answer = {"data": [_campaign(request, one) for one in part], "links": links}
    return document(with_included(request, answer, [near for one in part for near in _near_campaign(request, one)]))


async def get_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}``."""
    campaign = _found(request, request.app[ACCOUNT].marketing.campaigns)
    return _one(request, _campaign(request, campaign), _near_campaign(request, campaign))


async def audiences_of_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}/campaign-audiences``."""
    _require_omni(request)
    campaign = _found(request, request.app[ACCOUNT].marketing.campaigns)
    return _all(request, [_audience(request, campaign)])


async def messages_of_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}/campaign-messages``."""
    campaign = _found(request, request.app[ACCOUNT].marketing.campaigns)
    return _all(
        request, [_message(request, (campaign, one)) for one in campaign.messages], [_campaign(request, campaign)]
    )


async def get_audience(request: web.Request) -> web.Response:
    """``GET /api/campaign-audiences/{id}``."""
    campaign = _of_audience(request)
    return _one(request, _audience(request, campaign), _near_campaign(request, campaign))


async def campaign_of_audience(request: web.Request) -> web.Response:
    """``GET /api/campaign-audiences/{id}/campaign``."""
    return _one(request, _campaign(request, _of_audience(request)))


async def list_messages(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages``."""
    _require_omni(request)
    found = ordered(request, matching(request, _sent(request).values(), MESSAGE_FILTERS), MESSAGE_SORTS, "created")
    part, links = listed(request, found, page(request, default=20, most=100))
    answer = {"data": [_message(request, one) for one in part], "links": links}
    campaigns = {campaign.id: campaign for campaign, _ in part}
    return document(with_included(request, answer, [_campaign(request, one) for one in campaigns.values()]))


async def get_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}``."""
    sent = _found(request, _sent(request))
    near = {"campaign": _campaign(request, sent[0]), "campaign-variations": _variation(request, sent)}
    return _one(request, _message(request, sent), [near[name] for name in included(request) if name in near])


async def campaign_of_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}/campaign``."""
    campaign, _ = _found(request, _sent(request))
    return _one(request, _campaign(request, campaign))


async def variations_of_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}/campaign-variations``."""
    _require_omni(request)
    return _all(request, [_variation(request, _found(request, _sent(request)))])


async def get_variation(request: web.Request) -> web.Response:
    """``GET /api/campaign-variations/{id}``."""
    _require_omni(request)
    sent = _found(request, {message.variation_id: (campaign, message) for campaign, message in _sent(request).values()})
    return _one(request, _variation(request, sent), [_message(request, sent)])


def _is_omni(request: web.Request) -> bool:
    return revision_of(request) >= OMNI_CAMPAIGNS


def _require_omni(request: web.Request) -> None:
    if not _is_omni(request):
        raise not_found(f"This path exists from revision {OMNI_CAMPAIGNS} on.")


def _sent(request: web.Request) -> dict[str, Sent]:
    campaigns = request.app[ACCOUNT].marketing.campaigns.values()
    return {message.id: (campaign, message) for campaign in campaigns for message in campaign.messages}


def _of_audience(request: web.Request) -> Campaign:
    _require_omni(request)
    campaigns = request.app[ACCOUNT].marketing.campaigns.values()
    return _found(request, {one.audience_id: one for one in campaigns})


def _found(request: web.Request, held: Mapping[str, Item]) -> Item:
    found = held.get(request.match_info["id"])
    if found is None:
        raise not_found(f"Nothing here has the id {request.match_info['id']}.")
    return found


def _near_campaign(request: web.Request, campaign: Campaign) -> list[Resource]:
    near = {
        "campaign": [_campaign(request, campaign)],
        "campaign-audiences": [_audience(request, campaign)],
        "campaign-messages": [_message(request, (campaign, one)) for one in campaign.messages],
    }
    return [one for name in included(request) for one in near.get(name, [])]


def _campaign(request: web.Request, campaign: Campaign) -> Resource:
    return sparse(request, campaign_resource(campaign, str(request.url.origin()), revision_of(request)))


def _audience(request: web.Request, campaign: Campaign) -> Resource:
    return sparse(request, campaign_audience_resource(campaign, str(request.url.origin())))


def _message(request: web.Request, sent: Sent) -> Resource:
    return sparse(request, message_resource(*sent, str(request.url.origin()), revision_of(request)))


def _variation(request: web.Request, sent: Sent) -> Resource:
    return sparse(request, variation_resource(*sent, str(request.url.origin())))


def _one(request: web.Request, shown: Resource, near: Iterable[Resource] = ()) -> web.Response:
    return document(with_included(request, {"data": shown, "links": {"self": str(request.url)}}, near))


def _all(request: web.Request, shown: list[Resource], near: Iterable[Resource] = ()) -> web.Response:
    links = {"self": str(request.url), "next": None, "prev": None}
    return document(with_included(request, {"data": shown, "links": links}, near))
