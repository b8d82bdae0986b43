"""The site for admins and viewers: its pages, its guard, its assets."""

from pathlib import Path

from litestar import Response, Router, get
from litestar.params import FromPath

from kustomer_klaviyo.auth.authenticator import Gate
from kustomer_klaviyo.auth.oidc import Provider
from kustomer_klaviyo.service import Service
from kustomer_klaviyo.setup.wizard import Onboarding
from kustomer_klaviyo.store.connections import NotThere
from kustomer_klaviyo.store.setup_drafts import Drafts
from kustomer_klaviyo.store.users import Accounts
from kustomer_klaviyo.web.console.banners import Alerts
from kustomer_klaviyo.web.console.connect_pages import ConnectPages
from kustomer_klaviyo.web.console.connection_pages import OverviewPages
from kustomer_klaviyo.web.console.guard import ANYONE, guard
from kustomer_klaviyo.web.console.oidc_pages import ProviderSignIn
from kustomer_klaviyo.web.console.pages import Asked, page
from kustomer_klaviyo.web.console.sign_in_pages import sign_in_routes

STATIC = Path(__file__).parents[1] / "static"
ASSETS = {
    "site.css": "text/css; charset=utf-8",
    "htmx.min.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


def site(service: Service) -> Router:
    """Make the pages of a running service."""
    home = service.home
    accounts = Accounts(home.database)
    onboarding, alerts = Onboarding(home.connections, service.session), Alerts(home.database, service.lacks_space)
    drafts = Drafts(home.database, home.sealer)
    connect = ConnectPages(home.database, home.connections, drafts, onboarding, home.settings.public_url)
    overview = OverviewPages(home.database, home.connections, onboarding, service.session)
    sign_on = home.settings.sign_on
    gate = Gate(accounts, takes_passwords=sign_on is None)
    provider = None
    if sign_on is not None:
        provider = ProviderSignIn(gate, Provider(service.session, sign_on), home.sealer, home.settings.public_url)
    handlers = [_asset, *sign_in_routes(gate, accounts, provider), *connect.routes(), *overview.routes()]
    return Router(
        "/", route_handlers=handlers, before_request=guard(accounts, alerts), exception_handlers={NotThere: _not_there}
    )


def _not_there(request: Asked, _: Exception) -> Response[str]:
    text = "This is not there (any more)."
    return page(request, "message.html", status=404, title="Not found", text=text)


@get("/assets/{name:str}", opt=ANYONE, sync_to_thread=False)
def _asset(name: FromPath[str]) -> Response[bytes]:
    if name not in ASSETS:
        return Response(b"no such file", status_code=404, media_type="text/plain")
    headers = {"Cache-Control": "public, max-age=300"}
    return Response((STATIC / name).read_bytes(), media_type=ASSETS[name], headers=headers)
