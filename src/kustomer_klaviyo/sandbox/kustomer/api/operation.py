"""Handling of one API request: key, rate limit, handler, headers, errors."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.api.key_roles import check_key
from kustomer_klaviyo.sandbox.kustomer.api.minute_limit import rate_limit_refusal, reset_at
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import LIMIT, OPTIONS, REQUEST_COUNTS, RESPONSE_COUNTS
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal, error_response

Handler = Callable[[web.Request], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API, and the permission that a key needs for it."""

    method: str
    path: str
    permission: str | None
    handler: Handler

    def install(self, app: web.Application) -> None:
        """Add the operation to the application."""
        app.router.add_route(self.method, self.path, self.handle)

    async def handle(self, request: web.Request) -> web.Response:
        """Respond to one request."""
        app = request.app
        limit, options = app[LIMIT], app[OPTIONS]
        app[REQUEST_COUNTS][f"{self.method} {self.path}"] += 1
        try:
            check_key(request.headers.get("Authorization", ""), options.api_keys, self.permission)
            limit.count_request(is_search=self.path.endswith("/search"), now=options.clock())
            response = await self.handler(request)
        except KustomerRefusal as refusal:
            response = _refusal_response(refusal, options.clock())
        response.headers.update(limit.headers())
        response.headers["X-Kustomer-Pod"] = "prod1"
        app[RESPONSE_COUNTS][str(response.status)] += 1
        return response


def _refusal_response(refusal: KustomerRefusal, now: float) -> web.Response:
    """Respond with an error; a 429 has the time when the limit resets."""
    response = error_response(refusal)
    if refusal.status == 429:
        response.headers["x-ratelimit-reset"] = str(reset_at(now))
    return response


def throttled_response(seconds: float | None, now: float) -> web.Response:
    """Respond with 429 regardless of the counts; ``seconds`` sets ``Retry-After``."""
    response = _refusal_response(rate_limit_refusal(), now)
    if seconds is not None:
        response.headers["Retry-After"] = f"{seconds:.0f}"
        response.headers["x-ratelimit-reset"] = f"{now + seconds:.0f}"
    return response


@web.middleware
async def error_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Convert the router's errors, such as 404 and 405, into Kustomer's error format."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status < 400 or request.path.startswith(CONTROL_PREFIX):
            raise
        return error_response(KustomerRefusal(error.status, error.reason.replace(" ", "").lower(), error.reason))
