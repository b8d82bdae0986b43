"""The floor of receiving webhooks: signature, decoding, and a group commit of the body by one array insert.

A plain ASGI application under the service's own uvicorn settings. ``/noop`` reads the body and does nothing.
"""

import asyncio
import hmac
import os
import sys
from typing import Any

import psycopg
import uvicorn
import uvloop

from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.web.uvicorn_server import server_config
from traffic import TOKEN

MAX_GROUP = 512
RESPONSE_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"8")],
}
RESPONSE_BODY = {"type": "http.response.body", "body": b"received"}
CREATE = "CREATE TABLE IF NOT EXISTS floor (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body bytea NOT NULL)"
INSERT = "INSERT INTO floor (body) SELECT unnest(%b::bytea[])"


class Floor:
    """Stores bodies in group commits: those that arrive while a commit is in flight share the next one."""

    def __init__(self) -> None:
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._has_waiting = asyncio.Event()

    async def commit_forever(self, database_url: str) -> None:
        """Commit what waits, until cancelled."""
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute(CREATE)
            while True:
                await self._has_waiting.wait()
                group, self._waiting = self._waiting[:MAX_GROUP], self._waiting[MAX_GROUP:]
                if not self._waiting:
                    self._has_waiting.clear()
                await connection.execute(INSERT, ([body for body, _ in group],))
                for _, stored in group:
                    stored.set_result(None)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Respond to one request, when its body is durable."""
        body = await _read(receive)
        if scope["path"].startswith("/webhooks/"):
            signature = dict(scope["headers"])[b"x-kustomer-webhook-signature"].decode()
            if not hmac.compare_digest(hmac.digest(TOKEN.encode(), body, "sha256").hex(), signature):
                raise PermissionError
            decode_webhook(body)
            stored = asyncio.get_running_loop().create_future()
            self._waiting.append((body, stored))
            self._has_waiting.set()
            await stored
        await send(RESPONSE_START)
        await send(RESPONSE_BODY)


async def _read(receive: Any) -> bytes:
    message = await receive()
    body: bytes = message["body"]
    while message.get("more_body"):
        message = await receive()
        body += message["body"]
    return body


async def _run(port: int) -> None:
    floor = Floor()
    committing = asyncio.create_task(floor.commit_forever(os.environ["DATABASE_URL"]))
    application: Any = floor
    config = server_config(application, port=port)
    config.lifespan = "off"
    await uvicorn.Server(config).serve()
    committing.cancel()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_run(int(sys.argv[1])))
