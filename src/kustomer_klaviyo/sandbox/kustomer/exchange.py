"""One request to the simulated API and its answer: keys, limits, envelopes, paging.

Rules: developer.kustomer.com/docs/concepts/rate-limits and developer.kustomer.com/api
"""

import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.actions import Support
from kustomer_klaviyo.sandbox.kustomer.documents import Document
from kustomer_klaviyo.sandbox.kustomer.organisation import Organisation
from kustomer_klaviyo.sandbox.kustomer.webhooks import Dispatcher

DEFAULT_KEY = "sandbox-kustomer-key"
MINUTE = 60
MASK = "********"
SENSITIVE = ("name", "firstName", "lastName", "displayName", "username")


@dataclass(frozen=True, slots=True, kw_only=True)
class KustomerOptions:
    """What the simulated organisation is like, and how its webhooks behave."""

    org_name: str = "sandbox"
    """The subdomain."""
    api_keys: Mapping[str, frozenset[str]] = field(default_factory=lambda: {DEFAULT_KEY: frozenset({"org"})})
    """The API keys and their roles."""
    retry_scale: float = 1.0
    """Multiplies the waits between webhook retries."""
    webhook_timeout: float = 5.0
    duplicate_probability: float = 0.0
    reorder_probability: float = 0.0
    noise: int = 3
    """About how many updates that tell nothing new an action brings."""
    rate_limit: int | None = 1000
    """Requests per minute of the whole organisation; None switches limits off."""
    search_limit: int | None = 100
    disable_after_failures: int = 1
    """Webhook deliveries that use up all retries before the webhook is switched off."""
    seed: int = 0
    masked: bool = False
    """The key may not read sensitive attributes."""
    clock: Callable[[], float] = time.time


ORGANISATION = web.AppKey("organisation", Organisation)
SUPPORT = web.AppKey("support", Support)
DISPATCHER = web.AppKey("dispatcher", Dispatcher)
OPTIONS = web.AppKey("options", KustomerOptions)
TRAFFIC: web.AppKey[Counter[str]] = web.AppKey("traffic", Counter)
CHANCE = web.AppKey("chance", random.Random)

Handler = Callable[[web.Request], Awaitable[web.Response]]


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, title: str, *, parameter: str | None = None, detail: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.error: Document = {"status": status, "code": code, "title": title}
        if parameter is not None:
            self.error["source"] = {"parameter": parameter}
        if detail:
            self.error["detail"] = detail


def not_found(parameter: str) -> Refusal:
    """Make the refusal of something that is not there."""
    return Refusal(404, "notfound", "Not Found", parameter=parameter)


def refuse(refusal: Refusal) -> web.Response:
    """Answer with the error envelope."""
    return answer({"errors": [refusal.error]}, status=refusal.status)


def answer(content: Any, *, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")


async def json_object(request: web.Request) -> Document:
    """Return the request's JSON object. Raises Refusal."""
    try:
        found = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "badjson", "Invalid JSON", detail=str(error)) from error
    if not isinstance(found, dict):
        raise Refusal(400, "badparam", "The body must be an object")
    return found


class Meter:
    """Counts requests in fixed minutes."""

    left = 0
    """What remained of the organisation's limit after the last request."""

    def __init__(self) -> None:
        self._minute = -1
        self._counts: Counter[str] = Counter()

    def take(self, name: str, limit: int, now: float) -> int:
        """Count a request and return what remains; negative beyond the limit."""
        minute = int(now // MINUTE)
        if minute != self._minute:
            self._minute, self._counts = minute, Counter()
        self._counts[name] += 1
        return limit - self._counts[name]


METER = web.AppKey("meter", Meter)


def too_many(now: float) -> web.Response:
    """Answer beyond the limit: when it ends is told in epoch seconds."""
    response = refuse(Refusal(429, "ratelimit", "Rate limit exceeded"))
    response.headers["x-ratelimit-reset"] = str(int(now // MINUTE + 1) * MINUTE)
    return response


def operated(name: str, handler: Handler) -> Handler:
    """Put key and limits around a handler."""

    async def exchange(request: web.Request) -> web.Response:
        request.app[TRAFFIC][name] += 1
        try:
            _admit(request)
            response = _limited(request, name) or await handler(request)
        except Refusal as refusal:
            response = refuse(refusal)
        response.headers["X-Kustomer-Pod"] = "prod1"
        response.headers.update(_limit_headers(request))
        request.app[TRAFFIC][f"status {response.status}"] += 1
        return response

    return exchange


def _admit(request: web.Request) -> None:
    scheme, _, key = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or key not in request.app[OPTIONS].api_keys:
        raise Refusal(401, "unauthorized", "Unauthorized", detail="Invalid or expired token")


def _limited(request: web.Request, name: str) -> web.Response | None:
    options, meter = request.app[OPTIONS], request.app[METER]
    now = options.clock()
    if options.rate_limit is None:
        return None
    if name == "search" and options.search_limit is not None and meter.take("search", options.search_limit, now) < 0:
        return too_many(now)
    meter.left = meter.take("all", options.rate_limit, now)
    return too_many(now) if meter.left < 0 else None


def _limit_headers(request: web.Request) -> dict[str, str]:
    limit = request.app[OPTIONS].rate_limit
    if limit is None:
        return {}
    return {"x-ratelimit-limit": str(limit), "x-ratelimit-remaining": str(max(0, request.app[METER].left))}


def shown(request: web.Request, resource: Document) -> Document:
    """Return a resource as the key may see it."""
    if not request.app[OPTIONS].masked or resource["type"] != "customer":
        return resource
    attributes = dict(resource["attributes"])
    for name in SENSITIVE:
        if attributes.get(name):
            attributes[name] = MASK
    for name, part in (("emails", "email"), ("phones", "phone")):
        attributes[name] = [entry | {part: MASK} for entry in attributes[name]]
    return resource | {"attributes": attributes}


def page(request: web.Request, items: Sequence[Document], *, most: int = 100) -> web.Response:
    """Answer with one page of a list."""
    number, size = _number(request, "page", 1, 100_000), _number(request, "pageSize", min(100, most), most)
    part = items[(number - 1) * size : number * size]
    following = str(request.rel_url.update_query(page=str(number + 1))) if number * size < len(items) else None
    return answer(
        {
            "data": [shown(request, one) for one in part],
            "meta": {"page": number, "pageSize": size, "total": len(items), "totalPages": -(-len(items) // size)},
            "links": {
                "self": str(request.rel_url),
                "first": str(request.rel_url.update_query(page="1")),
                "next": following,
            },
        }
    )


def _number(request: web.Request, name: str, default: int, most: int) -> int:
    text = request.query.get(name, str(default))
    if not text.isdigit() or not 1 <= int(text) <= most:
        raise Refusal(400, "badparam", f"{name} must be a number from 1 to {most}", parameter=name)
    return int(text)
