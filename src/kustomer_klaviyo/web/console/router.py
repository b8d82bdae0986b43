"""Builds the console: its controllers, their dependencies and their guards."""

from typing import Any

from litestar import Response, Router
from litestar.di import Provide

from kustomer_klaviyo.auth.authenticator import Authenticator
from kustomer_klaviyo.auth.oidc import OidcClient
from kustomer_klaviyo.service import Service
from kustomer_klaviyo.setup.wizard import SetupWizard
from kustomer_klaviyo.store.connections import NotFound
from kustomer_klaviyo.store.setup_drafts import SetupDrafts
from kustomer_klaviyo.store.users import Users
from kustomer_klaviyo.web.assets import asset_route
from kustomer_klaviyo.web.console.banners import Alerts
from kustomer_klaviyo.web.console.connect_pages import (
    KlaviyoStepController,
    KustomerStepController,
    MetricsStepController,
)
from kustomer_klaviyo.web.console.connection_pages import ConnectionController, OverviewController
from kustomer_klaviyo.web.console.guard import ANYONE, GUARD_EXCEPTION_HANDLERS, console_guards, message_page
from kustomer_klaviyo.web.console.messages import MessagePage
from kustomer_klaviyo.web.console.oidc_pages import OidcController, OidcSignIn
from kustomer_klaviyo.web.console.rendering import PageRequest
from kustomer_klaviyo.web.console.sign_in_pages import AccountController, InvitationController, SignInController

ASSETS = ("site.css", "htmx.min.js", "icon.svg")


def console_router(service: Service) -> Router:
    """Return the console of a running service."""
    app, settings = service.app, service.app.settings
    users = Users(app.db)
    authenticator = Authenticator(users, passwords_enabled=settings.oidc is None)
    oidc = None
    if settings.oidc is not None:
        client = OidcClient(service.session, settings.oidc)
        oidc = OidcSignIn(authenticator, client, app.encryptor, settings.public_url)
    dependencies = {
        "db": app.db,
        "connections": app.connections,
        "drafts": SetupDrafts(app.db, app.encryptor),
        "wizard": SetupWizard(app.connections, service.session),
        "users": users,
        "authenticator": authenticator,
        "oidc": oidc,
        "public_url": settings.public_url,
    }
    controllers = [
        SignInController, InvitationController, AccountController, OverviewController, ConnectionController,
        KlaviyoStepController, KustomerStepController, MetricsStepController,
    ]  # fmt: skip
    return Router(
        "/",
        route_handlers=[
            asset_route("/assets", ASSETS, opt=ANYONE),
            *controllers,
            *([] if oidc is None else [OidcController]),
        ],
        dependencies={name: _provide(value) for name, value in dependencies.items()},
        guards=console_guards(users, Alerts(app.db, service.is_disk_full)),
        exception_handlers={**GUARD_EXCEPTION_HANDLERS, NotFound: _not_found},
    )


def _provide(value: Any) -> Provide:
    return Provide(lambda: value, sync_to_thread=False)


def _not_found(request: PageRequest, _: Exception) -> Response[Any]:
    return message_page(request, MessagePage.NOT_FOUND, status=404)
