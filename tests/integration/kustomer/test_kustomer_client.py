"""The Kustomer client over a real socket."""

import io
from collections.abc import AsyncIterator

import aiohttp
import msgspec
import pytest
from aiohttp import web

from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Refused, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.sandbox.http_server import run_server

LARGE = msgspec.json.encode({"data": {"id": "c", "attributes": {"text": "x" * 400_000}}})


async def respond(request: web.Request) -> web.StreamResponse:
    match request.match_info["id"]:
        case "large":
            return web.Response(body=LARGE, content_type="application/json")
        case "pieces":
            response = web.StreamResponse(headers={"Content-Type": "application/json"})
            await response.prepare(request)
            for start in range(0, len(LARGE), 50_000):
                await response.write(LARGE[start : start + 50_000])
            return response
        case "endless":
            return web.Response(body=io.BytesIO(LARGE.replace(b"x" * 400_000, b"x" * 5_000_000)))
        case "gzip":
            return web.Response(body=b"no gzip", headers={"Content-Encoding": "gzip"})
        case "missing":
            return web.json_response(
                {"errors": [{"status": 404, "code": "notfound", "title": "Not Found"}]}, status=404
            )
        case "expired":
            return web.json_response({"errors": [{"code": "unauthorized", "message": "Expired token"}]}, status=401)
        case "limit":
            return web.Response(status=429, headers={"Retry-After": "7"})
        case _:
            return web.Response(status=503, text="upstream")


@pytest.fixture
async def client() -> AsyncIterator[KustomerClient]:
    app = web.Application()
    app.router.add_get("/v1/conversations/{id}", respond)
    async with run_server(app) as url, aiohttp.ClientSession() as session:
        yield KustomerClient(session, base_url=url, key="secret-key")


@pytest.mark.parametrize("conversation", ["large", "pieces"])
async def test_a_response_in_any_number_of_chunks_is_read(client: KustomerClient, conversation: str) -> None:
    assert await client.conversation(conversation) == Accepted(200, body=LARGE)


async def test_a_response_over_the_size_limit_is_unreadable(client: KustomerClient) -> None:
    assert await client.conversation("endless") == Unreadable(
        "Kustomer's response is unreadable (200): it is too large", 200
    )


async def test_a_response_with_broken_compression_is_unreadable(client: KustomerClient) -> None:
    assert isinstance(await client.conversation("gzip"), Unreadable)


async def test_a_missing_object_is_refused_with_the_vendors_message(client: KustomerClient) -> None:
    assert await client.conversation("missing") == Refused(404, "Not Found")


async def test_an_expired_key_is_locked_out(client: KustomerClient) -> None:
    assert await client.conversation("expired") == LockedOut(401, "Expired token")


async def test_a_rate_limit_has_a_retry_time(client: KustomerClient) -> None:
    outcome = await client.conversation("limit")
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 7.0


async def test_an_outage_is_unreachable(client: KustomerClient) -> None:
    assert isinstance(await client.conversation("other"), Unreachable)


async def test_the_key_is_not_in_its_repr(client: KustomerClient) -> None:
    assert "secret-key" not in repr(client)
