"""A TCP proxy with faults: latency, resets, half-open connections, slow closes, and connections that end midway."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum

CHUNK_BYTES = 65536
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
OpenTarget = Callable[[], Awaitable[Streams]]


class Mode(StrEnum):
    """What the proxy does with connections."""

    PASS = "pass"
    LATENCY = "latency"
    """Every chunk waits for ``seconds``."""
    RESET = "reset"
    """Existing and new connections are reset."""
    HALF_OPEN = "half_open"
    """Nothing arrives any more, and no end either. The connection is reset when the fault ends."""
    SLOW_CLOSE = "slow_close"
    """The end of a connection arrives ``seconds`` later."""
    LIMITED_BYTES = "limited_bytes"
    """A connection is reset after ``max_bytes`` more bytes."""


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The mode of the proxy, with its numbers."""

    mode: Mode = Mode.PASS
    seconds: float = 0.0
    max_bytes: int = 0


@dataclass(slots=True, eq=False)
class _Link:
    """A client's connection and the connection to the target."""

    writers: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    remaining: int | None = None
    is_half_open: bool = False

    def reset(self) -> None:
        for writer in self.writers:
            _reset(writer)


@dataclass(slots=True)
class FaultProxy:
    """Listens on a port and forwards to a target."""

    open_target: OpenTarget
    port: int = 0
    resets: int = 0
    _behaviour: Behaviour = field(default_factory=Behaviour)
    _links: set[_Link] = field(default_factory=set)

    def set(self, behaviour: Behaviour) -> None:
        """Change the behaviour, for existing connections too."""
        self._behaviour = behaviour
        for link in list(self._links):
            is_over = link.is_half_open and behaviour.mode is not Mode.HALF_OPEN
            if is_over or behaviour.mode is Mode.RESET:
                self._reset(link)
            link.remaining = behaviour.max_bytes if behaviour.mode is Mode.LIMITED_BYTES else None

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Forward one connection until it ends."""
        try:
            target_reader, target_writer = await self.open_target()
        except OSError:
            _reset(writer)
            return
        link = _Link((writer, target_writer))
        self._links.add(link)
        self._begin(link)
        try:
            await asyncio.gather(
                self._pump(link, reader, target_writer),
                self._pump(link, target_reader, writer),
            )
        finally:
            self._links.discard(link)
            link.reset()

    def _begin(self, link: _Link) -> None:
        if self._behaviour.mode is Mode.RESET:
            self._reset(link)
        elif self._behaviour.mode is Mode.LIMITED_BYTES:
            link.remaining = self._behaviour.max_bytes

    async def _pump(self, link: _Link, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES):
                await self._forward(link, chunk, writer)
            if self._behaviour.mode is Mode.SLOW_CLOSE:
                await asyncio.sleep(self._behaviour.seconds)
            if not link.is_half_open and writer.can_write_eof():
                writer.write_eof()

    async def _forward(self, link: _Link, chunk: bytes, writer: asyncio.StreamWriter) -> None:
        if self._behaviour.mode is Mode.LATENCY:
            await asyncio.sleep(self._behaviour.seconds)
        link.is_half_open = link.is_half_open or self._behaviour.mode is Mode.HALF_OPEN
        if link.is_half_open:
            return
        if link.remaining is not None:
            chunk = chunk[: link.remaining]
            link.remaining -= len(chunk)
        writer.write(chunk)
        await writer.drain()
        if link.remaining == 0:
            self._reset(link)

    def _reset(self, link: _Link) -> None:
        self.resets += 1
        link.reset()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST, so that the other side sees an error and not an end."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.family == socket.AF_INET:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@asynccontextmanager
async def run_proxy(open_target: OpenTarget, *, port: int = 0) -> AsyncIterator[FaultProxy]:
    """Run a proxy before a target. With port 0 the system chooses one."""
    proxy = FaultProxy(open_target)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", port)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.set(Behaviour(Mode.RESET))
        await asyncio.sleep(0)
