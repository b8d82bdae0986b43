"""The outermost middleware: request ids, limits, default headers, and the handler of last resort."""

import ipaddress
import os
import re
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPRequestEvent, HTTPScope, Message, Receive, Scope, Send

from kustomer_klaviyo.web.error_responses import ErrorReporter, error_body, page_policy, request_id
from kustomer_klaviyo.web.request_limits import max_body_bytes
from kustomer_klaviyo.web.response_headers import with_default_headers

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[\w.~-]{0,253})(:\d{0,5})?\Z", re.ASCII)
UNKNOWN_CLIENTS = ("", "unknown")
"""What proxies write if they do not know the client's address."""


class RequestRejected(Exception):
    """The request violates a limit, and does not reach the application."""

    def __init__(self, status: int, text: str | None = None) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


def new_request_id() -> str:
    """Return an id that names a request in its response and in the log."""
    return os.urandom(8).hex()


class RequestMiddleware:
    """Applies the limits and default headers to every request, apart from webhooks and invalid HTTP."""

    def __init__(self, app: ASGIApp, reporter: ErrorReporter) -> None:
        self._app = app
        self._reporter = reporter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "request_id": new_request_id()}
        sender = ResponseSender(scope, send)
        try:
            await self._app(scope, await _checked_receive(scope, receive), sender.send)
        except RequestRejected as rejection:
            await sender.send_error(rejection.status, rejection.text)
        except Exception as error:  # noqa: BLE001 - the last resort: every error is reported and answered
            self._reporter.report(scope, error)
            await sender.send_error(500)


class ResponseSender:
    """Sends a response with the default headers."""

    def __init__(self, scope: HTTPScope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._is_started = False

    async def send(self, message: Message) -> None:
        """Send a message of the application."""
        if message["type"] == "http.response.start":
            self._is_started = True
            message["headers"] = with_default_headers(message["headers"], request_id(self._scope))
        await self._send(message)

    async def send_error(self, status: int, text: str | None = None) -> None:
        """Send an error, unless a response was started: then the server closes the connection."""
        if self._is_started:
            return
        content_type, body = error_body(self._scope, status, text)
        fields = {"content-type": content_type, "content-length": str(len(body)), **page_policy(content_type)}
        headers = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


async def _checked_receive(scope: HTTPScope, receive: Receive) -> Receive:
    """Check the request and return the callable from which the application reads its body. Raises RequestRejected."""
    _check_headers(scope)
    body = await _read_body(scope, receive)
    messages: list[HTTPReceiveMessage] = [HTTPRequestEvent(type="http.request", body=body, more_body=False)]

    async def receive_checked() -> Any:
        return messages.pop() if messages else await receive()

    return receive_checked


def _check_headers(scope: HTTPScope) -> None:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1 or not all(map(HOST.match, hosts)):
        raise RequestRejected(400, "The Host header is invalid.")
    if not scope["path"].isprintable():
        raise RequestRejected(400, "The address contains invalid characters.")
    client = scope["client"]
    if client is not None and client[0] not in UNKNOWN_CLIENTS and not _is_address(client[0]):
        raise RequestRejected(400, "The X-Forwarded-For header is invalid.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def _read_body(scope: HTTPScope, receive: Receive) -> bytes:
    """Return the whole body. Raises RequestRejected if it is too large, whatever its Content-Length."""
    limit = max_body_bytes(scope["path"])
    too_large = RequestRejected(413, f"The request is too large: this address accepts at most {limit} bytes.")
    content_length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(content_length[:20] or b"0") > limit:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise RequestRejected(400, "The request ended before its body did.")
        body += message["body"]
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)
