"""Limits of requests: size and time of heads and bodies, on every address."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomer_klaviyo.web.http_protocol import HttpProtocol
from kustomer_klaviyo.web.request_limits import (
    BODY_TIMEOUT_SECONDS,
    HEAD_TIMEOUT_SECONDS,
    MAX_BODY_BYTES,
    MAX_BODY_BYTES_BY_PATH,
    MAX_HEAD_BYTES,
    STREAMED_PATH,
    max_body_bytes,
)
from support.raw_http import open_raw_connection, send_raw
from support.temporary_database import temporary_database, temporary_directory
from support.webhook_server import WebhookServer, run_webhook_server

PATHS = ("/sign-in", "/connect", "/invitation/x", "/card/acme/customers/x", "/nowhere", "/health", "/metrics", "/")
POST = "POST {} HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-www-form-urlencoded\r\n{}\r\n\r\n"


class ShortTimeouts(HttpProtocol):
    """The protocol with short timeouts, so that tests run fast."""

    head_timeout_seconds = 0.3
    body_timeout_seconds = 0.3


@pytest.fixture(scope="module")
async def server(postgres_url: str) -> AsyncIterator[WebhookServer]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_webhook_server(url, directory) as ready:
            yield ready


@pytest.fixture(scope="module")
async def fast_server(postgres_url: str) -> AsyncIterator[WebhookServer]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_webhook_server(url, directory, ShortTimeouts) as ready:
            yield ready


def chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:4096], body[4096:])) + b"0\r\n\r\n"


@pytest.mark.parametrize("path", PATHS)
async def test_a_content_length_over_the_limit_is_413(server: WebhookServer, path: str) -> None:
    head = POST.format(path, f"Content-Length: {max_body_bytes(path) + 1}\r\nExpect: 100-continue")
    response = await send_raw(server.url, head.encode())
    assert response
    assert response.status == 413
    assert str(max_body_bytes(path)).encode() in response.body


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_of_unknown_length_over_the_limit_is_413(server: WebhookServer, path: str) -> None:
    head = POST.format(path, "Transfer-Encoding: chunked").encode()
    response = await send_raw(server.url, head + chunked(b"a=" + b"a" * max_body_bytes(path)))
    assert response
    assert response.status == 413


async def test_a_body_at_the_limit_is_accepted(server: WebhookServer) -> None:
    body = b"a=" + b"a" * (MAX_BODY_BYTES - 2)
    for header, data in ((f"Content-Length: {len(body)}", body), ("Transfer-Encoding: chunked", chunked(body))):
        response = await send_raw(server.url, POST.format("/sign-in", header).encode() + data)
        assert response
        assert response.status == 403, "the form was read, but lacks the CSRF token"


async def test_the_rest_of_a_rejected_body_is_dropped_and_the_client_gets_the_response(server: WebhookServer) -> None:
    async with open_raw_connection(server.url) as wire:
        await wire.send(POST.format("/sign-in", "Accept: text/html\r\nContent-Length: 9000000").encode())
        for _ in range(90):
            await wire.send(b"a" * 100_000)
        response = await wire.read_response()
        assert response
        assert response.status == 413
        assert b"<h1>" in response.body
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await wire.read_response() or response).status == 200


async def test_too_many_form_fields_are_400(server: WebhookServer) -> None:
    async with server.session.post(f"{server.url}/sign-in", data={f"f{n}": "x" for n in range(1000)}) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=x", "application/json", "text/plain", "", "x" * 1000]
)
async def test_other_content_types_of_forms_are_415(server: WebhookServer, content_type: str) -> None:
    async with server.session.post(
        f"{server.url}/sign-in", data=b"--x\r\n\r\n\r\n--x--", headers={"Content-Type": content_type}
    ) as response:
        assert response.status == 415


async def test_a_slow_head_is_408(fast_server: WebhookServer) -> None:
    async with open_raw_connection(fast_server.url) as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        response = await wire.read_response()
        assert response
        assert response.status == 408
        assert await wire.read_until_closed() == b""


async def test_a_head_that_arrives_piece_by_piece_gets_no_extra_time(fast_server: WebhookServer) -> None:
    async with open_raw_connection(fast_server.url) as wire:
        answering = asyncio.create_task(wire.read_response())
        await wire.send(b"GET /health HTTP/1.1\r\n")
        while not answering.done():
            await wire.send(b"X: x\r\n")
            await asyncio.sleep(0.01)
        response = await answering
        assert response
        assert response.status == 408


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G"])
async def test_an_idle_connection_is_closed(fast_server: WebhookServer, sent: bytes) -> None:
    async with open_raw_connection(fast_server.url) as wire:
        await wire.send(sent)
        await wire.read_until_closed()


async def test_the_second_request_of_a_connection_has_the_same_timeout(fast_server: WebhookServer) -> None:
    async with open_raw_connection(fast_server.url) as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await wire.read_response() or pytest.fail("no response")).status == 200
        await wire.send(b"\r\nGET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        assert (await wire.read_response() or pytest.fail("no response")).status == 408


@pytest.mark.parametrize("path", ["/sign-in", "/webhooks/kustomer/acme"])
@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_slow_body_is_408(fast_server: WebhookServer, path: str, length: str) -> None:
    async with open_raw_connection(fast_server.url) as wire:
        await wire.send(POST.format(path, length).encode() + b"1\r\na\r\n")
        response = await wire.read_response()
        assert response
        assert response.status == 408
        assert await wire.read_until_closed() == b""


async def test_a_dropped_body_has_the_same_timeout(fast_server: WebhookServer) -> None:
    async with open_raw_connection(fast_server.url) as wire:
        await wire.send(POST.format("/sign-in", "Content-Length: 9000000").encode())
        assert (await wire.read_response() or pytest.fail("no response")).status == 413
        closing = asyncio.create_task(wire.read_until_closed())
        while not closing.done():
            await wire.send(b"a")
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: here\r\nX: " + b"x" * MAX_HEAD_BYTES,
        b"GET /health HTTP/1.1" + b"\r\nX: xxxxxxxxxx" * (MAX_HEAD_BYTES // 14),
        b"GET /" + b"x" * MAX_HEAD_BYTES,
        b"GET / HTTP/1.1\r\nX: x\r\nCookie: " + b"x=y; " * (MAX_HEAD_BYTES // 5),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_head_over_the_limit_is_431_complete_or_not(server: WebhookServer, head: bytes, end: bytes) -> None:
    response = await send_raw(server.url, head + end)
    assert response
    assert response.status == 431


async def test_a_head_within_the_limit_is_accepted(server: WebhookServer) -> None:
    response = await send_raw(server.url, b"GET /health HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 60_000 + b"\r\n\r\n")
    assert response
    assert response.status == 200


@pytest.mark.parametrize("framing", [b"1;" + b"x" * 3 * MAX_HEAD_BYTES, b"0\r\nX: " + b"x" * 3 * MAX_HEAD_BYTES])
async def test_the_framing_of_chunks_is_limited(server: WebhookServer, framing: bytes) -> None:
    head = POST.format("/webhooks/kustomer/acme", "Transfer-Encoding: chunked").encode()
    async with open_raw_connection(server.url) as wire:
        await wire.send(head)
        await wire.send(framing)
        response = await wire.read_response()
        assert response
        assert response.status in (400, 431)


async def test_pipelined_requests_are_answered_in_order(server: WebhookServer) -> None:
    async with open_raw_connection(server.url) as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n" * 3)
        for _ in range(3):
            assert (await wire.read_response() or pytest.fail("no response")).status == 200


def test_the_limits_are_documented() -> None:
    document = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
    assert f"| body sent to any other path (forms) | {MAX_BODY_BYTES // 1024} KB" in document
    for start, limit in MAX_BODY_BYTES_BY_PATH.items():
        assert f"| body sent to `{start}...` | {limit // 1024} KB |" in document
    assert f"| body sent to `{STREAMED_PATH}...` |" in document
    assert f"| {MAX_HEAD_BYTES // 1024} KB, complete within {HEAD_TIMEOUT_SECONDS:.0f} seconds |" in document
    assert f"| complete within {BODY_TIMEOUT_SECONDS:.0f} seconds |" in document


@pytest.mark.parametrize("path", ["/", "/x", "/webhooks", "/webhooks/other", "//card/x", "/card", "", "*"])
def test_every_address_has_a_limit(path: str) -> None:
    assert max_body_bytes(path) == MAX_BODY_BYTES
