"""Webhooks whose values cannot be held: the item lives on without them, with a note; no value stops another item."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from documents import CUSTOMER, conversation, customer, email, event
from doorway import Door, opened
from kustomer_klaviyo.planning.inbox_processor import understand_some

BEYOND = ("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+14:00")
NO_TIMES: tuple[Any, ...] = (*BEYOND, "9999-12-31T23:59:59.999999Z", "yesterday", 0, -1, 1e300, True, [], {}, "\ud83d")
HUGE = "x" * 900_000


@pytest.fixture
async def door(database_url: str, data_directory: Path) -> AsyncIterator[Door]:
    async with opened(database_url, data_directory) as ready:
        yield ready


async def outcomes(door: Door, bodies: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Bring webhooks, process them, and return the state and the note of each, in their order."""
    for body in bodies:
        body["id"] = uuid.uuid4().hex
        assert (await door.knock(body))[0] == 200
    await door.service.directory.read()
    joined = door.service.directory.get("acme")
    assert joined is not None
    while (await understand_some(door.home.database, joined)).events:
        pass
    found = {row["event_id"]: (row["state"], row["note"]) for row in await door.rows()}
    return [found.get(body["id"], ("", "nothing new")) for body in bodies]


def conversations(values: tuple[Any, ...], **fields: str) -> list[dict[str, Any]]:
    """Make one webhook for each value at a place (``lastDone``, ``createdAt``) of a conversation."""
    place, name = fields["place"], fields["name"]
    found = []
    for n, value in enumerate(values):
        attributes: dict[str, Any] = {place: {name: value}} if place else {name: value}
        found.append(event(conversation(conversation_id=f"{place}{name}{n}", **attributes)))
    return found


async def test_a_time_that_cannot_be_held_counts_as_missing_in_whichever_field(door: Door) -> None:
    for place, name in (
        ("", "createdAt"),
        ("", "updatedAt"),
        ("", "importedAt"),
        ("firstDone", "createdAt"),
        ("lastDone", "createdAt"),
        ("modificationHistory", "statusAt"),
        ("lastMessageIn", "createdAt"),
        ("satisfactionLevel", "updatedAt"),
        ("satisfactionLevel", "createdAt"),
        ("satisfactionLevel", "sentAt"),
    ):
        where = f"{place}.{name}".removeprefix(".")
        for state, note in await outcomes(door, conversations(NO_TIMES, place=place, name=name)):
            assert (where, state) == (where, "understood")
            assert f"{where} left out: not a time that can be held" in note


async def test_a_webhook_sent_at_a_time_that_cannot_be_held_is_told(door: Door) -> None:
    bodies = [event(conversation(conversation_id=f"c{n}", createdAt=at), createdAt=at) for n, at in enumerate(NO_TIMES)]
    assert {state for state, _ in await outcomes(door, bodies)} == {"understood"}
    rows = await door.home.database.fetch("SELECT kind FROM deliveries")
    assert [row["kind"] for row in rows] == ["opened"] * len(NO_TIMES)


async def test_a_customer_updated_at_a_time_that_cannot_be_held_is_known(door: Door) -> None:
    bodies = [
        event(customer(customer_id=f"c{n}", emails=[email(f"a{n}@lantern.example")], **{name: at}))
        for name in ("updatedAt", "createdAt", "signedUpAt")
        for n, at in enumerate(NO_TIMES)
    ]
    assert {state for state, _ in await outcomes(door, bodies)} <= {"understood", ""}
    rows = await door.home.database.fetch("SELECT customer_id FROM people WHERE email IS NOT NULL")
    assert len(rows) == len(NO_TIMES)


NO_COUNTS: tuple[Any, ...] = (2**31, 2**63, 2**80, 10**40, -1, 1.5, 1e300, True, "many", [], {}, "\ud83d")


