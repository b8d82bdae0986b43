"""Each fault of the proxy, seen from a client of an echo server."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from chaos.proxy import Behaviour, FaultProxy, Mode, run_proxy
from support.timeouts import wait_until

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(1000):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        pass
    finally:
        writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[FaultProxy]:
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with run_proxy(partial(asyncio.open_connection, "127.0.0.1", port)) as ready:
        yield ready
    server.close()


@pytest.fixture
async def connect(proxy: FaultProxy) -> AsyncIterator[Connect]:
    writers = []

    async def open_connection() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        return reader, writer

    yield open_connection
    for writer in writers:
        writer.transport.abort()


async def test_a_reset_ends_existing_connections_and_new_ones(proxy: FaultProxy, connect: Connect) -> None:
    reader, _ = await connect()
    proxy.set(Behaviour(Mode.RESET))
    with pytest.raises(ConnectionResetError):
        await reader.read(10)
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await connect()
    proxy.set(Behaviour())
    await connect()


async def test_latency_delays_but_loses_nothing(proxy: FaultProxy, connect: Connect) -> None:
    reader, writer = await connect()
    proxy.set(Behaviour(Mode.LATENCY, seconds=0.05))
    writer.write(b"slow")
    assert await reader.readexactly(4) == b"slow"


async def test_a_half_open_connection_is_silent_and_then_reset(proxy: FaultProxy, connect: Connect) -> None:
    reader, writer = await connect()
    proxy.set(Behaviour(Mode.HALF_OPEN))
    writer.write(b"unheard")
    answer = asyncio.create_task(reader.read(10))
    await asyncio.wait([answer], timeout=0.1)
    assert not answer.done()
    proxy.set(Behaviour())
    with pytest.raises(ConnectionResetError):
        await answer


async def test_limited_bytes_end_a_connection_midway(proxy: FaultProxy, connect: Connect) -> None:
    reader, writer = await connect()
    proxy.set(Behaviour(Mode.LIMITED_BYTES, max_bytes=3))
    writer.write(b"midway")
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(6)
    assert proxy.resets == 1


async def test_a_slow_close_arrives_later(proxy: FaultProxy, connect: Connect) -> None:
    reader, writer = await connect()
    proxy.set(Behaviour(Mode.SLOW_CLOSE, seconds=0.05))
    writer.write_eof()
    assert await reader.read() == b""


async def test_a_target_that_does_not_listen_resets_the_client(proxy: FaultProxy, connect: Connect) -> None:
    async def refuse() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        raise ConnectionRefusedError

    proxy.open_target = refuse

    async def is_reset() -> bool:
        try:
            await connect()
        except (ConnectionResetError, asyncio.IncompleteReadError):
            return True
        return False

    await wait_until(is_reset, "the connection is reset")
