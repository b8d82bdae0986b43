"""A simulated Kustomer organisation: a real HTTP server with its API, its webhooks and its people, in memory."""

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from email.utils import formatdate

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.kustomer.api import (
    routes_apps,
    routes_conversations,
    routes_customers,
    routes_organisation,
)
from kustomer_klaviyo.sandbox.kustomer.api.access import Meter
from kustomer_klaviyo.sandbox.kustomer.api.masking import masked_event
from kustomer_klaviyo.sandbox.kustomer.api.operation import (
    APPS,
    COMMANDS,
    DISPATCHER,
    METER,
    OPTIONS,
    ORGANISATION,
    REGISTRY,
    SUPPORT,
    SURVEYS,
    TRAFFIC,
    in_the_vendors_form,
    throttled,
)
from kustomer_klaviyo.sandbox.kustomer.model.apps import Apps
from kustomer_klaviyo.sandbox.kustomer.model.commands import Commands
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.support_team import Support
from kustomer_klaviyo.sandbox.kustomer.model.surveys import Surveys
from kustomer_klaviyo.sandbox.kustomer.model.webhook_delivery import Dispatcher
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import Registry
from kustomer_klaviyo.sandbox.kustomer.options import DEFAULT_KEY, KustomerOptions
from kustomer_klaviyo.sandbox.kustomer.simulation.on_request import PLAYS, end_plays
from kustomer_klaviyo.sandbox.kustomer.ui.control import install_control
from kustomer_klaviyo.sandbox.kustomer.ui.desktop import install_desktop

__all__ = ["DEFAULT_KEY", "FAULTS", "KustomerOptions", "create_app"]

FAULTS = web.AppKey("faults", Faults)


def create_app(options: KustomerOptions | None = None) -> web.Application:
    """Make the application."""
    options = options or KustomerOptions()
    app = web.Application()
    app[OPTIONS], app[TRAFFIC], app[PLAYS] = options, Counter(), []
    app[METER] = Meter(options.rate_limit, options.search_limit)
    _furnish(app, options)
    app[FAULTS] = Faults(lambda seconds: throttled(seconds, options.clock()), seed=options.seed)
    app[FAULTS].install(app)
    app.middlewares.append(in_the_vendors_form)
    for routes in (routes_organisation, routes_customers, routes_conversations, routes_apps):
        for operation in routes.OPERATIONS:
            operation.install(app)
    install_control(app)
    install_desktop(app)
    app.on_response_prepare.append(_dated)
    app.cleanup_ctx.append(_delivering)
    app.cleanup_ctx.append(routes_apps.with_session)
    return app


def _furnish(app: web.Application, options: KustomerOptions) -> None:
    """Put the organisation, its people and its webhooks into the application."""
    registry = app[REGISTRY] = Registry(allow_http=options.allow_http)
    dispatcher = app[DISPATCHER] = Dispatcher(registry, options)
    chance = random.Random(options.seed)

    def announce(name: str, make: Callable[[], Document]) -> None:
        dispatcher.announce(name, (lambda: masked_event(make())) if options.masked else make)

    organisation = app[ORGANISATION] = Organisation(options.org_name, announce, options.clock, chance)
    support = app[SUPPORT] = Support(organisation, noise=options.noise, chance=chance)
    app[SURVEYS] = Surveys(organisation, support)
    app[APPS] = Apps(organisation.id)
    app[COMMANDS] = Commands(app[APPS], options.clock)


async def _dated(request: web.Request, response: web.StreamResponse) -> None:
    """Date an answer by the organisation's clock."""
    response.headers["Date"] = formatdate(request.app[OPTIONS].clock(), usegmt=True)


async def _delivering(app: web.Application) -> AsyncIterator[None]:
    await app[DISPATCHER].start()
    yield
    await end_plays(app)
    await app[DISPATCHER].stop()