async def test_counts_that_are_none_are_left_out_and_the_customer_is_known(door: Door) -> None:
    odd = [*({"open": one, "snoozed": 0} for one in NO_COUNTS), *NO_COUNTS]
    bodies = [
        event(customer(customer_id=f"c{n}", emails=[email(f"a{n}@lantern.example")], conversationCounts=counts))
        for n, counts in enumerate([*odd, {"open": 2**31 - 1, "snoozed": 2**31 - 1}])
    ]
    found = await outcomes(door, bodies)
    assert {state for state, _ in found} == {"understood"}
    assert [n for n, (_, note) in enumerate(found[: len(odd)]) if "conversationCounts" not in note] == [
        2 * len(NO_COUNTS) - 2
    ]
    rows = await door.home.database.fetch("SELECT email, counted_open FROM people")
    assert len(rows) == len(bodies)
    assert {(row["email"] is None, row["counted_open"]) for row in rows} == {(False, None)}


ODD_PLACES: tuple[Any, ...] = ("Riga", 7, True, 1e300, [], {}, ["Riga"], [7], [["Riga"]], [None, {}], {"cityName": []})


async def test_a_place_of_another_type_does_not_cost_the_customer(door: Door) -> None:
    bodies = [
        event(customer(customer_id=f"{name}{n}", emails=[email(f"{name}{n}@lantern.example")], **{name: place}))
        for name in ("locations", "recentLocation", "tags", "custom", "name", "locale", "timeZone", "companyName")
        for n, place in enumerate(
            (*ODD_PLACES, {"cityName": HUGE, "latitude": "north", "zipCode": {"a": 1}}, [HUGE], HUGE)
        )
    ]
    assert {state for state, _ in await outcomes(door, bodies)} == {"understood"}
    rows = await door.home.database.fetch("SELECT email FROM people WHERE email IS NOT NULL")
    assert len(rows) == len(bodies)


async def test_a_very_long_value_does_not_cost_the_item(door: Door) -> None:
    many = [email(f"a{n}@lantern.example") for n in range(10_000)]
    of_people: list[dict[str, Any]] = [{"custom": {"x": HUGE}}, {"emails": [email(HUGE)]}, {"emails": many}]
    of_conversations: list[dict[str, Any]] = [{"name": HUGE}, {"channels": [HUGE]}, {"satisfactionLevel": {"a": HUGE}}]
    people = [customer(customer_id=f"c{n}", **attributes) for n, attributes in enumerate(of_people)]
    conversations = [conversation(conversation_id=f"t{n}", **one) for n, one in enumerate(of_conversations)]
    bodies = [event(one) for one in (*people, *conversations)]
    assert {state for state, _ in await outcomes(door, bodies)} == {"understood"}


ODD_IDS: tuple[Any, ...] = ("x" * 900_000, "x" * 65, "", "a b", "a\0b", "\ud83d", 7, True, [], {}, 1e300)


async def test_an_id_that_is_none_is_left_out(door: Door) -> None:
    bodies = [event(conversation(conversation_id=f"c{n}", customer=one)) for n, one in enumerate(ODD_IDS)]
    found = await outcomes(door, bodies)
    assert {state for state, _ in found} == {"understood"}
    assert ["relationships.customer left out: no id" in note for _, note in found] == [True] * len(ODD_IDS)


async def test_an_object_whose_id_is_none_is_noted_and_told_of_nothing(door: Door) -> None:
    bodies = [event(conversation(conversation_id=one)) | {"dataId": one} for one in ODD_IDS]
    assert {note for _, note in await outcomes(door, bodies)} == {"nothing new"}


ODD_REVS: tuple[Any, ...] = (-1, 2**31, 10**40, 1.5, "7", True, [], {}, "\ud83d")


async def test_a_revision_of_another_type_is_left_out(door: Door) -> None:
    bodies = [event(conversation(conversation_id=f"c{n}") | {}) for n in range(len(ODD_REVS))]
    for body, rev in zip(bodies, ODD_REVS, strict=True):
        body["data"]["attributes"]["rev"] = rev
    found = await outcomes(door, bodies)
    assert {state for state, _ in found} == {"understood"}
    assert ["rev left out: not a whole number that can be held" in note for _, note in found] == [True] * len(ODD_REVS)
    rows = await door.home.database.fetch("SELECT DISTINCT rev, subject FROM deliveries")
    assert [(row["rev"], row["subject"]) for row in rows] == [(0, CUSTOMER)]
