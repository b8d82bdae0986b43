"""Misbehaviour on order: what a vendor does on a bad day, played by a simulated vendor.

A middleware for both simulated vendors and the control routes to steer it. Knows neither vendor.
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

from kustomer_klaviyo.sandbox.malform import KINDS, malformed

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
ThrottleAnswer = Callable[[float | None], web.Response]
"""Makes the vendor's own 429 from the seconds that it names (None: ``Retry-After`` is left out)."""

CONTROL_PREFIX = "/sandbox"
TIMEOUT_SECONDS = 3600.0
PAGE = "<!DOCTYPE html><html><head><title>Error</title></head><body><center>nginx</center></body></html>"
CHALLENGE_PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One kind of misbehaviour and the requests that meet it.

    ``kind``: ``status`` (answers ``status``), ``answer`` (any ``status``, ``headers`` and body: ``body``, ``json``,
    or bytes in ``base64``), ``page`` (a web page with ``status``), ``throttle`` (429; ``retry_after`` in seconds, or
    any text), ``html_403`` (a bot-challenge page), ``drop`` (closes the connection), ``cut`` (works, but closes it
    after half of the answer), ``malform`` (works, but the answer's body is spoilt in the way of ``malform``),
    ``timeout`` (never answers), ``slow`` (waits ``delay`` seconds, then works).
    ``path``: where the paths of the requests begin; ``exact``: that path and no other; ``containing``: only requests
    with this text in their body.
    ``after``: the request is handled first, so that only its answer is lost.
    ``times`` and ``seconds`` bound the fault; without them it lasts until it is cleared.
    """

    kind: Literal["status", "answer", "page", "throttle", "html_403", "drop", "cut", "malform", "timeout", "slow"]
    path: str = "/"
    exact: bool = False
    method: str | None = None
    containing: str = ""
    status: int = 503
    headers: dict[str, str] = {}
    json: Any = None
    body: str = ""
    malform: str = "lone_surrogate"
    base64: str | None = None
    delay: float = 1.0
    retry_after: float | str | None = None
    probability: float = 1.0
    times: int | None = None
    seconds: float | None = None
    after: bool = False


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
        if fault.malform not in KINDS:
            return web.json_response({"error": f"malform must be one of {', '.join(KINDS)}"}, status=400)
        self.arm(fault)
        return web.json_response({"armed": msgspec.to_builtins(fault)}, status=201)

    async def _list_route(self, request: web.Request) -> web.Response:
        del request
        return web.json_response([{"fault": msgspec.to_builtins(a.fault), "met": a.met} for a in self._armed])

    async def _clear_route(self, request: web.Request) -> web.Response:
        del request
        self.clear()
        return web.Response(status=204)

    def _meet(self, request: web.Request, body: bytes) -> Fault | None:
        now = time.monotonic()
        for armed in self._armed:
            fault = armed.fault
            expired = armed.left == 0 or (armed.until is not None and now >= armed.until)
            is_there = request.path == fault.path if fault.exact else request.path.startswith(fault.path)
            wanted = is_there and fault.method in (None, request.method) and fault.containing.encode() in body
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
            is_looked_into = any(armed.fault.containing for armed in self._armed)
            fault = self._meet(request, await request.read() if is_looked_into else b"")
            if fault is None:
                return await handler(request)
            if fault.after and fault.kind != "slow":
                await handler(request)
            return await self._play(fault, request, handler)

        return misbehave

    async def _play(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
        match fault.kind:
            case "slow" | "cut" | "malform":
                return await _worked(fault, request, handler)
            case "throttle":
                return self._throttled(fault.retry_after)
            case "answer":
                return _answer(fault)
            case "page":
                return web.Response(status=fault.status, text=PAGE, content_type="text/html", headers=fault.headers)
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
        return _closed(request)

    def _throttled(self, wish: float | str | None) -> web.Response:
        """Answer 429 in the vendor's form; a wish that is text stands in the header as it is."""
        if not isinstance(wish, str):
            return self._throttle_answer(wish)
        response = self._throttle_answer(None)
        response.headers["Retry-After"] = wish
        return response


def _answer(fault: Fault) -> web.Response:
    """Answer as told, whatever it means."""
    body = fault.body.encode("utf-8", "surrogatepass")
    if fault.json is not None:
        body = msgspec.json.encode(fault.json)
    if fault.base64 is not None:
        body = binascii.a2b_base64(fault.base64)
    headers = {"Content-Type": "application/json"} | fault.headers if body else fault.headers
    return web.Response(status=fault.status, body=body or None, headers=headers)


async def _cut(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    """Send half of an answer that was announced as a whole."""
    body = whole.body if isinstance(whole, web.Response) and isinstance(whole.body, bytes) else b""
    half = web.StreamResponse(status=whole.status, headers={"Content-Length": str(len(body) or 1)})
    half.content_type = whole.content_type
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return half


def _closed(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500)


def _malformed(answered: web.StreamResponse, kind: str) -> web.StreamResponse:
    """Return an answer whose body is spoilt; one without a body stays as it is."""
    if not isinstance(answered, web.Response) or not isinstance(answered.body, bytes) or not answered.body:
        return answered
    headers = {"Content-Type": answered.headers.get("Content-Type", "application/json")}
    return web.Response(status=answered.status, body=malformed(kind, answered.body), headers=headers)


async def _worked(fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse:
    """Do the work, and spoil how it is answered."""
    if fault.kind == "slow":
        await asyncio.sleep(fault.delay)
    answered = await handler(request)
    if fault.kind == "cut":
        return await _cut(request, answered)
    return _malformed(answered, fault.malform) if fault.kind == "malform" else answered
