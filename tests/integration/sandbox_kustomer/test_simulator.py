"""Simulations: reproducible by seed, mixed, with matching expected events."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.kustomer_sandbox import KustomerSandbox, WebhookReceiver

OpenSandbox = Callable[..., Awaitable[KustomerSandbox]]


async def simulate(sandbox: KustomerSandbox, **scenario: Any) -> list[dict[str, Any]]:
    await sandbox.perform("simulation", **scenario)
    await sandbox.wait_until_simulated()
    return await sandbox.expected_events()


def without_times_and_ids(events: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Return everything about the events but their times and ids."""
    names = ("kind", "email", "phone", "subject", "channel", "rating", "score", "spam", "imported")
    return [tuple(event[name] for name in names) for event in events]


async def test_the_same_seed_gives_the_same_events(open_sandbox: OpenSandbox) -> None:
    runs = []
    for seed in (7, 7, 8):
        sandbox = await open_sandbox(background_updates=2)
        events = await simulate(sandbox, customers=10, conversations=40, seed=seed)
        runs.append(without_times_and_ids(events))
    assert runs[0] == runs[1] != runs[2]


async def test_a_scenario_can_run_twice_in_one_organisation(sandbox: KustomerSandbox) -> None:
    for _ in range(2):
        await simulate(sandbox, customers=5, conversations=5, seed=3)
    assert (await sandbox.get("/sandbox/state"))["customers"] == 10
    progress = await sandbox.get("/sandbox/simulation")
    assert (progress["running"], progress["completed"], progress["total"]) == (False, 20, 20)


async def test_webhooks_show_exactly_the_expected_events(open_sandbox: OpenSandbox, receiver: WebhookReceiver) -> None:
    sandbox = await open_sandbox(background_updates=1, duplicate_probability=0.1, reorder_probability=0.1)
    webhook = await sandbox.register_webhook(receiver.url)
    events = await simulate(sandbox, customers=20, conversations=80, seed=5)
    await sandbox.wait_until_delivered()
    assert all(received.is_signed_with(webhook["attributes"]["token"]) for received in receiver.received)
    assert events_in_webhooks(receiver) == {
        (event["kind"], event["conversation"], event["occurred_at"]) for event in events
    }
    assert len(events_in_webhooks(receiver)) == len(events)


def events_in_webhooks(receiver: WebhookReceiver) -> set[tuple[str, str, str]]:
    """Return the events that webhooks show: created, done, and the first rating of each survey."""
    events = {received.event["id"]: received.event for received in receiver.received}.values()
    shown: set[tuple[str, str, str]] = set()
    ratings: dict[tuple[str, str], str] = {}
    for event in events:
        if event["data"]["type"] != "conversation":
            continue
        attributes, conversation = event["data"]["attributes"], event["data"]["id"]
        shown.add(("created", conversation, attributes["createdAt"]))
        if "createdAt" in attributes["lastDone"]:
            shown.add(("done", conversation, attributes["lastDone"]["createdAt"]))
        level = attributes["satisfactionLevel"]
        if level.get("status") == "rated":
            ratings[conversation, level["formResponse"]] = level["updatedAt"]
    return shown | {("csat", conversation, rated_at) for (conversation, _), rated_at in ratings.items()}


async def test_most_webhooks_are_background_updates(open_sandbox: OpenSandbox, receiver: WebhookReceiver) -> None:
    sandbox = await open_sandbox(background_updates=3)
    await sandbox.register_webhook(receiver.url)
    events = await simulate(sandbox, customers=20, conversations=60, seed=2)
    counts = await sandbox.wait_until_delivered()
    assert counts["acknowledged"] == len(receiver.received) > 9 * len(events)
    assert len(Counter(received.event["name"] for received in receiver.received)) == 6


async def test_a_simulation_has_every_kind_of_customer_and_conversation(sandbox: KustomerSandbox) -> None:
    events = await simulate(sandbox, customers=150, conversations=400, seed=11)
    kinds = Counter(event["kind"] for event in events)
    done_counts = Counter(event["conversation"] for event in events if event["kind"] == "done")
    csat_counts = Counter(event["conversation"] for event in events if event["kind"] == "csat")
    assert kinds["created"] == 400
    assert 250 < kinds["done"] < 600
    assert {1, 2} <= set(done_counts.values())
    assert {1, 2} == set(csat_counts.values())
    assert {event["channel"] for event in events} >= {"email", "chat", "sms", "whatsapp", "voice"}
    assert {event["rating"] for event in events} >= {1, 2, 3, 4, 5}
    assert 0 < sum(event["spam"] for event in events) < len(events) / 10
    contacts = {event["customer"]: (event["email"], event["phone"]) for event in events}.values()
    assert {(email is None, phone is None) for email, phone in contacts} == {
        (False, False),  # most customers
        (True, False),  # phone only
        (False, True),  # identified at the end, by email
    }
    assert all(email is None or email.endswith(".example") for email, _ in contacts)


async def test_some_customers_have_a_verified_second_address_and_some_share_one(sandbox: KustomerSandbox) -> None:
    await simulate(sandbox, customers=90, conversations=0, seed=4)
    customers = [customer["attributes"] for customer in (await sandbox.get("/v1/customers"))["data"]]
    verified = [[entry["verified"] for entry in customer["emails"]] for customer in customers]
    assert [False, True] in verified
    assert any(customer["sharedEmails"] for customer in customers)


async def test_the_scenario_sets_the_mix(sandbox: KustomerSandbox) -> None:
    events = await simulate(sandbox, conversations=20, created_done=1.0, imported=1.0, spam=1.0)
    assert Counter(event["kind"] for event in events) == {"created": 20, "done": 20}
    assert all(event["spam"] and event["imported"] for event in events)


async def test_a_reset_stops_the_simulation_and_removes_all_data(
    sandbox: KustomerSandbox, receiver: WebhookReceiver
) -> None:
    await sandbox.register_webhook(receiver.url)
    await sandbox.perform("simulation", customers=5, conversations=100_000)
    while not receiver.received:
        await sandbox.get("/sandbox/simulation")
    await sandbox.perform("reset")
    state = await sandbox.get("/sandbox/state")
    assert (state["customers"], state["conversations"], state["webhooks"]) == (0, 0, [])
    assert (await sandbox.get("/sandbox/simulation"))["running"] is False
    assert await sandbox.expected_events() == []
    assert len(await simulate(sandbox, customers=5, conversations=1, seed=1)) > 0


@pytest.mark.parametrize("rate", [0.0, 5_000.0])
async def test_progress_ends_at_the_total(sandbox: KustomerSandbox, rate: float) -> None:
    await sandbox.perform("simulation", customers=3, conversations=10, rate=rate)
    progress = await sandbox.wait_until_simulated()
    assert progress["completed"] == progress["total"] == 13
    assert progress["actions"] > 13


async def test_requests_are_counted_by_route(sandbox: KustomerSandbox) -> None:
    await sandbox.get("/v1/customers")
    await sandbox.request("GET", "/v1/customers/000000000000000000000000")
    state = await sandbox.get("/sandbox/state")
    assert state["requests"] == {"GET /v1/customers": 1, "GET /v1/customers/{id}": 1}
    assert state["responses"] == {"200": 1, "404": 1}
