"""One request and its answer: what surrounds every operation of the simulated API."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.faults import Faults
from kustomer_klaviyo.sandbox.klaviyo.api.access import Access, Operation
from kustomer_klaviyo.sandbox.klaviyo.api.query import extras
from kustomer_klaviyo.sandbox.klaviyo.api.query_table import check_query
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import OLDEST, life_headers, served_revision
from kustomer_klaviyo.sandbox.klaviyo.envelope import MEDIA_TYPE, Refusal, invalid, new_request_id, refuse
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account, TextMetrics
from kustomer_klaviyo.sandbox.klaviyo.model.jobs import Jobs

LARGEST_BODY = 5_000_000
SCOPES = frozenset(
    f"{name}:{level}"
    for name in (
        "accounts", "campaigns", "catalogs", "conversations", "coupon-codes", "coupons", "custom-objects",
        "data-privacy", "events", "flows", "forms", "images", "lists", "metrics", "profiles", "push-tokens",
        "reviews", "segments",
        "subscriptions", "tags", "templates", "tracking-settings", "web-feeds", "webhooks",
    )
    for level in ("read", "write")
)  # fmt: skip
DEFAULT_KEY = "pk_sandbox_0123456789abcdef0123456789abcdef"


@dataclass(frozen=True, slots=True, kw_only=True)
class KlaviyoOptions:
    """What the simulated account is like."""

    keys: Mapping[str, frozenset[str]] = field(default_factory=lambda: {DEFAULT_KEY: SCOPES})
    """The private keys and their scopes."""
    site_id: str = "SbxKlv"
    organization_name: str = "Sandbox Shop"
    timezone: str = "US/Eastern"
    rate_limits: bool = True
    rate_scale: float = 1.0
    """Multiplies what each window allows; the windows stay."""
    latency: float = 0.0
    """Seconds each request takes besides its work."""
    job_seconds: float = 1.0
    """Seconds before an import, a merge or a deletion begins after it was asked for."""
    metric_lists: bool = True
    """Whether events can be filtered on several metrics at once: the vendor's own texts disagree."""
    strict_emails: bool = False
    """Whether addresses are refused that the standards allow and few services take: Klaviyo does not say."""
    marketing: bool = False
    """Whether each new profile has a past: consent, lists, messages received, predictions."""
    text_metrics: TextMetrics = "both"
    oldest_revision: str = OLDEST
    """Older revisions are retired."""
    falls_forward: bool = True
    """Whether a request of a retired revision that does not opt out is answered by the oldest; else with 410."""
    clock: Callable[[], float] = time.time


ACCOUNT = web.AppKey("account", Account)
ACCESS = web.AppKey("access", Access)
OPTIONS = web.AppKey("options", KlaviyoOptions)
FAULTS = web.AppKey("faults", Faults)
JOBS = web.AppKey("jobs", Jobs)
TRAFFIC = web.AppKey("traffic", Counter[str])

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def json_body(request: web.Request) -> Any:
    """Return the request's JSON. Raises Refusal (400, 413, 415)."""
    if request.content_type not in (MEDIA_TYPE, "application/json"):
        detail = f"Unsupported media type '{request.content_type}' in request."
        raise Refusal(415, "unsupported_media_type", "Unsupported media type.", detail)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    if len(raw) > LARGEST_BODY:
        raise _too_large()
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid("The payload provided in the request is not valid JSON.", "/data") from error


def _too_large() -> Refusal:
    return Refusal(413, "payload_too_large", "Payload too large.", "A request may have at most 5 MB.")


def operated(operation: Operation, handler: Handler) -> Handler:
    """Put key, scopes, revision, limits and headers around an operation's handler."""

    async def exchange(request: web.Request) -> web.Response:
        app = request.app
        options, access, traffic = app[OPTIONS], app[ACCESS], app[TRAFFIC]
        request_id = new_request_id()
        now = options.clock()
        traffic[operation.name] += 1
        shown: dict[str, str] = {"X-Klaviyo-Req-Id": request_id}
        if options.latency:
            await asyncio.sleep(options.latency)
        try:
            access.admit(request.headers.get("Authorization", ""), operation)
            shown["Cid"] = options.site_id
            access.take(operation, now)
            shown |= access.meter(operation).headers(now)
            revision = revision_of(request)
            shown |= life_headers(revision)
            check_query(request.query, operation.name, revision)
            for extra in extras(request):
                access.take_extra(request.headers.get("Authorization", ""), extra, now)
            response = await handler(request)
        except Refusal as refusal:
            response = refuse(refusal, request_id)
        response.headers.update(shown)
        traffic[f"status {response.status}"] += 1
        return response

    return exchange


def revision_of(request: web.Request) -> str:
    """Return the revision by which a request is answered. Raises Refusal."""
    options = request.app[OPTIONS]
    return served_revision(request.headers, oldest=options.oldest_revision, falls_forward=options.falls_forward)


@web.middleware
async def in_the_vendors_form(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Say in Klaviyo's form what the router refuses: 404 and 405."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        refusal = Refusal(404, "not_found", "Not found.", f"No such path: {request.path}")
    except web.HTTPMethodNotAllowed as error:
        detail = f"Method '{error.method}' not allowed."
        refusal = Refusal(
            405,
            "method_not_allowed",
            "Method not allowed.",
            detail,
            headers={"Allow": ", ".join(sorted(error.allowed_methods))},
        )
    return refuse(refusal, new_request_id())
