"""A simulated Kustomer organisation: an HTTP server with its API, webhooks and a support team, in memory."""

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
from kustomer_klaviyo.sandbox.kustomer.api.masking import masked_event
from kustomer_klaviyo.sandbox.kustomer.api.minute_limit import MinuteLimit
from kustomer_klaviyo.sandbox.kustomer.api.operation import error_middleware, throttled_response
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import (
    APPS,
    COMMANDS,
    DISPATCHER,
    LIMIT,
    OPTIONS,
    ORGANISATION,
    REGISTRY,
    REQUEST_COUNTS,
    RESPONSE_COUNTS,
    SUPPORT_TEAM,
    SURVEYS,
)
from kustomer_klaviyo.sandbox.kustomer.model.apps import Apps
from kustomer_klaviyo.sandbox.kustomer.model.commands import Commands
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.satisfaction_surveys import Surveys
from kustomer_klaviyo.sandbox.kustomer.model.support_team import SupportTeam
from kustomer_klaviyo.sandbox.kustomer.model.webhook_delivery import WebhookDispatcher
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import WebhookRegistry
from kustomer_klaviyo.sandbox.kustomer.organisation_options import DEFAULT_KEY, KustomerOptions
from kustomer_klaviyo.sandbox.kustomer.simulation.simulation_runs import SIMULATIONS, stop_simulations
from kustomer_klaviyo.sandbox.kustomer.ui.desktop import install_desktop
from kustomer_klaviyo.sandbox.kustomer.ui.organisation_control import install_control

__all__ = ["DEFAULT_KEY", "FAULTS", "KustomerOptions", "create_app"]

FAULTS = web.AppKey("faults", Faults)


def create_app(options: KustomerOptions | None = None) -> web.Application:
    """Make the application."""
    options = options or KustomerOptions()
    app = web.Application()
    app[OPTIONS], app[SIMULATIONS] = options, []
    app[REQUEST_COUNTS], app[RESPONSE_COUNTS] = Counter(), Counter()
    app[LIMIT] = MinuteLimit(options.rate_limit, options.search_limit)
    _create_organisation(app, options)
    app[FAULTS] = Faults(lambda seconds: throttled_response(seconds, options.clock()), seed=options.seed)
    app[FAULTS].install(app)
    app.middlewares.append(error_middleware)
    for routes in (routes_organisation, routes_customers, routes_conversations, routes_apps):
        for operation in routes.OPERATIONS:
            operation.install(app)
    install_control(app)
    install_desktop(app)
    app.on_response_prepare.append(_set_date)
    app.cleanup_ctx.append(_run_dispatcher)
    app.cleanup_ctx.append(routes_apps.run_session)
    return app


def _create_organisation(app: web.Application, options: KustomerOptions) -> None:
    """Add the organisation, its support team and its webhooks to the application."""
    registry = app[REGISTRY] = WebhookRegistry(allow_http=options.allow_http)
    dispatcher = app[DISPATCHER] = WebhookDispatcher(registry, options)
    rng = random.Random(options.seed)

    def announce(name: str, make: Callable[[], Document]) -> None:
        dispatcher.announce(name, (lambda: masked_event(make())) if options.masked else make)

    organisation = app[ORGANISATION] = Organisation(options.org_name, announce, options.clock, rng)
    team = app[SUPPORT_TEAM] = SupportTeam(organisation, background_updates=options.background_updates, rng=rng)
    app[SURVEYS] = Surveys(organisation, team)
    app[APPS] = Apps(organisation.id)
    app[COMMANDS] = Commands(app[APPS], options.clock)


async def _set_date(request: web.Request, response: web.StreamResponse) -> None:
    """Set the ``Date`` header from the organisation's clock."""
    response.headers["Date"] = formatdate(request.app[OPTIONS].clock(), usegmt=True)


async def _run_dispatcher(app: web.Application) -> AsyncIterator[None]:
    await app[DISPATCHER].start()
    yield
    await stop_simulations(app)
    await app[DISPATCHER].stop()
