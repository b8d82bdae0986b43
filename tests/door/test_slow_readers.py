"""A client that asks and never reads: its connection ends, so that nobody holds all that the service may open."""

import asyncio
import select
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from kustomer_klaviyo.web.http_protocol import HttpProtocol
from patience import PATIENCE_SECONDS

ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


class Impatient(HttpProtocol):
    """The protocol with a shorter time, so that tests need not wait for the real one."""

    answer_seconds = 0.3


async def large(_scope: Any, _receive: Any, send: Any) -> None:
    """Answer as the largest of our files is answered."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"50000")]})
    await send({"type": "http.response.body", "body": b"x" * 50_000})


@asynccontextmanager
async def served(protocol: type[HttpProtocol]) -> AsyncIterator[int]:
    """Serve large answers by a protocol."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        server = uvicorn.Server(uvicorn.Config(large, log_config=None, http=protocol, ws="none", lifespan="off"))
        task = asyncio.create_task(server.serve(sockets=[place]))
        # The place listens already: whoever comes before the server waits there.
        yield place.getsockname()[1]
        server.should_exit = True
        await task


def ask(port: int, requests: bytes) -> socket.socket:
    """Send requests over a connection that takes next to nothing in."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
    client.connect(("127.0.0.1", port))
    client.sendall(requests)
    return client


def is_given_up(client: socket.socket) -> bool:
    """Wait until the other side gave the connection up, without reading from it."""
    watch = select.poll()
    watch.register(client, 0)
    return bool(watch.poll(PATIENCE_SECONDS * 1000))


@pytest.mark.parametrize("last", [b"", LAST])
async def test_a_client_that_does_not_read_its_answers_is_given_up(last: bytes) -> None:
    async with served(Impatient) as port:
        client = await asyncio.to_thread(ask, port, ASK * 400 + last)
        assert await asyncio.to_thread(is_given_up, client)
        client.close()


async def test_a_client_that_reads_in_the_end_gets_every_answer() -> None:
    async with served(HttpProtocol) as port:
        client = await asyncio.to_thread(ask, port, ASK * 200 + LAST)
        read = await asyncio.to_thread(lambda: b"".join(iter(lambda: client.recv(65536), b"")))
        assert read.count(b"HTTP/1.1 200 OK") == 201
        client.close()
