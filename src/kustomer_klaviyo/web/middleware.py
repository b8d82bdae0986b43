"""What stands around every route: an id for each request, limits, headers for each answer, and the last resort."""

import ipaddress
import re
import secrets
from typing import Any

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPRequestEvent, HTTPScope, Message, Receive, Scope, Send

from kustomer_klaviyo.web.error_responses import Faults, described, policy_of, request_id
from kustomer_klaviyo.web.request_limits import READ_BY_ITSELF, largest_body
from kustomer_klaviyo.web.response_headers import completed

HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[\w.~-]{0,253})(:\d{0,5})?\Z", re.ASCII)
NAMELESS = ("", "unknown")
"""What proxies write for a client whose address they do not know."""


class Refused(Exception):
    """A request goes no further."""

    def __init__(self, status: int, text: str | None = None) -> None:
        super().__init__(status, text)
        self.status, self.text = status, text


class Edge:
    """Serves every request of an application within the limits. Nothing gets past it but the server's own protocol."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        await self._serve(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        scope["state"] = {**scope.get("state", {}), "request_id": secrets.token_hex(8)}
        answer = _Answer(scope, send)
        try:
            await self._app(scope, await _checked(scope, receive), answer.send)
        except Refused as no:
            await answer.explain(no.status, no.text)
        except Exception as error:  # noqa: BLE001 - the last resort: whatever it is, it is told and answered
            self._faults.tell(scope, error)
            await answer.explain(500)


class _Answer:
    """What is sent back, with the headers of every answer."""

    def __init__(self, scope: HTTPScope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._has_begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            message["headers"] = completed(message["headers"], request_id(self._scope))
        await self._send(message)

    async def explain(self, status: int, text: str | None = None) -> None:
        """Send an error. An answer that is half sent is left so, and the server ends the connection."""
        if self._has_begun:
            return
        kind, body = described(self._scope, status, text)
        said = {"content-type": kind, "content-length": str(len(body)), **policy_of(kind)}
        headers = [(name.lower().encode(), value.encode()) for name, value in said.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body, "more_body": False})


async def _checked(scope: HTTPScope, receive: Receive) -> Receive:
    """Return what the application reads the body from. Raises Refused."""
    if scope["path"].startswith(READ_BY_ITSELF):
        return receive
    _check_head(scope)
    body = await _read(scope, receive)
    parts: list[HTTPReceiveMessage] = [HTTPRequestEvent(type="http.request", body=body, more_body=False)]

    async def receive_read() -> Any:
        return parts.pop() if parts else await receive()

    return receive_read


def _check_head(scope: HTTPScope) -> None:
    hosts = [value for name, value in scope["headers"] if name == b"host"]
    if len(hosts) > 1 or not all(map(HOST.match, hosts)):
        raise Refused(400, "The Host header names no host.")
    if not scope["path"].isprintable():
        raise Refused(400, "The address holds characters that no address of this service has.")
    client = scope["client"]
    if client is not None and client[0] not in NAMELESS and not _is_address(client[0]):
        raise Refused(400, "The X-Forwarded-For header names no address.")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


async def _read(scope: HTTPScope, receive: Receive) -> bytes:
    """Return the whole body, unless it is too large, whatever length was announced."""
    limit = largest_body(scope["path"])
    too_large = Refused(413, f"What was sent is too large: this address takes at most {limit} bytes.")
    announced = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    if int(announced[:20] or b"0") > limit:
        raise too_large
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise Refused(400, "The request ended before its body did.")
        body += message["body"]
        if len(body) > limit:
            raise too_large
        if not message.get("more_body", False):
            return bytes(body)
