"""Builds the web application from its endpoints."""

import os
from collections.abc import Sequence
from typing import Any

from litestar import Litestar, asgi
from litestar.types import ControllerRouterHandler, Receive, Scope, Send
from prometheus_client import CollectorRegistry
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from kustomer_klaviyo.card.card_service import CardService
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.intake.receiver import Intake
from kustomer_klaviyo.web.console.rendering import TEMPLATES
from kustomer_klaviyo.web.endpoints.card_endpoint import card_routes
from kustomer_klaviyo.web.endpoints.health import CheckReadiness, ReadHealth, health_routes, metrics_route
from kustomer_klaviyo.web.endpoints.webhook_endpoint import MOUNT_PATH, WebhookEndpoint, WebhookShortcut
from kustomer_klaviyo.web.error_responses import ErrorReporter
from kustomer_klaviyo.web.middleware import RequestMiddleware

TRUSTED_PROXIES = "127.0.0.1,::1"
"""The default of ``FORWARDED_ALLOW_IPS``."""


class Application(Litestar):
    """A Litestar application inside its ``RequestMiddleware``, so that no server can bypass the limits.

    Webhooks reach their endpoint before both: they are most of the load, and have limits and headers of their own.
    """

    def __init__(
        self, handlers: Sequence[ControllerRouterHandler], reporter: ErrorReporter, webhooks: WebhookEndpoint
    ) -> None:
        super().__init__(
            handlers,
            openapi_config=None,
            logging_config=None,
            template_config=TEMPLATES,
            exception_handlers=reporter.handlers(),
        )
        trusted_proxies = os.environ.get("FORWARDED_ALLOW_IPS", TRUSTED_PROXIES)
        # uvicorn and Litestar describe the same protocol with different types.
        framework: Any = RequestMiddleware(super().__call__, reporter)
        behind_proxy: Any = ProxyHeadersMiddleware(framework, trusted_proxies)
        self._front = WebhookShortcut(webhooks, behind_proxy, reporter)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        await self._front(scope, receive, send)


def create_app(
    intake: Intake,
    *,
    cards: CardService,
    registry: ConnectionRegistry,
    check_ready: CheckReadiness,
    read_health: ReadHealth,
    metrics_registry: CollectorRegistry,
    metrics_token: str | None,
    extra_handlers: Sequence[ControllerRouterHandler] = (),
) -> Application:
    """Create the web application."""
    endpoint = WebhookEndpoint(intake)

    # For the spellings of the address that only the router recognises, such as a doubled slash.
    @asgi(MOUNT_PATH, is_mount=True, copy_scope=False)
    async def webhook(scope: Scope, receive: Receive, send: Send) -> None:
        await endpoint(scope, receive, send)

    routes = [
        *health_routes(check_ready),
        *card_routes(cards, registry),
        metrics_route(metrics_registry, metrics_token, read_health),
    ]
    return Application([webhook, *routes, *extra_handlers], ErrorReporter(metrics_registry), endpoint)
