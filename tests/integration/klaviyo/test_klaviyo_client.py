"""The client against servers: one with the response that a test sets, and the Klaviyo sandbox."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from kustomer_klaviyo import __version__
from kustomer_klaviyo.klaviyo.batches import batch_events
from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.klaviyo_client import MAX_LIST_BYTES, TIER_L, KlaviyoClient
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.rate_limiter import RateLimiter
from kustomer_klaviyo.rate_limits import MAX_THROTTLE_SECONDS
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app

KEY = "pk_lantern_secret"
PERMISSION_DENIED = msgspec.json.encode({"errors": [{"code": "permission_denied", "detail": "No permission."}]})
SHORT_TIMEOUT = aiohttp.ClientTimeout(total=0.2)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def request_of(unique_id: str = "u1", *, email: str = "ada@lanternpost.example") -> EventRequest:
    return EventRequest("M", unique_id, datetime(2026, 11, 1, 10, tzinfo=UTC), {"colour": "green"}, email=email)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def send_event(session: aiohttp.ClientSession, handler: Handler, **options: Any) -> tuple[Outcome, KlaviyoClient]:
    """Create an event at a server that responds with ``handler``."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with run_server(app) as url:
        client = KlaviyoClient(session, base_url=url, key=KEY, **options)
        return await client.create_event(request_of()), client


