"""A support team's day: the same for a seed, noisy, of every kind, and told truthfully."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from kustomer_desk import Desk, Receiver

Open = Callable[..., Awaitable[Desk]]


async def played(desk: Desk, **script: Any) -> list[dict[str, Any]]:
    await desk.do("play", **script)
    await desk.until_played()
    return await desk.expected()


def gist(facts: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """Everything about the facts but their times and ids."""
    names = ("kind", "email", "phone", "subject", "channel", "rating", "score", "spam", "imported")
    return [tuple(fact[name] for name in names) for fact in facts]


async def test_the_same_seed_is_the_same_day_and_another_seed_is_another(open_desk: Open) -> None:
    days = [
        gist(await played(await open_desk(noise=2), customers=10, conversations=40, seed=seed)) for seed in (7, 7, 8)
    ]
    assert days[0] == days[1] != days[2]


async def test_a_day_can_be_played_twice_in_one_organisation(desk: Desk) -> None:
    for _ in range(2):
        await played(desk, customers=5, conversations=5, seed=3)
    assert (await desk.get("/sandbox/state"))["customers"] == 10
    play = await desk.get("/sandbox/play")
    assert (play["running"], play["done"], play["of"]) == (False, 20, 20)


async def test_what_is_expected_is_what_the_conversations_and_webhooks_show(
    open_desk: Open, receiver: Receiver
) -> None:
    desk = await open_desk(noise=1, duplicate_probability=0.1, reorder_probability=0.1)
    hook = await desk.register(receiver.url)
    facts = await played(desk, customers=20, conversations=80, seed=5)
    await desk.until_delivered()
    assert all(got.is_signed_with(hook["attributes"]["token"]) for got in receiver.received)
    assert told(receiver) == {(fact["kind"], fact["conversation"], fact["at"]) for fact in facts}
    assert len(told(receiver)) == len(facts)


def told(receiver: Receiver) -> set[tuple[str, str, str]]:
    """Everything the webhooks told: creations, closings, and the first rating of each survey."""
    events = {got.event["id"]: got.event for got in receiver.received}.values()
    found: set[tuple[str, str, str]] = set()
    ratings: dict[tuple[str, str], str] = {}
    for event in (one for one in events if one["data"]["type"] == "conversation"):
        attributes, conversation = event["data"]["attributes"], event["data"]["id"]
        found.add(("created", conversation, attributes["createdAt"]))
        if "createdAt" in attributes["lastDone"]:
            found.add(("done", conversation, attributes["lastDone"]["createdAt"]))
        level = attributes["satisfactionLevel"]
        if level.get("status") == "rated":
            ratings[conversation, level["formResponse"]] = level["updatedAt"]
    return found | {("csat", conversation, at) for (conversation, _), at in ratings.items()}


async def test_most_webhooks_tell_nothing_new(open_desk: Open, receiver: Receiver) -> None:
    desk = await open_desk(noise=3)
    await desk.register(receiver.url)
    facts = await played(desk, customers=20, conversations=60, seed=2)
    counts = await desk.until_delivered()
    assert counts["acknowledged"] == len(receiver.received) > 9 * len(facts)
    assert len(Counter(got.event["name"] for got in receiver.received)) == 6


async def test_a_day_has_every_kind_of_customer_and_conversation(desk: Desk) -> None:
    facts = await played(desk, customers=150, conversations=400, seed=11)
    kinds = Counter(fact["kind"] for fact in facts)
    closings = Counter(fact["conversation"] for fact in facts if fact["kind"] == "done")
    answers = Counter(fact["conversation"] for fact in facts if fact["kind"] == "csat")
    assert kinds["created"] == 400
    assert 250 < kinds["done"] < 600
    assert {1, 2} <= set(closings.values())
    assert {1, 2} == set(answers.values())
    assert {fact["channel"] for fact in facts} >= {"email", "chat", "sms", "whatsapp", "voice"}
    assert {fact["rating"] for fact in facts} >= {1, 2, 3, 4, 5}
    assert 0 < sum(fact["spam"] for fact in facts) < len(facts) / 10
    people = {fact["customer"]: (fact["email"], fact["phone"]) for fact in facts}.values()
    assert {(email is None, phone is None) for email, phone in people} == {
        (False, False),  # most people
        (True, False),  # known by phone only
        (False, True),  # the nameless, who told who they are at last
    }
    assert all(email is None or email.endswith(".example") for email, _ in people)


async def test_some_customers_have_a_verified_second_address_and_some_share_one(desk: Desk) -> None:
    await played(desk, customers=90, conversations=0, seed=4)
    customers = [one["attributes"] for one in (await desk.get("/v1/customers"))["data"]]
    verified = [[entry["verified"] for entry in one["emails"]] for one in customers]
    assert [False, True] in verified
    assert any(one["sharedEmails"] for one in customers)


async def test_the_mix_can_be_chosen(desk: Desk) -> None:
    facts = await played(desk, conversations=20, created_done=1.0, imported=1.0, spam=1.0)
    assert Counter(fact["kind"] for fact in facts) == {"created": 20, "done": 20}
    assert all(fact["spam"] and fact["imported"] for fact in facts)


async def test_a_reset_ends_the_play_and_forgets_everything(desk: Desk, receiver: Receiver) -> None:
    await desk.register(receiver.url)
    await desk.do("play", customers=5, conversations=100_000)
    while not receiver.received:
        await desk.get("/sandbox/play")
    await desk.do("reset")
    state = await desk.get("/sandbox/state")
    assert (state["customers"], state["conversations"], state["webhooks"]) == (0, 0, [])
    assert (await desk.get("/sandbox/play"))["running"] is False
    assert await desk.expected() == []
    assert len(await played(desk, customers=5, conversations=1, seed=1)) > 0


@pytest.mark.parametrize("rate", [0.0, 5_000.0])
async def test_progress_is_told_to_the_end(desk: Desk, rate: float) -> None:
    await desk.do("play", customers=3, conversations=10, rate=rate)
    play = await desk.until_played()
    assert play["done"] == play["of"] == 13
    assert play["actions"] > 13


async def test_requests_are_counted_by_route(desk: Desk) -> None:
    await desk.get("/v1/customers")
    await desk.ask("GET", "/v1/customers/000000000000000000000000")
    state = await desk.get("/sandbox/state")
    assert state["requests"] == {"GET /v1/customers": 1, "GET /v1/customers/{id}": 1}
    assert state["answers"] == {"200": 1, "404": 1}
