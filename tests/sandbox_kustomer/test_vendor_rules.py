"""The simulated Kustomer keeps the vendor's rules, seen over a real socket."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY, KustomerOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving
from patience import until

ALL = ("kustomer.conversation.create", "kustomer.conversation.update")
AUTH = {"Authorization": f"Bearer {DEFAULT_KEY}"}


class Receiver:
    """Takes webhooks; refuses the first so many."""

    def __init__(self, refuse: int = 0) -> None:
        self.refuse = refuse
        self.taken: list[tuple[bytes, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Take one."""
        self.taken.append((await request.read(), request.headers["X-Kustomer-Webhook-Signature"]))
        return web.Response(status=500 if len(self.taken) <= self.refuse else 204)


@asynccontextmanager
async def organisation(receiver: Receiver, **options: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str, str]]:
    """Run an organisation whose webhook goes to the receiver; yields a session, its address and the webhook's token."""
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    kustomer = create_app(KustomerOptions(retry_scale=0.0005, noise=0, **options))
    async with serving(app) as hook, serving(kustomer) as base, aiohttp.ClientSession(base) as session:
        wanted = {"name": "test", "url": f"{hook}/hook", "events": list(ALL)}
        async with session.post("/v1/outbound-webhooks", json=wanted, headers=AUTH) as response:
            made = await response.json()
        yield session, base, made["data"]["attributes"]["token"]


async def begin(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.post("/sandbox/customers", json={"email": "ada@lanternpost.example"}) as response:
        customer = await response.json()
    begun = {"customer": customer["id"], "subject": "Hi"}
    async with session.post("/sandbox/conversations", json=begun) as response:
        conversation: dict[str, Any] = await response.json()
        return conversation


async def state(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.get("/sandbox/state") as response:
        found: dict[str, Any] = await response.json()
        return found


async def until_settled(session: aiohttp.ClientSession) -> dict[str, Any]:
    async def is_settled() -> bool:
        return not (await state(session))["deliveries"].get("pending", 0)

    await until(is_settled, "no delivery is under way")
    return await state(session)


async def test_a_webhook_is_signed_over_its_raw_body() -> None:
    receiver = Receiver()
    async with organisation(receiver) as (session, _, token):
        conversation = await begin(session)
        await until_settled(session)
    [(body, signature)] = receiver.taken
    assert signature == hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
    assert msgspec.json.decode(body)["data"]["id"] == conversation["id"]


async def test_a_refused_webhook_comes_again_with_the_same_id_and_body() -> None:
    receiver = Receiver(refuse=2)
    async with organisation(receiver) as (session, _, _token):
        await begin(session)
        await until_settled(session)
    assert len({body for body, _ in receiver.taken}) == 1
    assert len(receiver.taken) == 3


async def test_after_the_last_retry_the_event_is_lost_and_the_webhook_switched_off() -> None:
    receiver = Receiver(refuse=100)
    async with organisation(receiver) as (session, _, _token):
        await begin(session)
        settled = await until_settled(session)
        assert [hook["enabled"] for hook in settled["webhooks"]] == [False]
        assert settled["deliveries"]["lost"] == 1
    assert len(receiver.taken) == 8


async def test_duplicates_are_sent_when_asked_for() -> None:
    receiver = Receiver()
    async with organisation(receiver, duplicate_probability=1.0) as (session, _, _token):
        await begin(session)
        await until_settled(session)
    assert len(receiver.taken) == 2


async def test_done_stays_written_after_a_customers_message_reopened_the_conversation() -> None:
    async with organisation(Receiver()) as (session, _, _token):
        one = (await begin(session))["id"]
        await session.post(f"/sandbox/conversations/{one}/done")
        await session.post(f"/sandbox/conversations/{one}/message", json={"from": "customer"})
        async with session.get(f"/v1/conversations/{one}", headers=AUTH) as response:
            attributes = (await response.json())["data"]["attributes"]
    assert attributes["status"] == "open"
    assert "createdAt" in attributes["lastDone"]


async def test_without_the_key_it_is_401_and_what_is_not_there_is_404_in_the_vendors_envelope() -> None:
    async with organisation(Receiver()) as (session, _, _token):
        async with session.get("/v1/orgs/current") as response:
            assert response.status == 401
        async with session.get("/v1/customers/externalId=9", headers=AUTH) as response:
            assert response.status == 404
            assert (await response.json())["errors"] == [
                {"status": 404, "code": "notfound", "title": "Not Found", "source": {"parameter": "externalId"}}
            ]
            assert response.headers["X-Kustomer-Pod"] == "prod1"


async def test_beyond_the_limit_it_is_429_with_the_moment_it_ends() -> None:
    async with organisation(Receiver(), rate_limit=3, clock=lambda: 1_800_000_000.0) as (session, _, _token):
        statuses = []
        for _ in range(4):
            async with session.get("/v1/orgs/current", headers=AUTH) as response:
                statuses.append(response.status)
        assert statuses == [200, 200, 429, 429]
        assert response.headers["x-ratelimit-reset"] == "1800000060"


async def test_a_search_finds_pages_and_refuses_unknown_fields() -> None:
    async with organisation(Receiver()) as (session, _, _token):
        for number in range(3):
            await session.post("/sandbox/customers", json={"email": f"p{number}@lanternpost.example"})
        path = "/v1/customers/search?page=1&pageSize=2"
        wanted: dict[str, Any] = {"and": [{"customer_email": {"contains": "lanternpost"}}]}
        async with session.post(path, json=wanted, headers=AUTH) as response:
            found = await response.json()
        assert (len(found["data"]), found["meta"]["total"]) == (2, 3)
        assert found["links"]["next"] is not None
        async with session.post(path, json={"and": [{"nonsense": {"equals": 1}}]}, headers=AUTH) as response:
            assert response.status == 400


async def test_masked_values_are_shown_to_a_key_that_may_not_read_them() -> None:
    async with organisation(Receiver(), masked=True) as (session, _, _token):
        async with session.post("/sandbox/customers", json={"email": "ada@lanternpost.example", "name": "Ada"}) as made:
            one = (await made.json())["id"]
        async with session.get(f"/v1/customers/{one}", headers=AUTH) as response:
            attributes = (await response.json())["data"]["attributes"]
    assert attributes["name"] == "********"
    assert attributes["emails"][0]["email"] == "********"


async def test_what_really_happened_in_a_seeded_day_is_the_same_each_time() -> None:
    kinds = []
    for _ in range(2):
        async with organisation(Receiver()) as (session, _, _token):
            await session.post("/sandbox/play", json={"customers": 5, "conversations": 20, "seed": 7})
            while (await (await session.get("/sandbox/play")).json())["running"]:
                await asyncio.sleep(0.05)
            async with session.get("/sandbox/expected") as response:
                kinds.append([(fact["kind"], fact["email"], fact["rating"]) for fact in await response.json()])
    assert kinds[0] == kinds[1]
    assert {kind for kind, _, _ in kinds[0]} == {"created", "done", "csat"}
