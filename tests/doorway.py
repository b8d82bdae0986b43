"""The door, served over a real socket on a real database, with one connection."""

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

from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.service import House, Service, house
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.web.app import create_app
from kustomer_klaviyo.web.console.guard import ANYONE
from kustomer_klaviyo.web.console.site import site
from kustomer_klaviyo.web.http_protocol import HttpProtocol
from kustomer_klaviyo.web.http_server import configured
from stage import free_port

TOKENS = ("current-token", "former-token")
METRICS_TOKEN = "metrics"


@get("/broken", opt=ANYONE)
async def broken() -> None:
    """A page with a fault."""
    raise ZeroDivisionError("the fault of a test")


@asgi("/webhooks/broken", is_mount=True, copy_scope=False)
async def broken_mount(scope: Scope, receive: Receive, send: Send) -> None:
    """Something mounted, with a fault."""
    del scope, receive, send
    raise ZeroDivisionError("the fault of a test")


BROKEN = (broken, broken_mount)


@dataclass
class Door:
    """How tests knock."""

    url: str
    session: aiohttp.ClientSession
    home: House
    service: Service

    @property
    def address(self) -> str:
        """Where Kustomer sends the connection's webhooks."""
        return f"{self.url}/webhooks/kustomer/acme"

    async def knock(
        self, body: Any, *, signature: str | None = None, token: str = TOKENS[0], connection: str = "acme"
    ) -> tuple[int, str, dict[str, str]]:
        """Bring a body (bytes, or a document) with the right signature unless told otherwise."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"X-Kustomer-Webhook-Signature": sign(token, raw) if signature is None else signature}
        url = f"{self.url}/webhooks/kustomer/{connection}"
        async with self.session.post(url, data=io.BytesIO(raw), headers=headers) as response:
            return response.status, await response.text(), dict(response.headers)

    async def rows(self) -> list[dict[str, Any]]:
        """Return what is in the inbox."""
        return await self.home.database.fetch("SELECT * FROM inbox ORDER BY seq")


def new_connection() -> Connection:
    """A connection to nowhere: only its door is used."""
    return Connection(
        id="acme",
        organisation="acme",
        kustomer_url="http://127.0.0.1:9",
        klaviyo_url="http://127.0.0.1:9",
        secrets=Secrets("k", ("pk",), TOKENS),
        horizon=datetime(2026, 1, 1, tzinfo=UTC),
    )


@asynccontextmanager
async def serving(service: Service, http: type[HttpProtocol] = HttpProtocol) -> AsyncIterator[str]:
    """Serve the door and the pages."""
    app = create_app(
        service.intake,
        cards=service.cards,
        directory=service.directory,
        why_not_ready=service.why_not_ready,
        health_numbers=service.health_numbers,
        registry=CollectorRegistry(),
        metrics_token=METRICS_TOKEN,
        more=[site(service), *BROKEN],
    )
    port = free_port()
    server = uvicorn.Server(configured(app, port=port, http=http))
    task = asyncio.create_task(server._serve())  # noqa: SLF001 - without its signal handlers, which belong to pytest
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await task


@asynccontextmanager
async def opened(
    database_url: str, data_directory: Path, http: type[HttpProtocol] = HttpProtocol
) -> AsyncIterator[Door]:
    """Open the door on a database."""
    settings = Settings(data_directory=data_directory, database_url=database_url)
    async with house(settings, owner=True) as home, aiohttp.ClientSession() as session:
        await home.connections.save(new_connection())
        service = Service(home, session)
        running = asyncio.create_task(service.run(door=True, work=False))
        while not service.directory.is_known:
            await asyncio.sleep(0.01)
        async with serving(service, http) as url:
            yield Door(url, session, home, service)
        service.stop()
        await running
