"""What one client may take: sizes and times of heads and bodies, on every address."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from doorway import Door, opened
from kustomer_klaviyo.web.http_protocol import HttpProtocol
from kustomer_klaviyo.web.request_limits import (
    BODY_BYTES,
    BODY_SECONDS,
    HEAD_BYTES,
    HEAD_SECONDS,
    LARGEST_BODIES,
    READ_BY_ITSELF,
    largest_body,
)
from raw import told, wired
from stage import own_database, own_directory

PATHS = ("/sign-in", "/connect", "/invitation/x", "/card/acme/customers/x", "/nowhere", "/health", "/metrics", "/")
POST = "POST {} HTTP/1.1\r\nHost: here\r\nContent-Type: application/x-www-form-urlencoded\r\n{}\r\n\r\n"


class Impatient(HttpProtocol):
    """The protocol with shorter times, so that tests need not wait for the real ones."""

    head_seconds = 0.3
    body_seconds = 0.3


@pytest.fixture(scope="module")
async def door(postgres_url: str) -> AsyncIterator[Door]:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with opened(url, directory) as ready:
            yield ready


@pytest.fixture(scope="module")
async def impatient(postgres_url: str) -> AsyncIterator[Door]:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with opened(url, directory, Impatient) as ready:
            yield ready


def chunked(body: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (body[:4096], body[4096:])) + b"0\r\n\r\n"


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_over_the_limit_is_413_before_it_is_sent(door: Door, path: str) -> None:
    head = POST.format(path, f"Content-Length: {largest_body(path) + 1}\r\nExpect: 100-continue")
    answer = await told(door.url, head.encode())
    assert answer
    assert answer.status == 413
    assert str(largest_body(path)).encode() in answer.body


@pytest.mark.parametrize("path", PATHS)
async def test_a_body_of_unknown_length_over_the_limit_is_413(door: Door, path: str) -> None:
    head = POST.format(path, "Transfer-Encoding: chunked").encode()
    answer = await told(door.url, head + chunked(b"a=" + b"a" * largest_body(path)))
    assert answer
    assert answer.status == 413


async def test_a_body_up_to_the_limit_is_read(door: Door) -> None:
    body = b"a=" + b"a" * (BODY_BYTES - 2)
    for head, sent in ((f"Content-Length: {len(body)}", body), ("Transfer-Encoding: chunked", chunked(body))):
        answer = await told(door.url, POST.format("/sign-in", head).encode() + sent)
        assert answer
        assert answer.status == 403, "the form was read, and lacks its token"


async def test_the_rest_of_a_body_refused_is_dropped_and_the_browser_reads_the_answer(door: Door) -> None:
    async with wired(door.url) as wire:
        await wire.send(POST.format("/sign-in", "Accept: text/html\r\nContent-Length: 9000000").encode())
        for _ in range(90):
            await wire.send(b"a" * 100_000)
        answer = await wire.answer()
        assert answer
        assert answer.status == 413
        assert b"<h1>" in answer.body
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await wire.answer() or answer).status == 200


async def test_more_fields_than_a_form_of_ours_has_are_400(door: Door) -> None:
    async with door.session.post(f"{door.url}/sign-in", data={f"f{n}": "x" for n in range(1000)}) as response:
        assert response.status == 400


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data; boundary=x", "application/json", "text/plain", "", "x" * 1000]
)
async def test_a_form_is_sent_as_browsers_send_ours(door: Door, content_type: str) -> None:
    async with door.session.post(
        f"{door.url}/sign-in", data=b"--x\r\n\r\n\r\n--x--", headers={"Content-Type": content_type}
    ) as response:
        assert response.status == 415


async def test_a_head_that_does_not_end_in_time_is_408(impatient: Door) -> None:
    async with wired(impatient.url) as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        answer = await wire.answer()
        assert answer
        assert answer.status == 408
        assert await wire.until_closed() == b""


async def test_a_head_that_comes_byte_by_byte_gains_no_time(impatient: Door) -> None:
    async with wired(impatient.url) as wire:
        answering = asyncio.create_task(wire.answer())
        await wire.send(b"GET /health HTTP/1.1\r\n")
        while not answering.done():
            await wire.send(b"X: x\r\n")
            await asyncio.sleep(0.01)
        answer = await answering
        assert answer
        assert answer.status == 408


@pytest.mark.parametrize("sent", [b"", b"\r\n", b"G"])
async def test_a_connection_that_says_nothing_ends(impatient: Door, sent: bytes) -> None:
    async with wired(impatient.url) as wire:
        await wire.send(sent)
        await wire.until_closed()


async def test_a_second_request_on_a_connection_has_the_same_time(impatient: Door) -> None:
    async with wired(impatient.url) as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n")
        assert (await wire.answer() or pytest.fail("no answer")).status == 200
        await wire.send(b"\r\nGET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ")
        assert (await wire.answer() or pytest.fail("no answer")).status == 408


@pytest.mark.parametrize("path", ["/sign-in", "/webhooks/kustomer/acme"])
@pytest.mark.parametrize("length", ["Content-Length: 100", "Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_end_in_time_is_408(impatient: Door, path: str, length: str) -> None:
    async with wired(impatient.url) as wire:
        await wire.send(POST.format(path, length).encode() + b"1\r\na\r\n")
        answer = await wire.answer()
        assert answer
        assert answer.status == 408
        assert await wire.until_closed() == b""


async def test_a_body_dropped_has_no_more_time_than_one_read(impatient: Door) -> None:
    async with wired(impatient.url) as wire:
        await wire.send(POST.format("/sign-in", "Content-Length: 9000000").encode())
        assert (await wire.answer() or pytest.fail("no answer")).status == 413
        closing = asyncio.create_task(wire.until_closed())
        while not closing.done():
            await wire.send(b"a")
            await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /health HTTP/1.1\r\nHost: here\r\nX: " + b"x" * HEAD_BYTES,
        b"GET /health HTTP/1.1" + b"\r\nX: xxxxxxxxxx" * (HEAD_BYTES // 14),
        b"GET /" + b"x" * HEAD_BYTES,
        b"GET / HTTP/1.1\r\nX: x\r\nCookie: " + b"x=y; " * (HEAD_BYTES // 5),
    ],
)
@pytest.mark.parametrize("end", [b"", b"\r\n\r\n"])
async def test_a_head_over_the_limit_is_431_whether_or_not_it_ends(door: Door, head: bytes, end: bytes) -> None:
    answer = await told(door.url, head + end)
    assert answer
    assert answer.status == 431


async def test_a_head_within_the_limit_is_read(door: Door) -> None:
    answer = await told(door.url, b"GET /health HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 60_000 + b"\r\n\r\n")
    assert answer
    assert answer.status == 200


@pytest.mark.parametrize("between", [b"1;" + b"x" * 3 * HEAD_BYTES, b"0\r\nX: " + b"x" * 3 * HEAD_BYTES])
async def test_what_stands_between_the_chunks_of_a_body_has_an_end_too(door: Door, between: bytes) -> None:
    head = POST.format("/webhooks/kustomer/acme", "Transfer-Encoding: chunked").encode()
    async with wired(door.url) as wire:
        await wire.send(head)
        await wire.send(between)
        answer = await wire.answer()
        assert answer
        assert answer.status in (400, 431)


async def test_requests_sent_together_are_answered_in_turn(door: Door) -> None:
    async with wired(door.url) as wire:
        await wire.send(b"GET /health HTTP/1.1\r\nHost: here\r\n\r\n" * 3)
        for _ in range(3):
            assert (await wire.answer() or pytest.fail("no answer")).status == 200


def test_the_documentation_says_what_each_address_takes() -> None:
    told = (Path(__file__).parents[2] / "docs" / "security.md").read_text()
    assert f"| body sent anywhere else (forms) | {BODY_BYTES // 1024} KB" in told
    for start, limit in LARGEST_BODIES.items():
        assert f"| body sent to `{start}...` | {limit // 1024} KB |" in told
    assert f"| body sent to `{READ_BY_ITSELF}...` |" in told
    assert f"| {HEAD_BYTES // 1024} KB, whole within {HEAD_SECONDS:.0f} seconds |" in told
    assert f"| whole within {BODY_SECONDS:.0f} seconds |" in told


@pytest.mark.parametrize("path", ["/", "/x", "/webhooks", "/webhooks/other", "//card/x", "/card", "", "*"])
def test_there_is_no_address_without_a_limit(path: str) -> None:
    assert largest_body(path) == BODY_BYTES
