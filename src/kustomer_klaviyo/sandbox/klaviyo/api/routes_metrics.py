"""Metrics: reading them. They are made by events."""

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.filtering import EQUALS, Field, Fields, matching
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.api.query import listed, page, sparse, with_included
from kustomer_klaviyo.sandbox.klaviyo.api.resources import INTEGRATIONS, metric_resource
from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.model.records import Metric

METRIC_FILTERS: Fields[Metric] = {
    "integration.name": Field(EQUALS, lambda metric: metric.integration),
    "integration.category": Field(EQUALS, lambda metric: INTEGRATIONS[metric.integration][2]),
}
PAGE_SIZE = 200


async def list_metrics(request: web.Request) -> web.Response:
    """``GET /api/metrics``."""
    found = matching(request, request.app[ACCOUNT].metrics.values(), METRIC_FILTERS)
    part, links = listed(request, found, page(request, default=PAGE_SIZE, most=PAGE_SIZE))
    base = str(request.url.origin())
    answer = {"data": [sparse(request, metric_resource(one, base)) for one in part], "links": links}
    return document(with_included(request, answer))


async def get_metric(request: web.Request) -> web.Response:
    """``GET /api/metrics/{id}``."""
    metric = request.app[ACCOUNT].metrics.get(request.match_info["id"])
    if metric is None:
        raise not_found(f"A metric with id {request.match_info['id']} does not exist.")
    return show_metric(request, metric)


def show_metric(request: web.Request, metric: Metric) -> web.Response:
    """Answer with one metric."""
    shown = sparse(request, metric_resource(metric, str(request.url.origin())))
    return document(with_included(request, {"data": shown, "links": {"self": str(request.url)}}))
