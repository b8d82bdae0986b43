"""API operations on flows."""

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.filter_parser import TIME_ORDERINGS
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import (
    EQUALS,
    FilterField,
    FilterFields,
    SortKeys,
    apply_filter,
    apply_sort,
    boolean_field,
    time_field,
)
from kustomer_klaviyo.sandbox.klaviyo.api.marketing_resources import flow_resource
from kustomer_klaviyo.sandbox.klaviyo.api.query import page_of, requested_page, sparse_fields, with_included
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Flow

TRIGGERS = frozenset({"Metric", "Added to List", "Unconfigured", "Date Based", "Price Drop", "Low Inventory"})
FLOW_FILTERS: FilterFields[Flow] = {
    "id": FilterField(frozenset({"any[]"}), lambda flow: flow.id),
    "name": FilterField(frozenset({"contains", "ends-with", "equals", "starts-with"}), lambda flow: flow.name),
    "status": FilterField(EQUALS, lambda flow: flow.status),
    "archived": boolean_field(lambda flow: flow.is_archived),
    "created": time_field(lambda flow: flow.created, TIME_ORDERINGS | EQUALS),
    "updated": time_field(lambda flow: flow.created, TIME_ORDERINGS | EQUALS),
    "trigger_type": FilterField(EQUALS, lambda flow: flow.trigger_type, choices=TRIGGERS),
}
FLOW_SORTS: SortKeys[Flow] = {
    "created": lambda flow: flow.created,
    "updated": lambda flow: flow.created,
    "id": lambda flow: flow.id,
    "name": lambda flow: flow.name,
    "status": lambda flow: flow.status,
    "trigger_type": lambda flow: flow.trigger_type,
}


async def list_flows(request: web.Request) -> web.Response:
    """``GET /api/flows``."""
    matches = apply_filter(request, request.app[ACCOUNT].marketing.flows.values(), FLOW_FILTERS)
    matches = apply_sort(request, matches, FLOW_SORTS, "created")
    items, links = page_of(request, matches, requested_page(request, default=50, max_size=50))
    base = str(request.url.origin())
    data = [sparse_fields(request, flow_resource(flow, base)) for flow in items]
    return document_response(with_included(request, {"data": data, "links": links}))


async def get_flow(request: web.Request) -> web.Response:
    """``GET /api/flows/{id}``."""
    flow = request.app[ACCOUNT].marketing.flows.get(request.match_info["id"])
    if flow is None:
        raise not_found(f"A flow with id {request.match_info['id']} does not exist.")
    resource = flow_resource(flow, str(request.url.origin()))
    if "additional-fields[flow]" in request.query:
        resource["attributes"]["definition"] = None
    content = {"data": sparse_fields(request, resource), "links": {"self": str(request.url)}}
    return document_response(with_included(request, content))
