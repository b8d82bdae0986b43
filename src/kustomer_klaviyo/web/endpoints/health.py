"""Whether the process lives and whether it can do its work; and, for whoever holds the token, its numbers."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from kustomer_klaviyo.runtime.connection_health import HealthNumbers

WhyNotReady = Callable[[], Awaitable[str | None]]
"""Says why no work can be done; None when it can."""

ReadHealth = Callable[[], Awaitable[HealthNumbers]]


def health_routes(why_not_ready: WhyNotReady) -> list[HTTPRouteHandler]:
    """Make ``/health`` (the process lives) and ``/ready`` (its database answers)."""

    @get("/health", sync_to_thread=False)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @get("/ready")
    async def ready() -> Response[dict[str, str]]:
        problem = await why_not_ready()
        return Response({"status": problem or "ok"}, status_code=503 if problem else 200)

    return [health, ready]


class Gauges:
    """The numbers of how the service fares, read anew each time."""

    def __init__(self, registry: CollectorRegistry, read: ReadHealth) -> None:
        name = "kustomer_klaviyo"
        self._read = read
        self._loops = Gauge(f"{name}_loop_failures", "Failures in a row", ["connection", "loop"], registry=registry)
        self._webhooks = Gauge(f"{name}_webhook_off", "Kustomer sends none", ["connection"], registry=registry)
        self._disk = Gauge(f"{name}_disk_full", "The database has no room", registry=registry)

    async def refresh(self) -> None:
        """Read the numbers."""
        found = await self._read()
        self._loops.clear()
        self._webhooks.clear()
        self._disk.set(found.is_disk_full)
        for connection, loop, failures in found.failing:
            self._loops.labels(connection, loop).set(failures)
        for connection, is_off in found.webhooks:
            self._webhooks.labels(connection).set(is_off)


def metrics_route(registry: CollectorRegistry, token: str | None, read: ReadHealth) -> HTTPRouteHandler:
    """Make ``/metrics``, which does not exist without a token."""
    gauges = Gauges(registry, read)

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        if token is None:
            raise NotFoundException
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), token.encode()):
            raise NotAuthorizedException
        await gauges.refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return metrics
