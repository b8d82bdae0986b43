"""A client that never reads its responses is disconnected, so that it cannot exhaust the connections."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from kustomer_klaviyo.web.http_protocol import HttpProtocol
from support.timeouts import TIMEOUT_SECONDS

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LAST_REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


class ShortTimeout(HttpProtocol):
    """The protocol with a short timeout, so that tests run fast."""

    response_timeout_seconds = 0.3


async def large_response(_scope: Any, _receive: Any, send: Any) -> None:
    """Send a response as large as the largest static file."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000")]})
    await send({"type": "http.response.body", "body": b"x" * 50_000})


@asynccontextmanager
async def run_server(protocol: type[HttpProtocol]) -> AsyncIterator[int]:
    """Serve large responses with a protocol."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(
            uvicorn.Config(large_response, log_config=None, http=protocol, ws="none", lifespan="off")
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        # The socket listens already: early clients wait in its backlog.
        yield listener.getsockname()[1]
        server.should_exit = True
        await task


def send_requests(port: int, requests: bytes) -> socket.socket:
    """Send requests over a connection with a tiny receive buffer."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.connect(("127.0.0.1", port))
    client.sendall(requests)
    return client


def is_disconnected(client: socket.socket) -> bool:
    """Wait until the server disconnects, without reading."""
    poll = select.poll()
    poll.register(client, 0)
    return bool(poll.poll(TIMEOUT_SECONDS * 1000))


@pytest.mark.parametrize("last_request", [b"", LAST_REQUEST])
async def test_a_client_that_does_not_read_is_disconnected(last_request: bytes) -> None:
    async with run_server(ShortTimeout) as port:
        client = await asyncio.to_thread(send_requests, port, REQUEST * 400 + last_request)
        assert await asyncio.to_thread(is_disconnected, client)
        client.close()


async def test_a_client_that_reads_late_gets_every_response() -> None:
    async with run_server(HttpProtocol) as port:
        client = await asyncio.to_thread(send_requests, port, REQUEST * 200 + LAST_REQUEST)
        read = await asyncio.to_thread(lambda: b"".join(iter(lambda: client.recv(65536), b"")))
        assert read.count(b"HTTP/1.1 200 OK") == 201
        client.close()
