"""Whether the process lives and whether it can do its work; and, for whoever holds the token, its numbers."""

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Request, Response, get
from litestar.exceptions import NotAuthorizedException, NotFoundException
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

IsReady = Callable[[], Awaitable[bool]]


def health_routes(is_ready: IsReady) -> list[HTTPRouteHandler]:
    """Make ``/health`` (the process lives) and ``/ready`` (its database answers)."""

    @get("/health", sync_to_thread=False)
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @get("/ready")
    async def ready() -> Response[dict[str, str]]:
        if await is_ready():
            return Response({"status": "ok"})
        return Response({"status": "the database is away"}, status_code=503)

    return [health, ready]


def metrics_route(registry: CollectorRegistry, token: str | None) -> HTTPRouteHandler:
    """Make ``/metrics``, which does not exist without a token."""

    @get("/metrics")
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        if token is None:
            raise NotFoundException
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(shown.encode(), token.encode()):
            raise NotAuthorizedException
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return metrics
