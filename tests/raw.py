"""Requests written byte by byte, as no client library would."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Answer:
    """What a server answered."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return a header that is there once."""
        [value] = [value for one, value in self.headers if one == name]
        return value


class Wire:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send some bytes, unless the server has closed the connection."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return

    async def answer(self, *, is_head: bool = False) -> Answer | None:
        """Wait for an answer; None when the connection ends without one."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        parted = [line.partition(":") for line in head[1:] if line]
        headers = [(name.lower(), value.strip()) for name, _, value in parted]
        length = 0 if is_head else next((int(value) for name, value in headers if name == "content-length"), 0)
        return Answer(int(head[0].split()[1]), headers, await self._reader.readexactly(length))

    async def until_closed(self) -> bytes:
        """Return all that still comes until the server closes the connection."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[Wire]:
    """Open a connection."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def told(url: str, request: bytes) -> Answer | None:
    """Send bytes on a connection of their own, and return what is answered."""
    async with wired(url) as wire:
        await wire.send(request)
        return await wire.answer(is_head=request.startswith(b"HEAD "))
