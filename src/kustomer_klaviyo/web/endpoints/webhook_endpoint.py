"""The webhook endpoint: a plain ASGI application, because this is the path with the highest load.

Requests below ``STREAMED_PATH`` reach it without the framework, which routes the other spellings of the address.
"""

from collections.abc import AsyncIterator
from functools import cache
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from kustomer_klaviyo.intake.receiver import (
    MAX_BODY_BYTES,
    MAX_STREAM_BYTES,
    TOO_LARGE,
    UNAVAILABLE,
    Intake,
    WebhookResponse,
)
from kustomer_klaviyo.kustomer.signature import HEADER
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS
from kustomer_klaviyo.web.error_responses import ErrorReporter
from kustomer_klaviyo.web.middleware import ResponseSender, new_request_id
from kustomer_klaviyo.web.request_limits import STREAMED_PATH
from kustomer_klaviyo.web.response_headers import RawHeaders, with_default_headers

MOUNT_PATH = STREAMED_PATH.rstrip("/")
SIGNATURE_HEADER = HEADER.encode()
METHOD_NOT_ALLOWED = WebhookResponse(405, "send webhooks with POST")
BODY_TRUNCATED = WebhookResponse(400, "the request ended before its body did")


class WebhookEndpoint:
    """Answers ``POST /webhooks/kustomer/{connection}``."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request inside the framework, which adds the default headers."""
        await send_response(send, await self.receive(scope, receive))

    async def receive(self, scope: Scope, receive: Receive) -> WebhookResponse:
        """Read one request and return the response."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            return METHOD_NOT_ALLOWED
        length, signature = _read_headers(scope)
        if length > MAX_STREAM_BYTES:
            return TOO_LARGE
        connection_id = scope["path"].removeprefix(MOUNT_PATH).strip("/").rsplit("/", 1)[-1]
        message: Any = await receive()
        if _is_whole_body(message):
            return await self._intake.receive(connection_id, signature, message["body"])
        return await self._receive_chunks(connection_id, signature, _body_chunks(message, receive))

    async def _receive_chunks(
        self, connection_id: str, signature: str, chunks: AsyncIterator[bytes]
    ) -> WebhookResponse:
        received, size = list[bytes](), 0
        try:
            async for chunk in chunks:
                received.append(chunk)
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    return await self._receive_oversized(connection_id, signature, b"".join(received), chunks)
        except _BodyTruncatedError:
            return BODY_TRUNCATED
        return await self._intake.receive(connection_id, signature, b"".join(received))

    async def _receive_oversized(
        self, connection_id: str, signature: str, beginning: bytes, chunks: AsyncIterator[bytes]
    ) -> WebhookResponse:
        """Stream a body that is too large to hold in memory. Its signature can be verified only at its end."""
        body = await self._intake.begin_oversized(connection_id)
        body.update(beginning)
        async for chunk in chunks:
            body.update(chunk)
            if body.size > MAX_STREAM_BYTES:
                return TOO_LARGE
        return await self._intake.receive_oversized(connection_id, signature, body)


class WebhookShortcut:
    """Takes webhooks to their endpoint without the framework, and all other requests to the application."""

    def __init__(self, endpoint: WebhookEndpoint, app: ASGIApp, reporter: ErrorReporter) -> None:
        self._endpoint = endpoint
        self._app = app
        self._reporter = reporter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP or not scope["path"].startswith(STREAMED_PATH):
            await self._app(scope, receive, send)
            return
        try:
            response = await self._endpoint.receive(scope, receive)
        except UNAVAILABLE_ERRORS:
            response = UNAVAILABLE
        except Exception as error:  # noqa: BLE001 - the last resort: every error is reported and answered
            scope["state"] = {**scope.get("state", {}), "request_id": new_request_id()}
            scope["path_template"] = MOUNT_PATH
            self._reporter.report(scope, error)
            await ResponseSender(scope, send).send_error(500)
            return
        headers = [*_default_headers(response), (b"x-request-id", new_request_id().encode())]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send(_body_message(response))


class _BodyTruncatedError(Exception):
    """The client disconnected before the end of the body."""


def _read_headers(scope: HTTPScope) -> tuple[int, str]:
    """Return the stated length of the body, and the signature."""
    length, signature = 0, ""
    for name, value in scope["headers"]:
        if name == SIGNATURE_HEADER:
            signature = value.decode("latin-1")
        elif name == b"content-length":
            length = int(value[:20]) if value.isdigit() else 0
    return length, signature


def _is_whole_body(message: Any) -> bool:
    """Return whether the first message holds the whole body, and no more than may be stored."""
    return (
        message["type"] == "http.request"
        and not message.get("more_body", False)
        and len(message["body"]) <= MAX_BODY_BYTES
    )


async def _body_chunks(message: Any, receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, whatever its Content-Length. Raises _BodyTruncatedError."""
    while True:
        if message["type"] != "http.request":
            raise _BodyTruncatedError
        yield message["body"]
        if not message.get("more_body", False):
            return
        message = await receive()


async def send_response(send: Send, response: WebhookResponse) -> None:
    """Send a response of the intake, without the default headers."""
    await send({"type": "http.response.start", "status": response.status, "headers": _headers(response)})
    await send(_body_message(response))


def _headers(response: WebhookResponse) -> RawHeaders:
    length = str(len(response.text.encode())).encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", length)]
    if response.retry_after is not None:
        headers.append((b"retry-after", str(response.retry_after).encode()))
    return headers


@cache  # there are few responses
def _default_headers(response: WebhookResponse) -> RawHeaders:
    """Return the headers of a response with all default ones, but without a request id."""
    return with_default_headers(_headers(response), "")[:-1]


@cache
def _body_message(response: WebhookResponse) -> Message:
    return {"type": "http.response.body", "body": response.text.encode(), "more_body": False}
