"""The client against real servers: one that answers as each test wants, and the simulated Klaviyo."""

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
from kustomer_klaviyo.klaviyo.batches import compose
from kustomer_klaviyo.klaviyo.client import LARGEST_READING, TIER_L, KlaviyoClient
from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.rate_limits import LONGEST_THROTTLE, Windows
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving

KEY = "pk_lantern_secret"
PERMISSION_DENIED = msgspec.json.encode({"errors": [{"code": "permission_denied", "detail": "No permission."}]})
IMPATIENT = aiohttp.ClientTimeout(total=0.2)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def call(unique_id: str = "u1", *, email: str = "ada@lanternpost.example") -> EventCall:
    return EventCall("M", unique_id, datetime(2026, 11, 1, 10, tzinfo=UTC), {"colour": "green"}, email=email)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def asked(session: aiohttp.ClientSession, handler: Handler, **options: Any) -> tuple[Outcome, KlaviyoClient]:
    """Create an event at a server that answers with ``handler``."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with serving(app) as url:
        client = KlaviyoClient(session, base_url=url, key=KEY, **options)
        return await client.create_event(call()), client


def answering(status: int, body: bytes = b"", **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return handler


async def test_a_request_carries_key_revision_media_type_and_our_name(session: aiohttp.ClientSession) -> None:
    seen: dict[str, Any] = {}

    async def handler(request: web.Request) -> web.Response:
        seen.update(request.headers, path=request.path, method=request.method, body=await request.json())
        return web.Response(status=202)

    outcome, _ = await asked(session, handler)
    assert isinstance(outcome, Accepted)
    assert (seen["method"], seen["path"]) == ("POST", "/api/events")
    assert seen["Authorization"] == f"Klaviyo-API-Key {KEY}"
    assert seen["revision"] == "2026-07-15"
    assert seen["Content-Type"] == seen["Accept"] == "application/vnd.api+json"
    assert seen["User-Agent"] == f"kustomer-klaviyo/{__version__}"
    assert seen["body"]["data"]["attributes"]["unique_id"] == "u1"


async def test_the_account_and_the_limits_are_learnt_from_an_answer(session: aiohttp.ClientSession) -> None:
    limits = "1, 1;w=1, 20;w=60"
    outcome, client = await asked(session, answering(202, Cid="LnTrn1", RateLimit_Limit=limits, X_Klaviyo_Req_Id="r1"))
    assert outcome == Accepted(202, "r1")
    assert client.account_id == "LnTrn1"
    client.event_windows.took(100.0)
    assert client.event_windows.wait(100.0) == 1.0
    assert client.bulk_windows.wait(100.0) == 0.0


async def test_an_answer_without_an_account_leaves_the_last_one_standing(session: aiohttp.ClientSession) -> None:
    app = web.Application()
    app.router.add_get("/api/accounts", answering(200, b'{"data":[]}', Cid="LnTrn1", Content_Type="application/json"))
    app.router.add_post("/api/events", answering(401))
    async with serving(app) as url:
        client = KlaviyoClient(session, base_url=url + "/", key=KEY)
        assert isinstance(await client.account(), Accepted)
        assert isinstance(await client.create_event(call()), LockedOut)
    assert client.account_id == "LnTrn1"


async def test_an_answer_in_pieces_is_read_to_its_end(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=403)
        await response.prepare(request)
        for piece in (PERMISSION_DENIED[:20], PERMISSION_DENIED[20:]):
            await response.write(piece)
            await asyncio.sleep(0.05)
        return response

    outcome, _ = await asked(session, handler)
    assert outcome == LockedOut(403, "No permission.")


async def test_an_endless_answer_is_read_only_so_far(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 65_536)
        except ConnectionError:
            return response

    outcome, _ = await asked(session, handler)
    assert isinstance(outcome, Unreadable)


@pytest.mark.parametrize(
    "body",
    [b'{"data":[{"id":"1"},', b"", b'{  "data":[' + b'{"id":"1"},' * (LARGEST_READING // 11) + b'{"id":"1"}]}'],
    ids=["broken off", "empty", "too long"],
)
async def test_half_of_what_was_to_be_read_is_not_taken_for_all_of_it(
    session: aiohttp.ClientSession, body: bytes
) -> None:
    app = web.Application()
    app.router.add_get("/api/profiles", answering(200, body))
    async with serving(app) as url:
        client = KlaviyoClient(session, base_url=url, key=KEY)
        assert isinstance(await client.read("/api/profiles", Windows(TIER_L)), Unreachable)


async def test_a_challenge_page_is_not_klaviyos_word(session: aiohttp.ClientSession) -> None:
    outcome, _ = await asked(session, answering(403, b"<html>Just a moment", cf_mitigated="challenge"))
    assert isinstance(outcome, Unreachable)
    assert outcome.status == 403


async def test_a_throttled_endpoint_is_held_as_long_as_asked_and_the_other_is_not(
    session: aiohttp.ClientSession,
) -> None:
    outcome, client = await asked(session, answering(429, Retry_After="30"))
    assert isinstance(outcome, Throttled)
    assert outcome.retry_after == 30.0
    now = time.monotonic()
    assert 0 < client.event_windows.wait(now) <= 30
    assert client.bulk_windows.wait(now) == 0


async def test_a_senseless_wish_holds_an_endpoint_no_longer_than_its_window(session: aiohttp.ClientSession) -> None:
    _, client = await asked(session, answering(429, Retry_After="80000"))
    assert 0 < client.event_windows.wait(time.monotonic()) <= LONGEST_THROTTLE


async def test_a_redirect_is_not_followed(session: aiohttp.ClientSession) -> None:
    asked_for: list[str] = []

    async def handler(request: web.Request) -> web.Response:
        asked_for.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere"})

    outcome, _ = await asked(session, handler)
    assert isinstance(outcome, Unreachable)
    assert asked_for == ["/api/events"]


async def test_a_server_that_says_nothing_is_unreachable(session: aiohttp.ClientSession) -> None:
    hung = asyncio.Event()

    async def handler(_: web.Request) -> web.Response:
        await hung.wait()
        return web.Response(status=202)

    outcome, _ = await asked(session, handler, timeout=IMPATIENT)
    hung.set()
    assert outcome == Unreachable("Klaviyo did not answer in time")


async def test_a_connection_dropped_before_the_answer_is_unreachable(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=202)

    outcome, _ = await asked(session, handler)
    assert isinstance(outcome, Unreachable)
    assert outcome.status is None


async def test_a_connection_dropped_inside_the_answer_is_unreachable(session: aiohttp.ClientSession) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=400, headers={"Content-Length": "500"})
        await response.prepare(request)
        await response.write(b'{"errors":')
        assert request.transport is not None
        request.transport.close()
        return response

    outcome, _ = await asked(session, handler)
    assert isinstance(outcome, Unreachable)


@pytest.mark.parametrize("base_url", ["http://127.0.0.1:1", "https://nowhere.invalid", "nonsense"])
async def test_an_address_that_leads_nowhere_is_unreachable_and_never_tells_the_key(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    client = KlaviyoClient(session, base_url=base_url, key=KEY)
    outcome = await client.create_event(call())
    assert isinstance(outcome, Unreachable)
    assert outcome.detail
    assert KEY not in f"{outcome!r} {client!r}"


async def test_the_simulated_klaviyo_takes_one_event_and_many_and_drops_repeats(
    session: aiohttp.ClientSession,
) -> None:
    async with serving(create_app()) as url:
        client = KlaviyoClient(session, base_url=url, key=DEFAULT_KEY)
        [batch] = compose([call("u1"), call("u2"), call("u3")])
        outcomes = [await client.account(), await client.create_event(call()), await client.create_events(batch)]
        assert [type(outcome) for outcome in outcomes] == [Accepted] * 3
        assert client.account_id == "SbxKlv"
        async with session.get(f"{url}/sandbox/events") as response:
            assert sorted(event["unique_id"] for event in await response.json()) == ["u1", "u2", "u3"]


async def test_the_simulated_klaviyo_refuses_a_batch_for_one_bad_address_and_blames_it(
    session: aiohttp.ClientSession,
) -> None:
    async with serving(create_app()) as url:
        client = KlaviyoClient(session, base_url=url, key=DEFAULT_KEY)
        [batch] = compose([call("u1"), call("u2", email="nobody"), call("u3")])
        outcome = await client.create_events(batch)
    assert isinstance(outcome, Refused)
    assert outcome.pointer == "/data/attributes/events-bulk-create/data/1/attributes/email"


async def test_the_simulated_klaviyo_locks_out_a_key_without_the_scope(session: aiohttp.ClientSession) -> None:
    async with serving(create_app(KlaviyoOptions(keys={KEY: frozenset({"accounts:read"})}))) as url:
        client = KlaviyoClient(session, base_url=url, key=KEY)
        assert isinstance(await client.account(), Accepted)
        assert isinstance(await client.create_event(call()), LockedOut)
