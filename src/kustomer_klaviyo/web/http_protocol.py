"""uvicorn's HTTP protocol with limits: time and size of a request's head, time of its body and of the response."""

import asyncio
import http
import secrets
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kustomer_klaviyo.web.request_limits import (
    BODY_TIMEOUT_SECONDS,
    HEAD_TIMEOUT_SECONDS,
    MAX_HEAD_BYTES,
    RESPONSE_TIMEOUT_SECONDS,
)
from kustomer_klaviyo.web.response_headers import with_default_headers

HEAD_TOO_LARGE = f"The request's headers are larger than {MAX_HEAD_BYTES} bytes."
REQUEST_TOO_SLOW = "The request took too long to arrive."
LINGER_SECONDS = 1.0
LINGER_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with a timeout of 0: closing the socket resets the connection and drops unsent data."""

MAX_OVERHEAD_RATIO = 8
"""Bytes of chunk framing that are accepted per byte of the body."""


class HttpProtocol(HttpToolsProtocol):
    """One client connection. Slow requests are answered 408, endless heads 431, and the connection is closed.

    The parser reports headers only when they are complete, so the bytes of an incomplete head are counted here.
    """

    head_timeout_seconds = HEAD_TIMEOUT_SECONDS
    body_timeout_seconds = BODY_TIMEOUT_SECONDS
    response_timeout_seconds = RESPONSE_TIMEOUT_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_body = self._is_rejected = False
        self._overhead_bytes = 0
        """Received bytes that are not part of a body: the head, later the framing of chunks."""
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Start the timeout of the first request."""
        super().connection_made(transport)
        self._start_read_timer(self.head_timeout_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timers."""
        self._stop_read_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the write timeout: the client reads more slowly than the response is written."""
        super().pause_writing()
        self._start_write_timer()

    def resume_writing(self) -> None:
        """Stop the write timeout."""
        self._stop_write_timer()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Start the write timeout for the rest of the response."""
        super().on_response_complete()
        self._start_write_timer()

    def data_received(self, data: bytes) -> None:
        """Parse received data, unless the request was rejected."""
        if self._is_rejected:
            return
        self._overhead_bytes += len(data)
        if self._read_timer is None:
            self._start_read_timer(self.head_timeout_seconds)
        super().data_received(data)
        if self._overhead_bytes > MAX_HEAD_BYTES and not self._is_rejected:
            self._reject(431, HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Start the timeout of a head, also of one that arrived together with the previous request."""
        super().on_message_begin()
        if self._read_timer is None:
            self._start_read_timer(self.head_timeout_seconds)

    def on_headers_complete(self) -> None:
        """Start the request, unless its head is too large, and the timeout of its body."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > MAX_HEAD_BYTES and not self._is_rejected:
            self._reject(431, HEAD_TOO_LARGE)
        if self._is_rejected:
            return
        super().on_headers_complete()
        self._overhead_bytes, self._is_in_body = 0, True
        self._start_read_timer(self.body_timeout_seconds)

    def on_body(self, body: bytes) -> None:
        """Pass on a part of the body."""
        self._overhead_bytes -= MAX_OVERHEAD_RATIO * len(body)
        if not self._is_rejected:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Stop the timeout: the next data belongs to another request."""
        self._overhead_bytes, self._is_in_body = 0, False
        self._stop_read_timer()
        if not self._is_rejected:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP, with the default headers."""
        if not self._is_rejected:
            self._reject(400, msg)

    def _start_read_timer(self, seconds: float) -> None:
        self._stop_read_timer()
        self._read_timer = self.loop.call_later(seconds, self._on_read_timeout)

    def _stop_read_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _start_write_timer(self) -> None:
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._write_timer = self.loop.call_later(self.response_timeout_seconds, self._abort_slow_reader)

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _abort_slow_reader(self) -> None:
        """Reset the connection and drop unread data: closing it normally would wait for the client forever."""
        self._write_timer = None
        if self.transport.get_write_buffer_size():
            # Otherwise the operating system keeps offering the unread data to the client.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            self.transport.abort()

    def _on_read_timeout(self) -> None:
        if self._overhead_bytes or self._is_in_body:
            self._reject(408, REQUEST_TOO_SLOW)
        else:
            self.transport.close()

    def _reject(self, status: int, text: str) -> None:
        """Send an error, unless a response was started, and close. Data that still arrives is read and dropped."""
        self._is_rejected = True
        self._stop_read_timer()
        cycle: RequestResponseCycle | None = self.cycle
        can_respond = cycle is None or cycle.response_complete or (self._is_in_body and not cycle.response_started)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if not can_respond or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write(_error_response(status, text))
        self._start_write_timer()
        # With unread data, closing at once would reset the connection, and the response would be lost.
        self._read_timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _error_response(status: int, text: str) -> bytes:
    body = text.encode()
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode()]
    lines += [b"%s: %s" % header for header in with_default_headers(headers, secrets.token_hex(8))]
    return b"\r\n".join([*lines, b"", body])
