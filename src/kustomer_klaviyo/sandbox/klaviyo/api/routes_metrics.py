"""API operations that read metrics. Metrics are created by events."""

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.filter_sort import EQUALS, FilterField, FilterFields, apply_filter
from kustomer_klaviyo.sandbox.klaviyo.api.query import page_of, requested_page, sparse_fields, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.resources import INTEGRATIONS, metric_resource
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import document_response, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Metric

METRIC_FILTERS: FilterFields[Metric] = {
    "integration.name": FilterField(EQUALS, lambda metric: metric.integration),
    "integration.category": FilterField(EQUALS, lambda metric: INTEGRATIONS[metric.integration][2]),
}
PAGE_SIZE = 200


async def list_metrics(request: web.Request) -> web.Response:
    """``GET /api/metrics``."""
    matches = apply_filter(request, request.app[ACCOUNT].metrics.values(), METRIC_FILTERS)
    items, links = page_of(request, matches, requested_page(request, default=PAGE_SIZE, max_size=PAGE_SIZE))
    base = str(request.url.origin())
    data = [sparse_fields(request, metric_resource(metric, base)) for metric in items]
    return document_response(with_included(request, {"data": data, "links": links}))


async def get_metric(request: web.Request) -> web.Response:
    """``GET /api/metrics/{id}``."""
    metric = request.app[ACCOUNT].metrics.get(request.match_info["id"])
    if metric is None:
        raise not_found(f"A metric with id {request.match_info['id']} does not exist.")
    return metric_response(request, metric)


def metric_response(request: web.Request, metric: Metric) -> web.Response:
    """Respond with one metric."""
    data = sparse_fields(request, metric_resource(metric, str(request.url.origin())))
    return document_response(with_included(request, {"data": data, "links": {"self": str(request.url)}}))
