"""Outbound webhooks: registered, signed, retried, doubled, reordered, switched off."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kustomer_desk import Desk, Receiver

Open = Callable[..., Awaitable[Desk]]

ONLY_NEW_CUSTOMERS = ("kustomer.customer.create",)


async def test_there_are_twelve_events_to_subscribe_to(desk: Desk) -> None:
    events = (await desk.get("/v1/outbound-webhooks/events"))["events"]
    assert len(events) == len(set(events)) == 12
    assert {"kustomer.conversation.update", "kustomer.tag.create"} <= set(events)


async def test_a_webhook_is_read_back_with_its_token_and_goes_when_deleted(desk: Desk, receiver: Receiver) -> None:
    hook = await desk.register(receiver.url, headers=[{"name": "X-House", "value": "blue"}])
    path = f"/v1/outbound-webhooks/{hook['id']}"
    assert len(hook["attributes"]["token"]) >= 32
    assert (await desk.get(path))["data"] == hook
    assert (await desk.get("/v1/outbound-webhooks"))["data"] == [hook]
    assert (await desk.ask("DELETE", path)).status == 204
    assert (await desk.ask("GET", path)).status == 404


async def test_a_sixth_webhook_is_refused(desk: Desk, receiver: Receiver) -> None:
    hooks = [await desk.register(receiver.url) for _ in range(5)]
    body = {"name": "house", "url": receiver.url, "events": list(ONLY_NEW_CUSTOMERS)}
    assert (await desk.ask("POST", "/v1/outbound-webhooks", body)).status == 422
    await desk.ask("DELETE", f"/v1/outbound-webhooks/{hooks[0]['id']}")
    assert (await desk.ask("POST", "/v1/outbound-webhooks", body)).status == 201


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"url": "ftp://lanternpost.example"},
        {"url": "https://lanternpost.example/" + "a" * 255},
        {"events": []},
        {"events": ["kustomer.conversation.delete"]},
        {"enabled": "yes"},
        {"headers": ["X-House"]},
    ],
)
async def test_a_webhook_that_makes_no_sense_is_refused(desk: Desk, change: dict[str, Any]) -> None:
    body = {"name": "house", "url": "https://lanternpost.example/hook", "events": list(ONLY_NEW_CUSTOMERS)} | change
    assert (await desk.ask("POST", "/v1/outbound-webhooks", body)).status == 400


async def test_plain_http_is_refused_where_the_sandbox_is_as_strict_as_the_real_one(open_desk: Open) -> None:
    desk = await open_desk(allow_http=False)
    body = {"name": "house", "url": "http://lanternpost.example/hook", "events": list(ONLY_NEW_CUSTOMERS)}
    assert (await desk.ask("POST", "/v1/outbound-webhooks", body)).error["source"]["parameter"] == "url"


async def test_a_delivery_is_signed_names_its_event_and_carries_the_custom_headers(
    desk: Desk, receiver: Receiver
) -> None:
    hook = await desk.register(receiver.url, headers=[{"name": "X-House", "value": "blue"}])
    customer = await desk.customer(name="Ada Byrne")
    await desk.until_delivered()
    [got] = receiver.received
    assert got.is_signed_with(hook["attributes"]["token"])
    assert not got.is_signed_with("another token")
    assert got.headers["X-Kustomer-Webhook-Event"] == got.event["name"] == "kustomer.customer.create"
    assert (got.headers["X-House"], got.headers["Content-Type"]) == ("blue", "application/json")
    assert got.event["data"] == customer


async def test_only_wanted_events_come(desk: Desk, receiver: Receiver) -> None:
    await desk.register(receiver.url, events=ONLY_NEW_CUSTOMERS)
    await desk.conversation(channel="email")
    await desk.until_delivered()
    assert [got.event["name"] for got in receiver.received] == ["kustomer.customer.create"]


async def test_an_envelope_has_the_shape_of_recorded_ones(desk: Desk, receiver: Receiver) -> None:
    await desk.register(receiver.url)
    conversation = await desk.conversation(subject="Return label")
    for _ in range(30):
        await desk.act(conversation, "note")
    await desk.until_delivered()
    [created], updated = receiver.named("conversation.create"), receiver.named("conversation.update")
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


async def test_an_update_tells_each_changed_attribute_before_and_after(desk: Desk, receiver: Receiver) -> None:
    await desk.register(receiver.url)
    conversation = await desk.conversation()
    await desk.act(conversation, "done")
    await desk.until_delivered()
    [closing] = receiver.changing("conversation.update", "status")
    changes = closing["changes"]["attributes"]
    assert changes["status"] == {"op": "replace", "before": "open", "after": "done"}
    assert changes["doneCount"] == {"op": "replace", "before": 0, "after": 1}
    assert changes["rev"] == {"op": "replace", "before": 1, "after": 2}
    assert changes["lastDone"]["after"] == closing["data"]["attributes"]["lastDone"]
    assert "createdAt" not in changes["lastDone"]["before"]
    assert "messageCount" not in changes


async def test_an_event_keeps_what_it_saw_however_late_it_leaves(open_desk: Open, receiver: Receiver) -> None:
    desk = await open_desk(reorder_probability=1.0)
    await desk.register(receiver.url)
    customer = await desk.customer(name="Ada Byrne")
    await desk.ask("PUT", f"/v1/customers/{customer['id']}", {"name": "Ada Ito"})
    await desk.until_delivered()
    [created], [updated] = receiver.named("customer.create"), receiver.named("customer.update")
    assert created["data"]["attributes"]["name"] == "Ada Byrne"
    assert updated["changes"]["attributes"]["name"] == {"op": "replace", "before": "Ada Byrne", "after": "Ada Ito"}


async def test_what_fails_twice_comes_a_third_time_the_same(desk: Desk, receiver: Receiver) -> None:
    receiver.statuses = [500, 302]
    await desk.register(receiver.url)
    await desk.customer()
    counts = await desk.until_delivered()
    assert len(receiver.received) == 3
    assert len({got.raw for got in receiver.received}) == 1
    assert counts == {"sent": 3, "acknowledged": 1, "failed_attempts": 2, "lost": 0, "pending": 0}


async def test_after_the_seventh_retry_the_webhook_is_off_and_events_are_lost(desk: Desk, receiver: Receiver) -> None:
    receiver.always = 503
    hook = await desk.register(receiver.url, events=ONLY_NEW_CUSTOMERS)
    path = f"/v1/outbound-webhooks/{hook['id']}"
    await desk.customer()
    assert await desk.until_delivered() == {
        "sent": 8, "acknowledged": 0, "failed_attempts": 8, "lost": 1, "pending": 0,
    }  # fmt: skip
    assert (await desk.get(path))["data"]["attributes"]["enabled"] is False
    receiver.always = 200
    await desk.customer()
    assert ((await desk.until_delivered())["lost"], len(receiver.received)) == (2, 8)
    switched_on = (await desk.ask("PUT", path, {"enabled": True})).data["attributes"]
    assert (switched_on["enabled"], switched_on["token"]) == (True, hook["attributes"]["token"])
    await desk.customer()
    assert ((await desk.until_delivered())["acknowledged"], len(receiver.received)) == (1, 9)


async def test_a_webhook_stays_on_until_as_many_deliveries_failed_as_told(open_desk: Open, receiver: Receiver) -> None:
    desk = await open_desk(disable_after_failures=2)
    receiver.always = 503
    hook = await desk.register(receiver.url, events=ONLY_NEW_CUSTOMERS)
    enabled = []
    for _ in range(2):
        await desk.customer()
        await desk.until_delivered()
        enabled.append((await desk.get(f"/v1/outbound-webhooks/{hook['id']}"))["data"]["attributes"]["enabled"])
    assert enabled == [True, False]


async def test_a_deleted_webhook_is_not_tried_again(open_desk: Open, receiver: Receiver) -> None:
    desk = await open_desk(retry_scale=0.002)
    receiver.always = 503
    hook = await desk.register(receiver.url)
    await desk.customer()
    while not receiver.received:
        await asyncio.sleep(0.005)
    await desk.ask("DELETE", f"/v1/outbound-webhooks/{hook['id']}")
    counts = await desk.until_delivered()
    assert (counts["lost"], counts["sent"]) == (1, len(receiver.received))
    assert len(receiver.received) < 8


async def test_an_address_where_nobody_listens_is_tried_until_the_webhook_is_off(desk: Desk) -> None:
    hook = await desk.register("http://127.0.0.1:9/hook")
    await desk.customer()
    assert (await desk.until_delivered())["failed_attempts"] == 8
    assert (await desk.get(f"/v1/outbound-webhooks/{hook['id']}"))["data"]["attributes"]["enabled"] is False


async def test_some_webhooks_come_twice_with_the_same_event_id(open_desk: Open, receiver: Receiver) -> None:
    desk = await open_desk(duplicate_probability=0.5)
    await desk.register(receiver.url)
    for _ in range(40):
        await desk.customer()
    await desk.until_delivered()
    ids = [got.event["id"] for got in receiver.received]
    assert len(set(ids)) == 40
    assert 40 < len(ids) < 80


async def test_some_webhooks_are_overtaken_by_later_ones(open_desk: Open, receiver: Receiver) -> None:
    desk = await open_desk(reorder_probability=0.3)
    await desk.register(receiver.url)
    customer = await desk.customer()
    for number in range(40):
        await desk.ask("PUT", f"/v1/customers/{customer['id']}", {"username": str(number)})
    await desk.until_delivered()
    revisions = [event["data"]["attributes"]["rev"] for event in receiver.named("customer.update")]
    assert sorted(revisions) == list(range(2, 42))
    assert revisions != sorted(revisions)


async def test_a_receiver_that_never_answers_does_not_hold_up_the_api(open_desk: Open) -> None:
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    desk = await open_desk(webhook_timeout=0.05)
    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        await desk.register(f"http://127.0.0.1:{silent.sockets[0].getsockname()[1]}/hook")
        customers = [(await desk.customer())["id"] for _ in range(5)]
        assert [one["id"] for one in (await desk.get("/v1/customers"))["data"]] == customers
        counts = await desk.until_delivered()
    assert (counts["acknowledged"], counts["lost"]) == (0, 5)


async def test_bodies_are_malformed_on_order_and_signed_all_the_same(desk: Desk, receiver: Receiver) -> None:
    hook = await desk.register(receiver.url, events=ONLY_NEW_CUSTOMERS)
    for kind in ("lone_surrogate", "truncated", "empty", None):
        await desk.do("malform", malform=kind)
        await desk.customer(name="Ada Byrne")
        await desk.until_delivered()
    half, cut, empty, whole = receiver.received
    assert all(got.is_signed_with(hook["attributes"]["token"]) for got in receiver.received)
    assert b'"half an emoji \\ud83d"' in half.raw
    assert not cut.raw.endswith(b"}")
    assert empty.raw == b""
    assert whole.event["name"] == "kustomer.customer.create"
    assert (await desk.ask("POST", "/sandbox/malform", {"malform": "nicely"})).status == 400


async def test_an_answer_is_malformed_on_order(desk: Desk) -> None:
    customer = await desk.customer(name="Ada Byrne")
    await desk.do("faults", kind="malform", malform="null", path="/v1/customers", times=1)
    assert (await desk.ask("GET", f"/v1/customers/{customer['id']}")).body is None
    assert (await desk.get(f"/v1/customers/{customer['id']}"))["data"]["id"] == customer["id"]
