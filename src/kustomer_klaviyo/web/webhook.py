"""The webhook endpoint as a plain ASGI application: nothing stands between the socket and the door."""

from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from kustomer_klaviyo.flow.intake import LARGEST_BODY, TOO_LARGE, Answer, Intake
from kustomer_klaviyo.kustomer.signature import HEADER

SIGNATURE = HEADER.encode()
NOT_POST = Answer(405, "send webhooks with POST")


class WebhookEndpoint:
    """Answers ``POST /webhooks/kustomer/{connection}``."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await answer_with(send, await self._answer(scope, receive))

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        if scope["type"] != ScopeType.HTTP or scope["method"] != "POST":
            return NOT_POST
        headers = dict(scope["headers"])
        if _announced(headers) > LARGEST_BODY:
            return TOO_LARGE
        body = await _read(receive)
        if body is None:
            return TOO_LARGE
        connection_id = scope["path"].strip("/").rsplit("/", 1)[-1]
        return await self._intake.receive(connection_id, headers.get(SIGNATURE, b"").decode("latin-1"), body)


def _announced(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() else 0


async def _read(receive: Receive) -> bytes | None:
    """Return the body; None once it is larger than we take, whatever length was announced."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return b"".join(parts)
        parts.append(message["body"])
        size += len(message["body"])
        if size > LARGEST_BODY:
            return None
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def answer_with(send: Send, answer: Answer) -> None:
    """Send an answer."""
    body = answer.text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if answer.retry_after is not None:
        headers.append((b"retry-after", str(answer.retry_after).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
