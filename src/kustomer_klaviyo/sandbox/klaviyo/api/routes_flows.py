"""Flows: what was sent to each person when something happened."""

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import (
    EQUALS,
    Field,
    Fields,
    Keys,
    flag_field,
    matching,
    ordered,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.filters import TIMES
from kustomer_klaviyo.sandbox.klaviyo.api.marketing_resources import flow_resource
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.query import listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Flow

TRIGGERS = frozenset({"Metric", "Added to List", "Unconfigured", "Date Based", "Price Drop", "Low Inventory"})
FLOW_FILTERS: Fields[Flow] = {
    "id": Field(frozenset({"any[]"}), lambda flow: flow.id),
    "name": Field(frozenset({"contains", "ends-with", "equals", "starts-with"}), lambda flow: flow.name),
    "status": Field(EQUALS, lambda flow: flow.status),
    "archived": flag_field(lambda flow: flow.is_archived),
    "created": time_field(lambda flow: flow.created, TIMES | EQUALS),
    "updated": time_field(lambda flow: flow.created, TIMES | EQUALS),
    "trigger_type": Field(EQUALS, lambda flow: flow.trigger_type, choices=TRIGGERS),
}
FLOW_SORTS: Keys[Flow] = {
    "created": lambda flow: flow.created,
    "updated": lambda flow: flow.created,
    "id": lambda flow: flow.id,
    "name": lambda flow: flow.name,
    "status": lambda flow: flow.status,
    "trigger_type": lambda flow: flow.trigger_type,
}


async def list_flows(request: web.Request) -> web.Response:
    """``GET /api/flows``."""
    found = matching(request, request.app[ACCOUNT].marketing.flows.values(), FLOW_FILTERS)
    part, links = listed(request, ordered(request, found, FLOW_SORTS, "created"), page(request, default=50, most=50))
    base = str(request.url.origin())
    answer = {"data": [sparse(request, flow_resource(one, base)) for one in part], "links": links}
    return document(with_included(request, answer))


async def get_flow(request: web.Request) -> web.Response:
    """``GET /api/flows/{id}``."""
    found = request.app[ACCOUNT].marketing.flows.get(request.match_info["id"])
    if found is None:
        raise not_found(f"A flow with id {request.match_info['id']} does not exist.")
    shown = flow_resource(found, str(request.url.origin()))
    if "additional-fields[flow]" in request.query:
        shown["attributes"]["definition"] = None
    answer = {"data": sparse(request, shown), "links": {"self": str(request.url)}}
    return document(with_included(request, answer))
