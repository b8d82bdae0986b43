"""Outbound webhooks: registration, signatures, retries, duplicates, reordering, disabling."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.kustomer_sandbox import KustomerSandbox, WebhookReceiver

OpenSandbox = Callable[..., Awaitable[KustomerSandbox]]

CUSTOMER_CREATE = ("kustomer.customer.create",)


async def test_there_are_twelve_events_to_subscribe_to(sandbox: KustomerSandbox) -> None:
    events = (await sandbox.get("/v1/outbound-webhooks/events"))["events"]
    assert len(events) == len(set(events)) == 12
    assert {"kustomer.conversation.update", "kustomer.tag.create"} <= set(events)


async def test_a_webhook_is_returned_with_its_token_until_it_is_deleted(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    webhook = await sandbox.register_webhook(receiver.url, headers=[{"name": "X-Custom", "value": "blue"}])
    path = f"/v1/outbound-webhooks/{webhook['id']}"
    assert len(webhook["attributes"]["token"]) >= 32
    assert (await sandbox.get(path))["data"] == webhook
    assert (await sandbox.get("/v1/outbound-webhooks"))["data"] == [webhook]
    assert (await sandbox.request("DELETE", path)).status == 204
    assert (await sandbox.request("GET", path)).status == 404


async def test_a_sixth_webhook_is_refused(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    webhooks = [await sandbox.register_webhook(receiver.url) for _ in range(5)]
    body = {"name": "test", "url": receiver.url, "events": list(CUSTOMER_CREATE)}
    assert (await sandbox.request("POST", "/v1/outbound-webhooks", body)).status == 422
    await sandbox.request("DELETE", f"/v1/outbound-webhooks/{webhooks[0]['id']}")
    assert (await sandbox.request("POST", "/v1/outbound-webhooks", body)).status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"url": "ftp://lanternpost.example"},
        {"url": "https://lanternpost.example/" + "a" * 255},
        {"events": []},
        {"events": ["kustomer.conversation.delete"]},
        {"enabled": "yes"},
        {"headers": ["X-Custom"]},
    ],
)
async def test_an_invalid_webhook_gets_400(sandbox: KustomerSandbox, change: dict[str, Any]) -> None:
    body = {"name": "test", "url": "https://lanternpost.example/webhook", "events": list(CUSTOMER_CREATE)} | change
    assert (await sandbox.request("POST", "/v1/outbound-webhooks", body)).status == 400


async def test_plain_http_is_rejected_without_allow_http(open_sandbox: OpenSandbox) -> None:
    sandbox = await open_sandbox(allow_http=False)
    body = {"name": "test", "url": "http://lanternpost.example/webhook", "events": list(CUSTOMER_CREATE)}
    assert (await sandbox.request("POST", "/v1/outbound-webhooks", body)).error["source"]["parameter"] == "url"


async def test_a_delivery_has_a_signature_the_event_name_and_custom_headers(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    webhook = await sandbox.register_webhook(receiver.url, headers=[{"name": "X-Custom", "value": "blue"}])
    customer = await sandbox.create_customer(name="Ada Byrne")
    await sandbox.wait_until_delivered()
    [received] = receiver.received
    assert received.is_signed_with(webhook["attributes"]["token"])
    assert not received.is_signed_with("another token")
    assert received.headers["X-Kustomer-Webhook-Event"] == received.event["name"] == "kustomer.customer.create"
    assert (received.headers["X-Custom"], received.headers["Content-Type"]) == ("blue", "application/json")
    assert received.event["data"] == customer


async def test_only_subscribed_events_are_sent(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    await sandbox.register_webhook(receiver.url, events=CUSTOMER_CREATE)
    await sandbox.create_conversation(channel="email")
    await sandbox.wait_until_delivered()
    assert [received.event["name"] for received in receiver.received] == ["kustomer.customer.create"]


async def test_an_envelope_has_the_recorded_fields(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    await sandbox.register_webhook(receiver.url)
    conversation = await sandbox.create_conversation(subject="Return label")
    for _ in range(30):
        await sandbox.act(conversation, "background-update")
    await sandbox.wait_until_delivered()
    [created], updated = receiver.events_named("conversation.create"), receiver.events_named("conversation.update")
    assert "changes" not in created
    for event in (created, *updated):
        assert event["org"] == event["partition"] == event["data"]["relationships"]["org"]["data"]["id"]
        assert event["dataId"] == event["data"]["id"] == conversation["id"]
        assert len(event["id"]) == 24
        assert event["createdAt"] > event["data"]["attributes"]["updatedAt"]
        assert {"persist", "meta", "snsFilters"} <= event.keys()
    assert {event.get("orgName") for event in updated} == {None, "sandbox"}
    assert len({event["client"] for event in updated}) > 1
    assert len({event["id"] for event in updated}) == 30


async def test_an_update_has_each_changed_attribute_before_and_after(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    await sandbox.register_webhook(receiver.url)
    conversation = await sandbox.create_conversation()
    await sandbox.act(conversation, "done")
    await sandbox.wait_until_delivered()
    [update] = receiver.updates_of("conversation.update", "status")
    changes = update["changes"]["attributes"]
    assert changes["status"] == {"op": "replace", "before": "open", "after": "done"}
    assert changes["doneCount"] == {"op": "replace", "before": 0, "after": 1}
    assert changes["rev"] == {"op": "replace", "before": 1, "after": 2}
    assert changes["lastDone"]["after"] == update["data"]["attributes"]["lastDone"]
    assert "createdAt" not in changes["lastDone"]["before"]
    assert "messageCount" not in changes


async def test_a_late_event_has_the_state_of_its_time(open_sandbox: OpenSandbox, receiver: WebhookReceiver) -> None:
    sandbox = await open_sandbox(reorder_probability=1.0)
    await sandbox.register_webhook(receiver.url)
    customer = await sandbox.create_customer(name="Ada Byrne")
    await sandbox.request("PUT", f"/v1/customers/{customer['id']}", {"name": "Ada Ito"})
    await sandbox.wait_until_delivered()
    [created], [updated] = receiver.events_named("customer.create"), receiver.events_named("customer.update")
    assert created["data"]["attributes"]["name"] == "Ada Byrne"
    assert updated["changes"]["attributes"]["name"] == {"op": "replace", "before": "Ada Byrne", "after": "Ada Ito"}


async def test_a_delivery_that_failed_twice_is_sent_a_third_time_unchanged(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    receiver.statuses = [500, 302]
    await sandbox.register_webhook(receiver.url)
    await sandbox.create_customer()
    counts = await sandbox.wait_until_delivered()
    assert len(receiver.received) == 3
    assert len({received.body for received in receiver.received}) == 1
    assert counts == {"sent": 3, "acknowledged": 1, "failed_attempts": 2, "lost": 0, "pending": 0}


async def test_after_the_seventh_retry_the_webhook_is_disabled_and_events_are_lost(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    receiver.default_status = 503
    webhook = await sandbox.register_webhook(receiver.url, events=CUSTOMER_CREATE)
    path = f"/v1/outbound-webhooks/{webhook['id']}"
    await sandbox.create_customer()
    assert await sandbox.wait_until_delivered() == {
        "sent": 8, "acknowledged": 0, "failed_attempts": 8, "lost": 1, "pending": 0,
    }  # fmt: skip
    assert (await sandbox.get(path))["data"]["attributes"]["enabled"] is False
    receiver.default_status = 200
    await sandbox.create_customer()
    assert ((await sandbox.wait_until_delivered())["lost"], len(receiver.received)) == (2, 8)
    enabled = (await sandbox.request("PUT", path, {"enabled": True})).data["attributes"]
    assert (enabled["enabled"], enabled["token"]) == (True, webhook["attributes"]["token"])
    await sandbox.create_customer()
    assert ((await sandbox.wait_until_delivered())["acknowledged"], len(receiver.received)) == (1, 9)


async def test_a_webhook_is_disabled_after_the_configured_number_of_failures(
    open_sandbox: OpenSandbox, receiver: WebhookReceiver
) -> None:
    sandbox = await open_sandbox(disable_after_failures=2)
    receiver.default_status = 503
    webhook = await sandbox.register_webhook(receiver.url, events=CUSTOMER_CREATE)
    enabled = []
    for _ in range(2):
        await sandbox.create_customer()
        await sandbox.wait_until_delivered()
        enabled.append((await sandbox.get(f"/v1/outbound-webhooks/{webhook['id']}"))["data"]["attributes"]["enabled"])
    assert enabled == [True, False]


async def test_a_deleted_webhook_is_not_retried(open_sandbox: OpenSandbox, receiver: WebhookReceiver) -> None:
    sandbox = await open_sandbox(retry_scale=0.002)
    receiver.default_status = 503
    webhook = await sandbox.register_webhook(receiver.url)
    await sandbox.create_customer()
    while not receiver.received:
        await asyncio.sleep(0.005)
    await sandbox.request("DELETE", f"/v1/outbound-webhooks/{webhook['id']}")
    counts = await sandbox.wait_until_delivered()
    assert (counts["lost"], counts["sent"]) == (1, len(receiver.received))
    assert len(receiver.received) < 8


async def test_an_unreachable_url_is_retried_until_the_webhook_is_disabled(sandbox: KustomerSandbox) -> None:
    webhook = await sandbox.register_webhook("http://127.0.0.1:9/webhook")
    await sandbox.create_customer()
    assert (await sandbox.wait_until_delivered())["failed_attempts"] == 8
    assert (await sandbox.get(f"/v1/outbound-webhooks/{webhook['id']}"))["data"]["attributes"]["enabled"] is False


async def test_duplicates_have_the_same_event_id(open_sandbox: OpenSandbox, receiver: WebhookReceiver) -> None:
    sandbox = await open_sandbox(duplicate_probability=0.5)
    await sandbox.register_webhook(receiver.url)
    for _ in range(40):
        await sandbox.create_customer()
    await sandbox.wait_until_delivered()
    ids = [received.event["id"] for received in receiver.received]
    assert len(set(ids)) == 40
    assert 40 < len(ids) < 80


async def test_reordered_webhooks_arrive_after_later_ones(open_sandbox: OpenSandbox, receiver: WebhookReceiver) -> None:
    sandbox = await open_sandbox(reorder_probability=0.3)
    await sandbox.register_webhook(receiver.url)
    customer = await sandbox.create_customer()
    for number in range(40):
        await sandbox.request("PUT", f"/v1/customers/{customer['id']}", {"username": str(number)})
    await sandbox.wait_until_delivered()
    revisions = [event["data"]["attributes"]["rev"] for event in receiver.events_named("customer.update")]
    assert sorted(revisions) == list(range(2, 42))
    assert revisions != sorted(revisions)


async def test_a_receiver_that_never_responds_does_not_block_the_api(open_sandbox: OpenSandbox) -> None:
    async def never_respond(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    sandbox = await open_sandbox(webhook_timeout=0.05)
    silent = await asyncio.start_server(never_respond, "127.0.0.1", 0)
    async with silent:
        await sandbox.register_webhook(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/webhook")
        customers = [(await sandbox.create_customer())["id"] for _ in range(5)]
        assert [customer["id"] for customer in (await sandbox.get("/v1/customers"))["data"]] == customers
        counts = await sandbox.wait_until_delivered()
    assert (counts["acknowledged"], counts["lost"]) == (0, 5)


async def test_corrupted_bodies_have_valid_signatures(sandbox: KustomerSandbox, receiver: WebhookReceiver) -> None:
    webhook = await sandbox.register_webhook(receiver.url, events=CUSTOMER_CREATE)
    for corruption in ("lone_surrogate", "truncated", "empty", None):
        await sandbox.perform("corrupt-webhooks", corruption=corruption)
        await sandbox.create_customer(name="Ada Byrne")
        await sandbox.wait_until_delivered()
    half, cut, empty, whole = receiver.received
    assert all(received.is_signed_with(webhook["attributes"]["token"]) for received in receiver.received)
    assert b'"half an emoji \\ud83d"' in half.body
    assert not cut.body.endswith(b"}")
    assert empty.body == b""
    assert whole.event["name"] == "kustomer.customer.create"
    assert (await sandbox.request("POST", "/sandbox/corrupt-webhooks", {"corruption": "nicely"})).status == 400


async def test_a_response_is_corrupted_by_a_fault(sandbox: KustomerSandbox) -> None:
    customer = await sandbox.create_customer(name="Ada Byrne")
    await sandbox.perform("faults", kind="corrupt", corruption="null", path="/v1/customers", times=1)
    assert (await sandbox.request("GET", f"/v1/customers/{customer['id']}")).body is None
    assert (await sandbox.get(f"/v1/customers/{customer['id']}"))["data"]["id"] == customer["id"]
