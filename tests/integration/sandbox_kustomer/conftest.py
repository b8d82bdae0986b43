"""Fixtures: a simulated organisation, and a receiver of its webhooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.kustomer import KustomerOptions, create_app
from support.kustomer_sandbox import KustomerSandbox, WebhookReceiver

FAST_OPTIONS: dict[str, Any] = {"retry_scale": 0.0001, "rate_limit": None, "background_updates": 0}

OpenSandbox = Callable[..., Awaitable[KustomerSandbox]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as exit_stack:
        yield exit_stack


@pytest.fixture
def open_sandbox(stack: AsyncExitStack) -> OpenSandbox:
    async def open_with(**options: Any) -> KustomerSandbox:
        app = create_app(KustomerOptions(**(FAST_OPTIONS | options)))
        url = await stack.enter_async_context(run_server(app))
        return KustomerSandbox(url, await stack.enter_async_context(aiohttp.ClientSession()))

    return open_with


@pytest.fixture
async def sandbox(open_sandbox: OpenSandbox) -> KustomerSandbox:
    return await open_sandbox()


@pytest.fixture
async def receiver(stack: AsyncExitStack) -> WebhookReceiver:
    webhook_receiver = WebhookReceiver()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/hook", webhook_receiver.handle)
    webhook_receiver.url = await stack.enter_async_context(run_server(app)) + "/hook"
    return webhook_receiver
