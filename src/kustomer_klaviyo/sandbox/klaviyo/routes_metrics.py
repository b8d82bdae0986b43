"""Metrics: reading them. They are made by events."""

from collections.abc import Callable

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import document, not_found
from kustomer_klaviyo.sandbox.klaviyo.exchange import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.filters import Condition, text_test
from kustomer_klaviyo.sandbox.klaviyo.query import conditions, listed, page, sparse
from kustomer_klaviyo.sandbox.klaviyo.records import Metric
from kustomer_klaviyo.sandbox.klaviyo.resources import INTEGRATIONS, metric_resource

METRIC_FILTERS = {"integration.name": frozenset({"equals"}), "integration.category": frozenset({"equals"})}
PAGE_SIZE = 200


async def list_metrics(request: web.Request) -> web.Response:
    """``GET /api/metrics``."""
    tests = [_test(one) for one in conditions(request, METRIC_FILTERS)]
    found = [metric for metric in request.app[ACCOUNT].metrics.values() if all(test(metric) for test in tests)]
    part, links = listed(request, found, page(request, default=PAGE_SIZE, most=PAGE_SIZE))
    base = str(request.url.origin())
    return document({"data": [sparse(request, metric_resource(one, base)) for one in part], "links": links})


def _test(condition: Condition) -> Callable[[Metric], bool]:
    is_met = text_test(condition)
    if condition.field == "integration.name":
        return lambda metric: is_met(metric.integration)
    return lambda metric: is_met(INTEGRATIONS[metric.integration][2])


async def get_metric(request: web.Request) -> web.Response:
    """``GET /api/metrics/{id}``."""
    metric = request.app[ACCOUNT].metrics.get(request.match_info["id"])
    if metric is None:
        raise not_found(f"A metric with id {request.match_info['id']} does not exist.")
    return show_metric(request, metric)


def show_metric(request: web.Request, metric: Metric) -> web.Response:
    """Answer with one metric."""
    shown = sparse(request, metric_resource(metric, str(request.url.origin())))
    return document({"data": shown, "links": {"self": str(request.url)}})
