"""HTTP of the server, with an end to what a client may take: time and size of a request's head, time of its body."""

import asyncio
import http
import secrets
import socket
import struct
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from kustomer_klaviyo.web.request_limits import ANSWER_SECONDS, BODY_SECONDS, HEAD_BYTES, HEAD_SECONDS
from kustomer_klaviyo.web.response_headers import completed

HEAD_TOO_LARGE = f"The request's headers are larger than {HEAD_BYTES} bytes."
TOO_SLOW = "The request took too long to arrive."
LINGER_SECONDS = 1.0
RESET = struct.pack("ii", 1, 0)
"""Has the system end a connection at once when it is closed, and keep nothing for the client."""

MOST_FRAMING = 8
"""Bytes between the chunks of a body, for each byte of it."""


class HttpProtocol(HttpToolsProtocol):
    """One connection of a client. Slow and endless requests are answered 408 and 431, and the connection is closed.

    The parser gives headers only when they are whole, so an unfinished head is counted as it arrives.
    """

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS
    answer_seconds = ANSWER_SECONDS

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_body = self._is_refused = False
        self._framing = 0
        """Bytes of the request that are no body: its head, later what stands between the chunks of a body."""
        self._timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer with the connection."""
        self._stop_waiting()
        self._is_read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read: it takes less than it asked for."""
        super().pause_writing()
        self._wait_for_reader()

    def resume_writing(self) -> None:
        """End that wait."""
        self._is_read()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Begin to wait for the client to read the rest of an answer."""
        super().on_response_complete()
        self._wait_for_reader()

    def data_received(self, data: bytes) -> None:
        """Parse what arrived, unless the client was refused."""
        if self._is_refused:
            return
        self._framing += len(data)
        if self._timer is None:
            self._wait(self.head_seconds)
        super().data_received(data)
        if self._framing > HEAD_BYTES and not self._is_refused:
            self._refuse(431, HEAD_TOO_LARGE)

    def on_message_begin(self) -> None:
        """Begin to wait for a head, also for one that came together with the request before."""
        super().on_message_begin()
        if self._timer is None:
            self._wait(self.head_seconds)

    def on_headers_complete(self) -> None:
        """Hand the request on, unless its head is too large; then its body has a time of its own."""
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > HEAD_BYTES and not self._is_refused:
            self._refuse(431, HEAD_TOO_LARGE)
        if self._is_refused:
            return
        super().on_headers_complete()
        self._framing, self._is_in_body = 0, True
        self._wait(self.body_seconds)

    def on_body(self, body: bytes) -> None:
        """Hand a part of the body on."""
        self._framing -= MOST_FRAMING * len(body)
        if not self._is_refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """End the wait: what follows is another request."""
        self._framing, self._is_in_body = 0, False
        self._stop_waiting()
        if not self._is_refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, with the headers that every answer has."""
        if not self._is_refused:
            self._refuse(400, msg)

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait_for_reader(self) -> None:
        if self._answer_timer is None and self.transport.get_write_buffer_size():
            self._answer_timer = self.loop.call_later(self.answer_seconds, self._give_reader_up)

    def _is_read(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _give_reader_up(self) -> None:
        """Drop what the client did not read: a connection that is only closed waits for it, for ever."""
        self._answer_timer = None
        if self.transport.get_write_buffer_size():
            # Without this the system would go on offering the client what it keeps of the answer.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()

    def _give_up(self) -> None:
        if self._framing or self._is_in_body:
            self._refuse(408, TOO_SLOW)
        else:
            self.transport.close()

    def _refuse(self, status: int, text: str) -> None:
        """Answer, unless another answer is on its way, and close; what is still sent is read and dropped until then."""
        self._is_refused = True
        self._stop_waiting()
        cycle: RequestResponseCycle | None = self.cycle
        is_free = cycle is None or cycle.response_complete or (self._is_in_body and not cycle.response_started)
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()
        if not is_free or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write(_answer(status, text))
        self._wait_for_reader()
        # Closed at once, unread bytes would make the system reset the connection, and the answer would be lost.
        self._timer = self.loop.call_later(LINGER_SECONDS, self.transport.close)


def _answer(status: int, text: str) -> bytes:
    body = text.encode()
    said = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
    ]
    lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}".encode()]
    lines += [b"%s: %s" % one for one in completed(said, secrets.token_hex(8))]
    return b"\r\n".join([*lines, b"", body])
