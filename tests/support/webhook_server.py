"""The webhook endpoint and the pages on a real socket and a real database, with one connection."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn
from litestar import asgi, get
from litestar.types import Receive, Scope, Send
from prometheus_client import CollectorRegistry

from kustomer_klaviyo.demo.environment import free_port
from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.service import AppContext, Service, open_app
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.web.application import create_app
from kustomer_klaviyo.web.console.guard import ANYONE
from kustomer_klaviyo.web.console.router import console_router
from kustomer_klaviyo.web.http_protocol import HttpProtocol
from kustomer_klaviyo.web.uvicorn_server import server_config

TOKENS = ("current-token", "former-token")
METRICS_TOKEN = "metrics"


@get("/broken", opt=ANYONE)
async def failing_page() -> None:
    """A page that raises an exception."""
    raise ZeroDivisionError("raised by a test")


@asgi("/webhooks/broken", is_mount=True, copy_scope=False)
async def failing_mount(scope: Scope, receive: Receive, send: Send) -> None:
    """A mounted ASGI app that raises an exception."""
    del scope, receive, send
    raise ZeroDivisionError("raised by a test")


FAILING_ROUTES = (failing_page, failing_mount)


@dataclass
class WebhookServer:
    """A running server, and how tests send webhooks to it."""

    url: str
    session: aiohttp.ClientSession
    app: AppContext
    service: Service

    @property
    def webhook_url(self) -> str:
        """The URL to which Kustomer sends the connection's webhooks."""
        return f"{self.url}/webhooks/kustomer/acme"

    async def post_webhook(
        self, body: Any, *, signature: str | None = None, token: str = TOKENS[0], connection: str = "acme"
    ) -> tuple[int, str, dict[str, str]]:
        """Post a body (bytes or a document). Without ``signature`` it is signed with ``token``."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Kustomer-Webhook-Signature": sign(token, raw) if signature is None else signature}
        url = f"{self.url}/webhooks/kustomer/{connection}"
        async with self.session.post(url, data=io.BytesIO(raw), headers=headers) as response:
            return response.status, await response.text(), dict(response.headers)

    async def inbox_rows(self) -> list[dict[str, Any]]:
        """Return the rows of the inbox."""
        return await self.app.db.fetch("SELECT * FROM inbox ORDER BY seq")


def sample_connection() -> Connection:
    """Return a connection whose vendors are unreachable. Only its webhook endpoint is used."""
    return Connection(
        id="acme",
        organisation="acme",
        kustomer_url="http://127.0.0.1:9",
        klaviyo_url="http://127.0.0.1:9",
        secrets=Secrets("k", ("pk",), TOKENS),
        since=datetime(2026, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def serve_app(service: Service, http: type[HttpProtocol] = HttpProtocol) -> AsyncIterator[str]:
    """Serve the webhook endpoint and the pages. Yields the URL."""
    app = create_app(
        service.intake,
        cards=service.cards,
        registry=service.registry,
        check_ready=service.not_ready_reason,
        read_health=service.health_metrics,
        metrics_registry=CollectorRegistry(),
        metrics_token=METRICS_TOKEN,
        extra_handlers=[console_router(service), *FAILING_ROUTES],
    )
    port = free_port()
    server = uvicorn.Server(server_config(app, port=port, http=http))
    task = asyncio.create_task(server._serve())  # noqa: SLF001 - serve() would replace pytest's signal handlers
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


@asynccontextmanager
async def run_webhook_server(
    database_url: str, data_directory: Path, http: type[HttpProtocol] = HttpProtocol
) -> AsyncIterator[WebhookServer]:
    """Run a server on a database."""
    settings = Settings(data_directory=data_directory, database_url=database_url)
    async with open_app(settings, owner=True) as app, aiohttp.ClientSession() as session:
        await app.connections.save(sample_connection())
        service = Service(app, session)
        running = asyncio.create_task(service.run(serve_webhooks=True, run_worker=False))
        while not service.registry.is_loaded:
            await asyncio.sleep(0.01)
        async with serve_app(service, http) as url:
            yield WebhookServer(url, session, app, service)
        service.stop()
        await running
