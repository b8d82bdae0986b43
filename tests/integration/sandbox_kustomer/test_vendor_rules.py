"""The simulated Kustomer follows the vendor's rules, tested over a real socket."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY, KustomerOptions, create_app
from support.timeouts import wait_until

SUBSCRIBED_EVENTS = ("kustomer.conversation.create", "kustomer.conversation.update")
AUTH = {"Authorization": f"Bearer {DEFAULT_KEY}"}


class Receiver:
    """Receives webhooks; rejects the first ``rejections`` of them."""

    def __init__(self, rejections: int = 0) -> None:
        self.rejections = rejections
        self.received: list[tuple[bytes, str]] = []

    async def handle(self, request: web.Request) -> web.Response:
        """Store one webhook."""
        self.received.append((await request.read(), request.headers["X-Kustomer-Webhook-Signature"]))
        return web.Response(status=500 if len(self.received) <= self.rejections else 204)


@asynccontextmanager
async def organisation(receiver: Receiver, **options: Any) -> AsyncIterator[tuple[aiohttp.ClientSession, str, str]]:
    """Run an organisation with a webhook to the receiver; yields a session, its base URL and the webhook's token."""
    app = web.Application()
    app.router.add_post("/hook", receiver.handle)
    kustomer = create_app(KustomerOptions(retry_scale=0.0005, background_updates=0, **options))
    async with run_server(app) as hook, run_server(kustomer) as base, aiohttp.ClientSession(base) as session:
        webhook = {"name": "test", "url": f"{hook}/hook", "events": list(SUBSCRIBED_EVENTS)}
        async with session.post("/v1/outbound-webhooks", json=webhook, headers=AUTH) as response:
            created = await response.json()
        yield session, base, created["data"]["attributes"]["token"]


async def create_conversation(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.post("/sandbox/customers", json={"email": "ada@lanternpost.example"}) as response:
        customer = await response.json()
    fields = {"customer": customer["id"], "subject": "Hi"}
    async with session.post("/sandbox/conversations", json=fields) as response:
        conversation: dict[str, Any] = await response.json()
        return conversation


async def get_state(session: aiohttp.ClientSession) -> dict[str, Any]:
    async with session.get("/sandbox/state") as response:
        state: dict[str, Any] = await response.json()
        return state


async def wait_until_delivered(session: aiohttp.ClientSession) -> dict[str, Any]:
    async def is_delivered() -> bool:
        return not (await get_state(session))["deliveries"].get("pending", 0)

    await wait_until(is_delivered, "no delivery is pending")
    return await get_state(session)


async def test_a_webhook_has_a_signature_of_its_raw_body() -> None:
    receiver = Receiver()
    async with organisation(receiver) as (session, _, token):
        conversation = await create_conversation(session)
        await wait_until_delivered(session)
    [(body, signature)] = receiver.received
    assert signature == hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
    assert msgspec.json.decode(body)["data"]["id"] == conversation["id"]


async def test_a_rejected_webhook_is_retried_with_the_same_body() -> None:
    receiver = Receiver(rejections=2)
    async with organisation(receiver) as (session, _, _token):
        await create_conversation(session)
        await wait_until_delivered(session)
    assert len({body for body, _ in receiver.received}) == 1
    assert len(receiver.received) == 3


async def test_after_the_last_retry_the_event_is_lost_and_the_webhook_disabled() -> None:
    receiver = Receiver(rejections=100)
    async with organisation(receiver) as (session, _, _token):
        await create_conversation(session)
        state = await wait_until_delivered(session)
        assert [webhook["enabled"] for webhook in state["webhooks"]] == [False]
        assert state["deliveries"]["lost"] == 1
    assert len(receiver.received) == 8


async def test_duplicates_are_sent_when_configured() -> None:
    receiver = Receiver()
    async with organisation(receiver, duplicate_probability=1.0) as (session, _, _token):
        await create_conversation(session)
        await wait_until_delivered(session)
    assert len(receiver.received) == 2


async def test_last_done_is_kept_when_a_customer_message_reopens_a_conversation() -> None:
    async with organisation(Receiver()) as (session, _, _token):
        conversation_id = (await create_conversation(session))["id"]
        await session.post(f"/sandbox/conversations/{conversation_id}/done")
        await session.post(f"/sandbox/conversations/{conversation_id}/message", json={"from": "customer"})
        async with session.get(f"/v1/conversations/{conversation_id}", headers=AUTH) as response:
            attributes = (await response.json())["data"]["attributes"]
    assert attributes["status"] == "open"
    assert "createdAt" in attributes["lastDone"]


async def test_a_missing_key_gets_401_and_a_missing_resource_gets_404_in_the_vendors_envelope() -> None:
    async with organisation(Receiver()) as (session, _, _token):
        async with session.get("/v1/orgs/current") as response:
            assert response.status == 401
        async with session.get("/v1/customers/externalId=9", headers=AUTH) as response:
            assert response.status == 404
            assert (await response.json())["errors"] == [
                {"status": 404, "code": "notfound", "title": "Not Found", "source": {"parameter": "externalId"}}
            ]
            assert response.headers["X-Kustomer-Pod"] == "prod1"


async def test_a_request_beyond_the_limit_gets_429_with_the_reset_time() -> None:
    async with organisation(Receiver(), rate_limit=3, clock=lambda: 1_800_000_000.0) as (session, _, _token):
        statuses = []
        for _ in range(4):
            async with session.get("/v1/orgs/current", headers=AUTH) as response:
                statuses.append(response.status)
        assert statuses == [200, 200, 429, 429]
        assert response.headers["x-ratelimit-reset"] == "1800000060"


async def test_a_search_has_pages_and_rejects_unknown_fields() -> None:
    async with organisation(Receiver()) as (session, _, _token):
        for number in range(3):
            await session.post("/sandbox/customers", json={"email": f"p{number}@lanternpost.example"})
        path = "/v1/customers/search?page=1&pageSize=2"
        query: dict[str, Any] = {"and": [{"customer_email": {"contains": "lanternpost"}}]}
        async with session.post(path, json=query, headers=AUTH) as response:
            body = await response.json()
        assert (len(body["data"]), body["meta"]["total"]) == (2, 3)
        assert body["links"]["next"] is not None
        async with session.post(path, json={"and": [{"nonsense": {"equals": 1}}]}, headers=AUTH) as response:
            assert response.status == 400


async def test_a_masking_organisation_returns_masked_values() -> None:
    async with organisation(Receiver(), masked=True) as (session, _, _token):
        async with session.post(
            "/sandbox/customers", json={"email": "ada@lanternpost.example", "name": "Ada"}
        ) as response:
            customer_id = (await response.json())["id"]
        async with session.get(f"/v1/customers/{customer_id}", headers=AUTH) as response:
            attributes = (await response.json())["data"]["attributes"]
    assert attributes["name"] == "********"
    assert attributes["emails"][0]["email"] == "********"


async def test_expected_events_of_a_seed_are_always_the_same() -> None:
    runs = []
    for _ in range(2):
        async with organisation(Receiver()) as (session, _, _token):
            await session.post("/sandbox/simulation", json={"customers": 5, "conversations": 20, "seed": 7})
            while (await (await session.get("/sandbox/simulation")).json())["running"]:
                await asyncio.sleep(0.05)
            async with session.get("/sandbox/expected-events") as response:
                runs.append([(event["kind"], event["email"], event["rating"]) for event in await response.json()])
    assert runs[0] == runs[1]
    assert {kind for kind, _, _ in runs[0]} == {"created", "done", "csat"}
