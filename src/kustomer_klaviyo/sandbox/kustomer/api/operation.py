"""One request to the simulated API and its answer: what surrounds every operation."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.api.access import Meter, admit, reset_at, too_many
from kustomer_klaviyo.sandbox.kustomer.api.masking import masked
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, refuse
from kustomer_klaviyo.sandbox.kustomer.model.apps import Apps
from kustomer_klaviyo.sandbox.kustomer.model.commands import Commands
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.model.support_team import Support
from kustomer_klaviyo.sandbox.kustomer.model.surveys import Surveys
from kustomer_klaviyo.sandbox.kustomer.model.webhook_delivery import Dispatcher
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import Registry
from kustomer_klaviyo.sandbox.kustomer.options import KustomerOptions

ORGANISATION = web.AppKey("organisation", Organisation)
SUPPORT = web.AppKey("support", Support)
SURVEYS = web.AppKey("surveys", Surveys)
REGISTRY = web.AppKey("registry", Registry)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
APPS = web.AppKey("apps", Apps)
COMMANDS = web.AppKey("commands", Commands)
OPTIONS = web.AppKey("options", KustomerOptions)
TRAFFIC = web.AppKey("traffic", Counter[str])
METER = web.AppKey("meter", Meter)

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, and the permission that a key needs for it."""

    method: str
    path: str
    permission: str | None
    handler: Handler

    def install(self, app: web.Application) -> None:
        """Put the operation into the application."""
        app.router.add_route(self.method, self.path, self.exchange)

    async def exchange(self, request: web.Request) -> web.Response:
        """Answer one request: key, limit, handler, headers."""
        app = request.app
        traffic, meter, options = app[TRAFFIC], app[METER], app[OPTIONS]
        traffic[f"{self.method} {self.path}"] += 1
        try:
            admit(request.headers.get("Authorization", ""), options.api_keys, self.permission)
            meter.take(is_search=self.path.endswith("/search"), now=options.clock())
            response = await self.handler(request)
        except Refusal as refusal:
            response = refused(refusal, options.clock())
        response.headers.update(meter.headers())
        response.headers["X-Kustomer-Pod"] = "prod1"
        traffic[f"status {response.status}"] += 1
        return response


def refused(refusal: Refusal, now: float) -> web.Response:
    """Answer with a refusal; one for asking too often says when that ends."""
    response = refuse(refusal)
    if refusal.status == 429:
        response.headers["x-ratelimit-reset"] = str(reset_at(now))
    return response


def throttled(seconds: float | None, now: float) -> web.Response:
    """Answer as beyond the limit, whatever was counted; with ``Retry-After`` when its seconds are given."""
    response = refused(too_many(), now)
    if seconds is not None:
        response.headers["Retry-After"] = f"{seconds:.0f}"
        response.headers["x-ratelimit-reset"] = f"{now + seconds:.0f}"
    return response


@web.middleware
async def in_the_vendors_form(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Say in Kustomer's form what the router refuses."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or request.path.startswith(CONTROL_PREFIX):
            raise
        return refuse(Refusal(error.status, error.reason.replace(" ", "").lower(), error.reason))


def shown(request: web.Request, resource: Document) -> Document:
    """Return a resource as the key may see it."""
    return masked(resource) if request.app[OPTIONS].masked else resource


def present(resources: dict[str, Document]) -> list[Document]:
    """Return what is not deleted."""
    return [one for one in resources.values() if not one["attributes"].get("deleted")]
