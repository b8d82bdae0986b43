"""Misbehaviour on order: what a vendor does on a bad day, played by a simulated vendor.

A middleware for both simulated vendors and the control routes to steer it. Knows neither vendor.
"""

import asyncio
import base64
import random
import time
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ThrottleAnswer = Callable[[float | None], web.Response]
"""Makes the vendor's own 429 from the seconds for ``Retry-After`` (None: the header is left out)."""

CONTROL_PREFIX = "/sandbox"
TIMEOUT_SECONDS = 3600.0
CHALLENGE_PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One kind of misbehaviour and the requests that meet it.

    ``kind``: ``status`` (answers ``status``), ``throttle`` (429), ``html_403`` (a bot-challenge page),
    ``drop`` (closes the connection), ``timeout`` (never answers), ``slow`` (waits ``delay`` seconds, then works),
    ``answer`` (``status`` with ``headers`` and ``body``, or with the bytes of ``base64``).
    ``after``: the request is handled first, so that only its answer is lost.
    ``times`` and ``seconds`` bound the fault; without them it lasts until it is cleared.
    """

    kind: Literal["status", "throttle", "html_403", "drop", "timeout", "slow", "answer"]
    path: str = "/"
    method: str | None = None
    status: int = 503
    delay: float = 1.0
    retry_after: float | None = None
    probability: float = 1.0
    times: int | None = None
    seconds: float | None = None
    after: bool = False
    body: str = ""
    base64: str | None = None
    headers: dict[str, str] = {}


class _Armed(msgspec.Struct):
    fault: Fault
    until: float | None
    left: int | None
    met: int = 0


class Faults:
    """The faults now armed, and how often each was met."""

    def __init__(self, throttle_answer: ThrottleAnswer, *, seed: int = 0) -> None:
        self._throttle_answer = throttle_answer
        self._chance = random.Random(seed)
        self._armed: list[_Armed] = []

    def arm(self, fault: Fault) -> None:
        """Let requests meet the fault from now on."""
        until = None if fault.seconds is None else time.monotonic() + fault.seconds
        self._armed.append(_Armed(fault, until, fault.times))

    def clear(self) -> None:
        """Behave again."""
        self._armed.clear()

    def install(self, app: web.Application) -> None:
        """Put the misbehaviour in front of the application and its control routes into it."""
        app.middlewares.append(self._middleware())
        app.router.add_post(f"{CONTROL_PREFIX}/faults", self._arm_route)
        app.router.add_get(f"{CONTROL_PREFIX}/faults", self._list_route)
        app.router.add_delete(f"{CONTROL_PREFIX}/faults", self._clear_route)

    async def _arm_route(self, request: web.Request) -> web.Response:
        try:
            fault = msgspec.json.decode(await request.read(), type=Fault)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        self.arm(fault)
        return web.json_response({"armed": msgspec.to_builtins(fault)}, status=201)

    async def _list_route(self, request: web.Request) -> web.Response:
        del request
        return web.json_response([{"fault": msgspec.to_builtins(a.fault), "met": a.met} for a in self._armed])

    async def _clear_route(self, request: web.Request) -> web.Response:
        del request
        self.clear()
        return web.Response(status=204)

    def _meet(self, request: web.Request) -> Fault | None:
        now = time.monotonic()
        for armed in self._armed:
            fault = armed.fault
            expired = armed.left == 0 or (armed.until is not None and now >= armed.until)
            wanted = request.path.startswith(fault.path) and fault.method in (None, request.method)
            if expired or not wanted or self._chance.random() >= fault.probability:
                continue
            armed.met += 1
            armed.left = None if armed.left is None else armed.left - 1
            return fault
        return None

    def _middleware(self) -> Middleware:
        @web.middleware
        async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
            if request.path.startswith(CONTROL_PREFIX):
                return await handler(request)
            fault = self._meet(request)
            if fault is None:
                return await handler(request)
            if fault.after and fault.kind != "slow":
                await handler(request)
            return await self._play(fault, request, handler)

        return misbehave

    async def _play(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        match fault.kind:
            case "slow":
                await asyncio.sleep(fault.delay)
                return await handler(request)
            case "throttle":
                return self._throttle_answer(fault.retry_after)
            case "html_403":
                return web.Response(
                    status=403, text=CHALLENGE_PAGE, content_type="text/html", headers={"cf-mitigated": "challenge"}
                )
            case "status":
                return web.Response(status=fault.status, text="upstream error", content_type="text/plain")
            case "answer":
                return web.Response(status=fault.status, body=_bytes_of(fault), headers=_headers_of(fault))
            case "timeout":
                await asyncio.sleep(TIMEOUT_SECONDS)
            case "drop":
                pass
        if request.transport is not None:
            request.transport.abort()
        return web.Response(status=500)


def _bytes_of(fault: Fault) -> bytes:
    """Return the body that a fault answers with; a text may hold halves of characters, which are no UTF-8."""
    return fault.body.encode("utf-8", "surrogatepass") if fault.base64 is None else base64.b64decode(fault.base64)


def _headers_of(fault: Fault) -> dict[str, str]:
    return {"Content-Type": "application/json"} | fault.headers
