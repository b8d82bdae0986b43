"""Sends prepared requests over keep-alive HTTP connections as fast as the responses arrive."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import cast
from urllib.parse import urlsplit


class _Sender(asyncio.Protocol):
    """One connection: sends a request, waits for its response, takes the next."""

    def __init__(self, queue: list[bytes], latencies: list[float], done: asyncio.Future[None]) -> None:
        self._queue, self._latencies, self._done = queue, latencies, done
        self._transport: asyncio.Transport | None = None
        self._sent_at = 0.0
        self._buffer = b""
        self._request = b""
        self.refused = 0
        self.accepted: list[bytes] = []
        """Requests that were answered 2xx."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._next()

    def _next(self) -> None:
        if self._transport is None:
            return
        if not self._queue:
            self._transport.close()
            return
        self._sent_at = time.perf_counter()
        self._request = self._queue.pop()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, separator, rest = self._buffer.partition(b"\r\n\r\n")
        if not separator:
            return
        start = head.lower().find(b"content-length:")
        length = int(head[start + 15 :].split(b"\r\n", 1)[0]) if start >= 0 else 0
        if len(rest) < length:
            return
        self._buffer = b""
        self._latencies.append(time.perf_counter() - self._sent_at)
        if head.startswith(b"HTTP/1.1 2"):
            self.accepted.append(self._request)
        else:
            self.refused += 1
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if not self._done.done():
            self._done.set_result(None)


def _use_sender(sender: _Sender) -> _Sender:
    return sender


async def send(url: str, requests: Sequence[bytes], *, at_once: int = 64) -> tuple[float, list[float]]:
    """Send all requests; returns the total seconds and the latency of each."""
    latencies: list[float] = []
    start = time.perf_counter()
    senders = await _send(url, list(reversed(requests)), latencies, at_once)
    seconds = time.perf_counter() - start
    refused = sum(sender.refused for sender in senders)
    if refused or len(latencies) != len(requests):
        raise RuntimeError(
            f"{refused} refused, {len(requests) - len(latencies)} without a response, of {len(requests)}"
        )
    return seconds, latencies


async def send_while_alive(url: str, requests: Sequence[bytes], *, at_once: int = 64) -> list[bytes]:
    """Send requests until all are sent or the service ends; returns those that were answered 2xx."""
    senders = await _send(url, list(reversed(requests)), [], at_once)
    return [request for sender in senders for request in sender.accepted]


async def _send(url: str, queue: list[bytes], latencies: list[float], at_once: int) -> list[_Sender]:
    loop = asyncio.get_running_loop()
    address = urlsplit(url)
    finished = [loop.create_future() for _ in range(at_once)]
    senders = [_Sender(queue, latencies, end) for end in finished]
    for sender in senders:
        await loop.create_connection(partial(_use_sender, sender), address.hostname or "", address.port or 80)
    await asyncio.gather(*finished)
    return senders


def quantile(values: Sequence[float], part: float) -> float:
    """Return the value below which the given part of the values lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]
