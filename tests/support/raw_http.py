"""HTTP requests written byte by byte, to send what client libraries refuse to send."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class RawResponse:
    """A response of a server."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Return the value of a header that occurs once."""
        [value] = [value for header, value in self.headers if header == name]
        return value


class RawConnection:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """Send bytes. Does nothing when the server has closed the connection."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return

    async def read_response(self, *, is_head: bool = False) -> RawResponse | None:
        """Wait for a response. Returns None when the connection ends without one."""
        try:
            head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        fields = [line.partition(":") for line in head[1:] if line]
        headers = [(name.lower(), value.strip()) for name, _, value in fields]
        length = 0 if is_head else next((int(value) for name, value in headers if name == "content-length"), 0)
        return RawResponse(int(head[0].split()[1]), headers, await self._reader.readexactly(length))

    async def read_until_closed(self) -> bytes:
        """Return the remaining bytes until the server closes the connection."""
        try:
            return await self._reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def open_raw_connection(url: str) -> AsyncIterator[RawConnection]:
    """Open a connection."""
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield RawConnection(reader, writer)
    finally:
        writer.transport.abort()


async def send_raw(url: str, request: bytes) -> RawResponse | None:
    """Send bytes on a new connection. Returns the response."""
    async with open_raw_connection(url) as connection:
        await connection.send(request)
        return await connection.read_response(is_head=request.startswith(b"HEAD "))
