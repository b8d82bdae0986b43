"""The webhook endpoint as a plain ASGI application: nothing stands between the socket and the door."""

from collections.abc import AsyncIterator

from litestar.enums import ScopeType
from litestar.types import Receive, Scope, Send

from kustomer_klaviyo.intake.receiver import LARGEST_BODY, LARGEST_STREAM, TOO_LARGE, Answer, Intake
from kustomer_klaviyo.kustomer.signature import HEADER

SIGNATURE = HEADER.encode()
NOT_POST = Answer(405, "send webhooks with POST")
CUT_SHORT = Answer(400, "the body ended too early")


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
        if _announced(headers) > LARGEST_STREAM:
            return TOO_LARGE
        connection_id = scope["path"].strip("/").rsplit("/", 1)[-1]
        signature = headers.get(SIGNATURE, b"").decode("latin-1")
        pieces, held, size = _pieces(receive), list[bytes](), 0
        try:
            async for piece in pieces:
                held.append(piece)
                size += len(piece)
                if size > LARGEST_BODY:
                    return await self._measure(connection_id, signature, b"".join(held), pieces)
        except _CutShortError:
            return CUT_SHORT
        return await self._intake.receive(connection_id, signature, held[0] if len(held) == 1 else b"".join(held))

    async def _measure(self, connection_id: str, signature: str, begun: bytes, pieces: AsyncIterator[bytes]) -> Answer:
        """Let a body stream by that is too large to hold: whether it was signed is known at its end only."""
        body = await self._intake.measure(connection_id)
        body.take(begun)
        async for piece in pieces:
            body.take(piece)
            if body.size > LARGEST_STREAM:
                return TOO_LARGE
        return await self._intake.receive_oversized(connection_id, signature, body)


class _CutShortError(Exception):
    """The sender left before the end of the body."""


def _announced(headers: dict[bytes, bytes]) -> int:
    length = headers.get(b"content-length", b"0")
    return int(length[:20]) if length.isdigit() else 0


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body as it comes, whatever length was announced. Raises _CutShortError."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise _CutShortError
        yield message["body"]
        more = message.get("more_body", False)


async def answer_with(send: Send, answer: Answer) -> None:
    """Send an answer."""
    body = answer.text.encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if answer.retry_after is not None:
        headers.append((b"retry-after", str(answer.retry_after).encode()))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
