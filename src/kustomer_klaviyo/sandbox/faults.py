"""Fault injection for the simulated vendors: a middleware, and the control routes that configure it.

Independent of both vendors.
"""

import asyncio
import binascii
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from kustomer_klaviyo.sandbox.corruptions import CORRUPTIONS, corrupt

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ThrottleResponse = Callable[[float | None], web.Response]
"""Makes the vendor's own 429 response; the argument is the seconds in ``Retry-After``, None omits the header."""

CONTROL_PREFIX = "/sandbox"
TIMEOUT_SECONDS = 3600.0
ERROR_PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body><center>nginx</center></body></html>"
CHALLENGE_PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One kind of fault, and the requests that it applies to.

    ``kind``: ``status`` (responds with ``status``), ``response`` (any ``status``, ``headers`` and body: ``body``,
    ``json``, or bytes in ``base64``), ``page`` (a web page with ``status``), ``throttle`` (429; ``retry_after`` in
    seconds, or any text), ``html_403`` (a bot-challenge page), ``drop`` (closes the connection), ``cut`` (handles the
    request, but closes the connection after half of the response), ``corrupt`` (handles the request, but applies
    ``corruption`` to the response's body), ``timeout`` (never responds), ``slow`` (waits ``delay`` seconds, then
    handles the request).
    ``path``: the prefix of the requests' paths; ``exact``: only this path; ``containing``: only requests with this
    text in their body.
    ``after``: the request is handled first, and only its response is lost.
    ``times`` and ``seconds`` limit the fault; without them it lasts until it is cleared.
    """

    kind: Literal["status", "response", "page", "throttle", "html_403", "drop", "cut", "corrupt", "timeout", "slow"]
    path: str = "/"
    exact: bool = False
    method: str | None = None
    containing: str = ""
    status: int = 503
    headers: dict[str, str] = {}
    json: Any = None
    body: str = ""
    corruption: str = "lone_surrogate"
    base64: str | None = None
    delay: float = 1.0
    retry_after: float | str | None = None
    probability: float = 1.0
    times: int | None = None
    seconds: float | None = None
    after: bool = False


class _ActiveFault(msgspec.Struct):
    fault: Fault
    expires_at: float | None
    remaining: int | None
    hits: int = 0


class Faults:
    """The active faults, with the number of requests that each was applied to."""

    def __init__(self, throttle_response: ThrottleResponse, *, seed: int = 0) -> None:
        self._throttle_response = throttle_response
        self._rng = random.Random(seed)
        self._active: list[_ActiveFault] = []

    def add(self, fault: Fault) -> None:
        """Activate a fault."""
        expires_at = None if fault.seconds is None else time.monotonic() + fault.seconds
        self._active.append(_ActiveFault(fault, expires_at, fault.times))

    def clear(self) -> None:
        """Remove every fault."""
        self._active.clear()

    def install(self, app: web.Application) -> None:
        """Add the middleware and the control routes to the application."""
        app.middlewares.append(self._middleware())
        app.router.add_post(f"{CONTROL_PREFIX}/faults", self._post_fault)
        app.router.add_get(f"{CONTROL_PREFIX}/faults", self._list_faults)
        app.router.add_delete(f"{CONTROL_PREFIX}/faults", self._delete_faults)

    async def _post_fault(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        if fault.corruption not in CORRUPTIONS:
            return web.json_response({"error": f"corruption must be one of {', '.join(CORRUPTIONS)}"}, status=400)
        self.add(fault)
        return web.json_response({"fault": msgspec.to_builtins(fault)}, status=201)

    async def _list_faults(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(
            [{"fault": msgspec.to_builtins(active.fault), "hits": active.hits} for active in self._active]
        )

    async def _delete_faults(self, request: web.Request) -> web.Response:
        del request
        self.clear()
        return web.Response(status=204)

    def _match(self, request: web.Request, body: bytes) -> Fault | None:
        now = time.monotonic()
        for active in self._active:
            fault = active.fault
            is_expired = active.remaining == 0 or (active.expires_at is not None and now >= active.expires_at)
            is_path = request.path == fault.path if fault.exact else request.path.startswith(fault.path)
            matches = is_path and fault.method in (None, request.method) and fault.containing.encode() in body
            if is_expired or not matches or self._rng.random() >= fault.probability:
                continue
            active.hits += 1
            active.remaining = None if active.remaining is None else active.remaining - 1
            return fault
        return None

    def _middleware(self) -> Middleware:
        @web.middleware
        async def inject_fault(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(CONTROL_PREFIX):
                return await handler(request)
            needs_body = any(active.fault.containing for active in self._active)
            fault = self._match(request, await request.read() if needs_body else b"")
            if fault is None:
                return await handler(request)
            if fault.after and fault.kind != "slow":
                await handler(request)
            return await self._apply(fault, request, handler)

        return inject_fault

    async def _apply(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        match fault.kind:
            case "slow" | "cut" | "corrupt":
                return await _handle_with_fault(fault, request, handler)
            case "throttle":
                return self._throttled(fault.retry_after)
            case "response":
                return _configured_response(fault)
            case "page":
                return web.Response(
                    status=fault.status, text=ERROR_PAGE, content_type="text/html", headers=fault.headers
                )
            case "html_403":
                return web.Response(
                    status=403, text=CHALLENGE_PAGE, content_type="text/html", headers={"cf-mitigated": "challenge"}
                )
            case "status":
                return web.Response(status=fault.status, text="upstream error", content_type="text/plain")
            case "timeout":
                await asyncio.sleep(TIMEOUT_SECONDS)
            case "drop":
                pass
        return _abort_connection(request)

    def _throttled(self, retry_after: float | str | None) -> web.Response:
        """Respond with the vendor's 429; a text is put into the header unchanged."""
        if not isinstance(retry_after, str):
            return self._throttle_response(retry_after)
        response = self._throttle_response(None)
        response.headers["Retry-After"] = retry_after
        return response


def _configured_response(fault: Fault) -> web.Response:
    body = fault.body.encode("utf-8", "surrogatepass")
    if fault.json is not None:
        body = msgspec.json.encode(fault.json)
    if fault.base64 is not None:
        body = binascii.a2b_base64(fault.base64)
    headers = {"Content-Type": "application/json"} | fault.headers if body else fault.headers
    return web.Response(status=fault.status, body=body or None, headers=headers)


async def _handle_with_fault(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Handle the request, but delay, cut or corrupt the response."""
    if fault.kind == "slow":
        await asyncio.sleep(fault.delay)
    response = await handler(request)
    if fault.kind == "cut":
        return await _cut(request, response)
    return _corrupted(response, fault.corruption) if fault.kind == "corrupt" else response


async def _cut(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """Send half of a response whose ``Content-Length`` announces all of it."""
    body = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
    half = web.StreamResponse(status=response.status, headers={"Content-Length": str(len(body) or 1)})
    half.content_type = response.content_type
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def _corrupted(response: web.StreamResponse, corruption: str) -> web.StreamResponse:
    """Return the response with its body corrupted; a response without a body is returned unchanged."""
    if not isinstance(response, web.Response) or not isinstance(response.body, bytes) or not response.body:
        return response
    headers = {"Content-Type": response.headers.get("Content-Type", "application/json")}
    return web.Response(status=response.status, body=corrupt(corruption, response.body), headers=headers)


def _abort_connection(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)
