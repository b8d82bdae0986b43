"""The webhook endpoint: a plain ASGI application, because this is the path with the highest load."""

from collections.abc import AsyncIterator

from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from kustomer_klaviyo.intake.receiver import MAX_BODY_BYTES, MAX_STREAM_BYTES, TOO_LARGE, Intake, WebhookResponse
from kustomer_klaviyo.kustomer.signature import HEADER

SIGNATURE_HEADER = HEADER.encode()
METHOD_NOT_ALLOWED = WebhookResponse(405, "send webhooks with POST")
BODY_TRUNCATED = WebhookResponse(400, "the request ended before its body did")


class WebhookEndpoint:
    """Answers ``POST /webhooks/kustomer/{connection}``."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await send_response(send, await self._receive(scope, receive))

    async def _receive(self, scope: Scope, receive: Receive) -> WebhookResponse:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            return METHOD_NOT_ALLOWED
        headers = dict(scope["headers"])
        if _content_length(headers) > MAX_STREAM_BYTES:
            return TOO_LARGE
        connection_id = scope["path"].strip("/").rsplit("/", 1)[-1]
        signature = headers.get(SIGNATURE_HEADER, b"").decode("latin-1")
        chunks, received, size = _body_chunks(receive), list[bytes](), 0
        try:
            async for chunk in chunks:
                received.append(chunk)
                size += len(chunk)
                if size > MAX_BODY_BYTES:
                    return await self._receive_oversized(connection_id, signature, b"".join(received), chunks)
        except _BodyTruncatedError:
            return BODY_TRUNCATED
        body = received[0] if len(received) == 1 else b"".join(received)
        return await self._intake.receive(connection_id, signature, body)

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


class _BodyTruncatedError(Exception):
    """The client disconnected before the end of the body."""


def _content_length(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length[:20]) if length.isdigit() else 0


async def _body_chunks(receive: Receive) -> AsyncIterator[bytes]:
    """Yield the body as it arrives, whatever its Content-Length. Raises _BodyTruncatedError."""
    has_more = True
    while has_more:
        message = await receive()
        if message["type"] != "http.request":
            raise _BodyTruncatedError
        yield message["body"]
        has_more = message.get("more_body", False)


async def send_response(send: Send, response: WebhookResponse) -> None:
    """Send a response of the intake."""
    body = response.text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if response.retry_after is not None:
        headers.append((b"retry-after", str(response.retry_after).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
