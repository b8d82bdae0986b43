"""Puts the endpoints together."""

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, asgi
from litestar.types import ControllerRouterHandler, Receive, Scope, Send
from prometheus_client import CollectorRegistry

from kustomer_klaviyo.card.card_service import CardDesk
from kustomer_klaviyo.connections.registry import Directory
from kustomer_klaviyo.intake.receiver import Intake
from kustomer_klaviyo.web.endpoints.card_endpoint import card_routes
from kustomer_klaviyo.web.endpoints.health import ReadHealth, WhyNotReady, health_routes, metrics_route
from kustomer_klaviyo.web.endpoints.webhook_endpoint import WebhookEndpoint
from kustomer_klaviyo.web.error_responses import Faults
from kustomer_klaviyo.web.middleware import Edge


class Application(Litestar):
    """The web application within its edge, so that whoever serves it serves nothing without limits."""

    def __init__(self, handlers: Sequence[ControllerRouterHandler], faults: Faults) -> None:
        super().__init__(handlers, openapi_config=None, logging_config=None, exception_handlers=faults.handlers())
        self.edge = Edge(super().__call__, faults)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        await self.edge(scope, receive, send)


def create_app(
    intake: Intake,
    *,
    cards: CardDesk,
    directory: Directory,
    why_not_ready: WhyNotReady,
    health_numbers: ReadHealth,
    registry: CollectorRegistry,
    metrics_token: str | None,
    more: Sequence[ControllerRouterHandler] = (),
) -> Application:
    """Make the web application; ``more`` are handlers beside the program's own."""
    endpoint = WebhookEndpoint(intake)

    @asgi("/webhooks/kustomer", is_mount=True, copy_scope=False)
    async def webhook(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(scope, receive, send)

    routes = [
        *health_routes(why_not_ready),
        *card_routes(cards, directory),
        metrics_route(registry, metrics_token, health_numbers),
    ]
    return Application([webhook, *routes, *more], Faults(registry))