def respond_with(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


async def test_a_request_has_key_revision_media_type_and_user_agent(session: aiohttp.ClientSession) -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(request.headers, path=request.path, method=request.method, body=await request.json())
        return web.Response(status=202)

    outcome, _ = await send_event(session, handler)
    assert isinstance(outcome, Accepted)
    assert (seen["method"], seen["path"]) == ("POST", "/api/events")
    assert seen["Authorization"] == f"Klaviyo-API-Key {KEY}"
    assert seen["revision"] == "2026-07-15"
    assert seen["Content-Type"] == seen["Accept"] == "application/vnd.api+json"
    assert seen["User-Agent"] == f"kustomer-klaviyo/{__version__}"
    assert seen["body"]["data"]["attributes"]["unique_id"] == "u1"


async def test_the_account_and_the_limits_are_read_from_a_response(session: aiohttp.ClientSession) -> None:
    limits = "1, 1;w=1, 20;w=60"
    outcome, client = await send_event(
        session, respond_with(202, Cid="LnTrn1", RateLimit_Limit=limits, X_Klaviyo_Req_Id="r1")
    )
    assert outcome == Accepted(202, "r1")
    assert client.account_id == "LnTrn1"
    client.limiters.events.record(100.0)
    assert client.limiters.events.wait_seconds(100.0) == 1.0
    assert client.limiters.bulk_events.wait_seconds(100.0) == 0.0


async def test_a_response_without_an_account_keeps_the_last_one(session: aiohttp.ClientSession) -> None:
    app = web.Application()
    app.router.add_get(
        "/api/accounts", respond_with(200, b'{"data":[]}', Cid="LnTrn1", Content_Type="application/json")
    )
    app.router.add_post("/api/events", respond_with(401))
    async with run_server(app) as url:
        client = KlaviyoClient(session, base_url=url + "/", key=KEY)
        assert isinstance(await client.account(), Accepted)
        assert isinstance(await client.create_event(request_of()), LockedOut)
    assert client.account_id == "LnTrn1"


async def test_a_response_in_chunks_is_read_completely(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        for piece in (PERMISSION_DENIED[:20], PERMISSION_DENIED[20:]):
            await response.write(piece)
            await asyncio.sleep(0.05)
        return response

    outcome, _ = await send_event(session, handler)
    assert outcome == LockedOut(403, "No permission.")


async def test_an_endless_response_is_read_up_to_the_limit(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    outcome, _ = await send_event(session, handler)
    assert isinstance(outcome, Unreadable)


@pytest.mark.parametrize(
    "body",
    [b'{"data":[{"id":"1"},', b"", b'{  "data":[' + b'{"id":"1"},' * (MAX_LIST_BYTES // 11) + b'{"id":"1"}]}'],
    ids=["broken off", "empty", "too long"],
)
async def test_a_truncated_response_is_unreachable(session: aiohttp.ClientSession, body: bytes) -> None:
    app = web.Application()
    app.router.add_get("/api/profiles", respond_with(200, body))
    async with run_server(app) as url:
        client = KlaviyoClient(session, base_url=url, key=KEY)
        assert isinstance(await client.read("/api/profiles", RateLimiter(TIER_L)), Unreachable)


async def test_a_challenge_page_is_unreachable(session: aiohttp.ClientSession) -> None:
    outcome, _ = await send_event(session, respond_with(403, b"<html>Just a moment", cf_mitigated="challenge"))
    assert isinstance(outcome, Unreachable)
    assert outcome.status == 403


async def test_only_the_throttled_endpoint_is_held_for_the_retry_after(
    session: aiohttp.ClientSession,
) -> None:
    outcome, client = await send_event(session, respond_with(429, Retry_After="30"))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 30.0
    now = time.monotonic()
    assert 0 < client.limiters.events.wait_seconds(now) <= 30
    assert client.limiters.bulk_events.wait_seconds(now) == 0


async def test_an_excessive_retry_after_holds_an_endpoint_no_longer_than_its_window(
    session: aiohttp.ClientSession,
) -> None:
    _, client = await send_event(session, respond_with(429, Retry_After="80000"))
    assert 0 < client.limiters.events.wait_seconds(time.monotonic()) <= MAX_THROTTLE_SECONDS


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    paths: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    outcome, _ = await send_event(session, handler)
    assert isinstance(outcome, Unreachable)
    assert paths == ["/api/events"]


async def test_a_server_that_does_not_respond_is_unreachable(session: aiohttp.ClientSession) -> None:
    hung = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await hung.wait()
        return web.Response(status=202)

    outcome, _ = await send_event(session, handler, timeout=SHORT_TIMEOUT)
    hung.set()
    assert outcome == Unreachable("Klaviyo did not respond in time")


async def test_a_connection_closed_before_the_response_is_unreachable(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=202)

    outcome, _ = await send_event(session, handler)
    assert isinstance(outcome, Unreachable)
    assert outcome.status is None


async def test_a_connection_closed_within_the_response_is_unreachable(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=400, headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b'{"errors":')
        assert request.transport is not None
        request.transport.close()
        return response

    outcome, _ = await send_event(session, handler)
    assert isinstance(outcome, Unreachable)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "https://nowhere.invalid", "nonsense"])
async def test_an_unknown_address_is_unreachable_and_never_reveals_the_key(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    client = KlaviyoClient(session, base_url=base_url, key=KEY)
    outcome = await client.create_event(request_of())
    assert isinstance(outcome, Unreachable)
    assert outcome.detail
    assert KEY not in f"{outcome!r} {client!r}"


async def test_the_sandbox_accepts_single_and_bulk_events_and_drops_duplicates(
    session: aiohttp.ClientSession,
) -> None:
    async with run_server(create_app()) as url:
        client = KlaviyoClient(session, base_url=url, key=DEFAULT_KEY)
        [batch] = batch_events([request_of("u1"), request_of("u2"), request_of("u3")])
        outcomes = [await client.account(), await client.create_event(request_of()), await client.create_events(batch)]
        assert [type(outcome) for outcome in outcomes] == [Accepted] * 3
        assert client.account_id == "SbxKlv"
        async with session.get(f"{url}/sandbox/events") as response:
            assert sorted(event["unique_id"] for event in await response.json()) == ["u1", "u2", "u3"]


async def test_the_sandbox_rejects_a_batch_for_one_invalid_address_and_names_it(
    session: aiohttp.ClientSession,
) -> None:
    async with run_server(create_app()) as url:
        client = KlaviyoClient(session, base_url=url, key=DEFAULT_KEY)
        [batch] = batch_events([request_of("u1"), request_of("u2", email="nobody"), request_of("u3")])
        outcome = await client.create_events(batch)
    assert isinstance(outcome, Refused)
    assert outcome.pointer == "/data/attributes/events-bulk-create/data/1/attributes/email"


async def test_the_sandbox_locks_out_a_key_without_the_scope(session: aiohttp.ClientSession) -> None:
    async with run_server(create_app(KlaviyoOptions(keys={KEY: frozenset({"accounts:read"})}))) as url:
        client = KlaviyoClient(session, base_url=url, key=KEY)
        assert isinstance(await client.account(), Accepted)
        assert isinstance(await client.create_event(request_of()), LockedOut)
