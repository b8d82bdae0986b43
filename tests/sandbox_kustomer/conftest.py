"""A simulated organisation to talk to, and a receiver of its webhooks."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from kustomer_desk import Desk, Receiver
from kustomer_klaviyo.sandbox.kustomer import KustomerOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving

QUICK: dict[str, Any] = {"retry_scale": 0.0001, "rate_limit": None, "noise": 0}

Open = Callable[..., Awaitable[Desk]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    async with AsyncExitStack() as entered:
        yield entered


@pytest.fixture
def open_desk(stack: AsyncExitStack) -> Open:
    async def open_one(**options: Any) -> Desk:
        app = create_app(KustomerOptions(**(QUICK | options)))
        url = await stack.enter_async_context(serving(app))
        return Desk(url, await stack.enter_async_context(aiohttp.ClientSession()))

    return open_one


@pytest.fixture
async def desk(open_desk: Open) -> Desk:
    return await open_desk()


@pytest.fixture
async def receiver(stack: AsyncExitStack) -> Receiver:
    taking = Receiver()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_post("/hook", taking.take)
    taking.url = await stack.enter_async_context(serving(app)) + "/hook"
    return taking
