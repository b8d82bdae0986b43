"""Handling of one API request: key, scopes, rate limit, revision, query check, handler, headers, errors."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.api.access_control import OperationAccess
from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCESS, OPTIONS, REQUEST_COUNTS, RESPONSE_COUNTS
from kustomer_klaviyo.sandbox.klaviyo.api.query import requested_extras
from kustomer_klaviyo.sandbox.klaviyo.api.query_table import check_query
from kustomer_klaviyo.sandbox.klaviyo.api.revisions import revision_headers, served_revision
from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import (
    MEDIA_TYPE,
    KlaviyoRefusal,
    error_response,
    invalid,
    new_request_id,
)

MAX_BODY_BYTES = 5_000_000

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def json_body(request: web.Request) -> Any:
    """Return the request's JSON. Raises KlaviyoRefusal (400, 413, 415)."""
    if request.content_type not in (MEDIA_TYPE, "application/json"):
        detail = f"Unsupported media type '{request.content_type}' in request."
        raise KlaviyoRefusal(415, "unsupported_media_type", "Unsupported media type.", detail)
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    if len(raw) > MAX_BODY_BYTES:
        raise _too_large()
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid("The payload provided in the request is not valid JSON.", "/data") from error


def _too_large() -> KlaviyoRefusal:
    return KlaviyoRefusal(413, "payload_too_large", "Payload too large.", "A request may have at most 5 MB.")


def with_access_control(operation: OperationAccess, handler: Handler) -> Handler:
    """Wrap an operation's handler with the checks and headers that every operation has."""

    async def handle(request: web.Request) -> web.Response:
        app = request.app
        options, access = app[OPTIONS], app[ACCESS]
        request_id = new_request_id()
        now = options.clock()
        app[REQUEST_COUNTS][operation.name] += 1
        headers: dict[str, str] = {"X-Klaviyo-Req-Id": request_id}
        if options.latency:
            await asyncio.sleep(options.latency)
        try:
            authorization = request.headers.get("Authorization", "")
            access.check_key(authorization, operation)
            headers["Cid"] = options.site_id
            access.count_request(operation, now)
            headers |= access.limit(operation).headers(now)
            revision = revision_of(request)
            headers |= revision_headers(revision)
            check_query(request.query, operation.name, revision)
            for extra in requested_extras(request):
                access.count_extra(authorization, extra, now)
            response = await handler(request)
        except KlaviyoRefusal as refusal:
            response = error_response(refusal, request_id)
        response.headers.update(headers)
        app[RESPONSE_COUNTS][str(response.status)] += 1
        return response

    return handle


def revision_of(request: web.Request) -> str:
    """Return the revision that serves a request. Raises KlaviyoRefusal."""
    options = request.app[OPTIONS]
    return served_revision(request.headers, oldest=options.oldest_revision, falls_forward=options.falls_forward)


@web.middleware
async def error_middleware(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Convert the router's errors, 404 and 405, into Klaviyo's error format."""
    try:
        return await handler(request)
    except web.HTTPNotFound:
        refusal = KlaviyoRefusal(404, "not_found", "Not found.", f"No such path: {request.path}")
    except web.HTTPMethodNotAllowed as error:
        detail = f"Method '{error.method}' not allowed."
        refusal = KlaviyoRefusal(
            405,
            "method_not_allowed",
            "Method not allowed.",
            detail,
            headers={"Allow": ", ".join(sorted(error.allowed_methods))},
        )
    return error_response(refusal, new_request_id())
