"""A simulated Kustomer organisation: a real HTTP server with its API, its webhooks and its people, in memory."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.kustomer.actions import Support
from kustomer_klaviyo.sandbox.kustomer.control import PLAYS, install_control
from kustomer_klaviyo.sandbox.kustomer.exchange import (
    CHANCE,
    DEFAULT_KEY,
    DISPATCHER,
    METER,
    OPTIONS,
    ORGANISATION,
    SUPPORT,
    TRAFFIC,
    KustomerOptions,
    Meter,
    too_many,
)
from kustomer_klaviyo.sandbox.kustomer.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.routes import install_routes
from kustomer_klaviyo.sandbox.kustomer.webhooks import DeliveryOptions, Dispatcher

__all__ = ["DEFAULT_KEY", "FAULTS", "KustomerOptions", "create_app"]

FAULTS = web.AppKey("faults", Faults)


def create_app(options: KustomerOptions | None = None) -> web.Application:
    """Make the application."""
    options = options or KustomerOptions()
    app = web.Application()
    chance = random.Random(options.seed)
    app[OPTIONS], app[CHANCE], app[TRAFFIC], app[METER] = options, chance, Counter(), Meter()
    app[DISPATCHER] = Dispatcher(
        DeliveryOptions(
            retry_scale=options.retry_scale,
            timeout=options.webhook_timeout,
            duplicate_probability=options.duplicate_probability,
            reorder_probability=options.reorder_probability,
            disable_after_failures=options.disable_after_failures,
        ),
        chance=chance,
    )
    app[ORGANISATION] = Organisation(options.org_name, app[DISPATCHER].announce, options.clock)
    app[SUPPORT] = Support(app[ORGANISATION], noise=options.noise, chance=chance)
    app[FAULTS] = Faults(lambda seconds: _throttled(options, seconds))
    app[FAULTS].install(app)
    install_routes(app)
    install_control(app)
    app.cleanup_ctx.append(_delivering)
    return app


def _throttled(options: KustomerOptions, seconds: float | None) -> web.Response:
    response = too_many(options.clock())
    if seconds is not None:
        response.headers["Retry-After"] = f"{seconds:.0f}"
    return response


async def _delivering(app: web.Application) -> AsyncIterator[None]:
    await app[DISPATCHER].start()
    yield
    plays = [task for _, task in app[PLAYS]]
    for task in plays:
        task.cancel()
    await asyncio.gather(*plays, return_exceptions=True)
    await app[DISPATCHER].stop()
