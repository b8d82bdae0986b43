"""What was sent: campaigns, their messages, flows."""

from collections.abc import Callable

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import document, invalid_parameter, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.filters import TIMES, Condition, text_test, time_test
from kustomer_klaviyo.sandbox.klaviyo.marketing_resources import (
    OMNI_CAMPAIGNS_SINCE,
    campaign_resource,
    flow_resource,
    message_resource,
)
from kustomer_klaviyo.sandbox.klaviyo.query import conditions, listed, page, sparse
from kustomer_klaviyo.sandbox.klaviyo.records import Campaign, Flow, Message

CAMPAIGN_FILTERS = {
    "id": frozenset({"any[]"}),
    "messages.channel": frozenset({"equals"}),
    "created_at": TIMES,
    "updated_at": TIMES,
}
FLOW_FILTERS = {
    "id": frozenset({"any[]"}),
    "name": frozenset({"equals"}),
    "created": TIMES,
}
MESSAGE_FILTERS = {"id": frozenset({"any[]", "equals"}), "campaign_id": frozenset({"equals", "any[]"})}


async def list_campaigns(request: web.Request) -> web.Response:
    """``GET /api/campaigns``; until 2026-10-15 the channel must be filtered on, from then on it cannot be."""
    wanted = conditions(request, CAMPAIGN_FILTERS)
    by_channel = any(one.field == "messages.channel" for one in wanted)
    if by_channel == _is_omni(request):
        detail = "cannot" if by_channel else "must"
        raise invalid_parameter(f"Campaigns {detail} be filtered on 'messages.channel' in this revision.", "filter")
    tests = [_campaign_test(one) for one in wanted]
    campaigns = request.app[ACCOUNT].marketing.campaigns.values()
    found = [one for one in campaigns if all(test(one) for test in tests)]
    part, links = listed(request, found, page(request, default=100, most=100))
    return document({"data": [_shown(request, one) for one in part], "links": links})


def _campaign_test(condition: Condition) -> Callable[[Campaign], bool]:
    if condition.field in ("created_at", "updated_at"):
        is_then = time_test(condition)
        return lambda one: is_then(one.sent_at)
    is_met = text_test(condition)
    if condition.field == "id":
        return lambda one: is_met(one.id)
    return lambda one: any(is_met(message.channel) for message in one.messages)


async def get_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}``."""
    return document({"data": _shown(request, _campaign(request)), "links": {"self": str(request.url)}})


async def messages_of_campaign(request: web.Request) -> web.Response:
    """``GET /api/campaigns/{id}/campaign-messages``."""
    campaign, base = _campaign(request), str(request.url.origin())
    data = [sparse(request, message_resource(campaign, one, base)) for one in campaign.messages]
    return document({"data": data, "links": {"self": str(request.url), "next": None, "prev": None}})


async def list_messages(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages``, which came with 2026-10-15."""
    if not _is_omni(request):
        raise not_found("This path exists from revision 2026-10-15 on.")
    tests = [_message_test(one) for one in conditions(request, MESSAGE_FILTERS)]
    campaigns = request.app[ACCOUNT].marketing.campaigns.values()
    every = [(campaign, message) for campaign in campaigns for message in campaign.messages]
    found = [(campaign, one) for campaign, one in every if all(test(campaign, one) for test in tests)]
    part, links = listed(request, found, page(request, default=100, most=100))
    base = str(request.url.origin())
    data = [sparse(request, message_resource(campaign, one, base)) for campaign, one in part]
    return document({"data": data, "links": links})


def _message_test(condition: Condition) -> Callable[[Campaign, Message], bool]:
    is_met = text_test(condition)
    return lambda campaign, message: is_met(message.id if condition.field == "id" else campaign.id)


async def get_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}``."""
    campaign, message = _message(request)
    shown = sparse(request, message_resource(campaign, message, str(request.url.origin())))
    return document({"data": shown, "links": {"self": str(request.url)}})


async def campaign_of_message(request: web.Request) -> web.Response:
    """``GET /api/campaign-messages/{id}/campaign``."""
    campaign, _ = _message(request)
    return document({"data": _shown(request, campaign), "links": {"self": str(request.url)}})


async def list_flows(request: web.Request) -> web.Response:
    """``GET /api/flows``."""
    tests = [_flow_test(one) for one in conditions(request, FLOW_FILTERS)]
    found = [one for one in request.app[ACCOUNT].marketing.flows.values() if all(test(one) for test in tests)]
    part, links = listed(request, found, page(request, default=50, most=50))
    base = str(request.url.origin())
    return document({"data": [sparse(request, flow_resource(one, base)) for one in part], "links": links})


def _flow_test(condition: Condition) -> Callable[[Flow], bool]:
    if condition.field == "created":
        is_then = time_test(condition)
        return lambda one: is_then(one.created)
    is_met = text_test(condition)
    return lambda one: is_met(one.id if condition.field == "id" else one.name)


async def get_flow(request: web.Request) -> web.Response:
    """``GET /api/flows/{id}``."""
    found = request.app[ACCOUNT].marketing.flows.get(request.match_info["id"])
    if found is None:
        raise not_found(f"A flow with id {request.match_info['id']} does not exist.")
    shown = sparse(request, flow_resource(found, str(request.url.origin())))
    return document({"data": shown, "links": {"self": str(request.url)}})


def _is_omni(request: web.Request) -> bool:
    return request.headers["revision"] >= OMNI_CAMPAIGNS_SINCE


def _campaign(request: web.Request) -> Campaign:
    found = request.app[ACCOUNT].marketing.campaigns.get(request.match_info["id"])
    if found is None:
        raise not_found(f"A campaign with id {request.match_info['id']} does not exist.")
    return found


def _message(request: web.Request) -> tuple[Campaign, Message]:
    found = request.app[ACCOUNT].marketing.message(request.match_info["id"])
    if found is None:
        raise not_found(f"A campaign message with id {request.match_info['id']} does not exist.")
    return found


def _shown(request: web.Request, campaign: Campaign) -> dict[str, object]:
    return sparse(request, campaign_resource(campaign, str(request.url.origin()), request.headers["revision"]))
