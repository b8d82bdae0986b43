"""Liveness and readiness of the process, and its metrics for clients with the token."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from kustomer_klaviyo.runtime.connection_health import HealthMetrics

CheckReadiness = Callable[[], Awaitable[str | None]]
"""Returns why the service is not ready; None if it is ready."""

ReadHealth = Callable[[], Awaitable[HealthMetrics]]


def health_routes(check_ready: CheckReadiness) -> list[HTTPRouteHandler]:
    """Return ``/health`` (the process is running) and ``/ready`` (it can work)."""

    @get("/health", sync_to_thread=False)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @get("/ready")
    async def ready() -> Response[dict[str, str]]:
        reason = await check_ready()
        return Response({"status": reason or "ok"}, status_code=503 if reason else 200)

    return [health, ready]


class HealthGauges:
    """Gauges of the service's health, refreshed for every request."""

    def __init__(self, registry: CollectorRegistry, read_health: ReadHealth) -> None:
        prefix = "kustomer_klaviyo"
        self._read_health = read_health
        self._loops = Gauge(
            f"{prefix}_loop_failures", "Consecutive failures of a loop", ["connection", "loop"], registry=registry
        )
        self._webhooks = Gauge(
            f"{prefix}_webhook_off", "Whether Kustomer sends no webhooks", ["connection"], registry=registry
        )
        self._disk = Gauge(f"{prefix}_disk_full", "Whether the disk of the database is full", registry=registry)

    async def refresh(self) -> None:
        """Read the current values."""
        health = await self._read_health()
        self._loops.clear()
        self._webhooks.clear()
        self._disk.set(health.is_disk_full)
        for connection, loop, failures in health.failing:
            self._loops.labels(connection, loop).set(failures)
        for connection, is_off in health.webhooks:
            self._webhooks.labels(connection).set(is_off)


def metrics_route(registry: CollectorRegistry, token: str | None, read_health: ReadHealth) -> HTTPRouteHandler:
    """Return ``/metrics``; without a token it does not exist."""
    gauges = HealthGauges(registry, read_health)

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        if token is None:
            raise NotFoundException
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), token.encode()):
            raise NotAuthorizedException
        await gauges.refresh()
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return metrics
