"""Webhooks with invalid values: processed without them, with a note, and without effect on other events."""

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from kustomer_klaviyo.planning.inbox_processor import process_inbox
from support.kustomer_documents import CUSTOMER, conversation, customer, email, event
from support.webhook_server import WebhookServer, run_webhook_server

OUT_OF_RANGE_TIMES = ("9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00", "0001-01-01T00:00:00+14:00")
INVALID_TIMES: tuple[Any, ...] = (
    *OUT_OF_RANGE_TIMES,
    "9999-12-31T23:59:59.999999Z",
    "yesterday",
    0,
    -1,
    1e300,
    True,
    [],
    {},
    "\ud83d",
)
HUGE = "x" * 900_000


@pytest.fixture
async def server(database_url: str, data_directory: Path) -> AsyncIterator[WebhookServer]:
    async with run_webhook_server(database_url, data_directory) as ready:
        yield ready


async def process_webhooks(server: WebhookServer, bodies: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Receive and process webhooks; return the state and the note of each, in order."""
    for body in bodies:
        body["id"] = uuid.uuid4().hex
        assert (await server.post_webhook(body))[0] == 200
    await server.service.registry.load()
    context = server.service.registry.get("acme")
    assert context is not None
    while (await process_inbox(server.app.db, context)).events:
        pass
    results = {row["event_id"]: (row["state"], row["note"]) for row in await server.inbox_rows()}
    return [results.get(body["id"], ("", "unchanged")) for body in bodies]


def conversation_webhooks(values: tuple[Any, ...], **fields: str) -> list[dict[str, Any]]:
    """Return a conversation webhook for each value of an attribute, such as ``createdAt`` of ``lastDone``."""
    parent, name = fields["parent"], fields["name"]
    webhooks = []
    for n, value in enumerate(values):
        attributes: dict[str, Any] = {parent: {name: value}} if parent else {name: value}
        webhooks.append(event(conversation(conversation_id=f"{parent}{name}{n}", **attributes)))
    return webhooks


async def test_an_invalid_time_counts_as_missing_in_every_field(server: WebhookServer) -> None:
    for parent, name in (
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
        path = f"{parent}.{name}".removeprefix(".")
        for state, note in await process_webhooks(
            server, conversation_webhooks(INVALID_TIMES, parent=parent, name=name)
        ):
            assert (path, state) == (path, "processed")
            assert f"{path} left out: not a valid time" in note


async def test_a_webhook_with_an_invalid_sending_time_is_processed(server: WebhookServer) -> None:
    bodies = [
        event(conversation(conversation_id=f"c{n}", createdAt=at), createdAt=at) for n, at in enumerate(INVALID_TIMES)
    ]
    assert {state for state, _ in await process_webhooks(server, bodies)} == {"processed"}
    rows = await server.app.db.fetch("SELECT kind FROM deliveries")
    assert [row["kind"] for row in rows] == ["created"] * len(INVALID_TIMES)


async def test_a_customer_with_invalid_times_is_saved(server: WebhookServer) -> None:
    bodies = [
        event(customer(customer_id=f"c{n}", emails=[email(f"a{n}@lantern.example")], **{name: at}))
        for name in ("updatedAt", "createdAt", "signedUpAt")
        for n, at in enumerate(INVALID_TIMES)
    ]
    assert {state for state, _ in await process_webhooks(server, bodies)} <= {"processed", ""}
    rows = await server.app.db.fetch("SELECT customer_id FROM customers WHERE email IS NOT NULL")
    assert len(rows) == len(INVALID_TIMES)


INVALID_COUNTS: tuple[Any, ...] = (2**31, 2**63, 2**80, 10**40, -1, 1.5, 1e300, True, "many", [], {}, "\ud83d")


async def test_invalid_counts_are_left_out_and_the_customer_is_saved(server: WebhookServer) -> None:
    invalid = [*({"open": count, "snoozed": 0} for count in INVALID_COUNTS), *INVALID_COUNTS]
    bodies = [
        event(customer(customer_id=f"c{n}", emails=[email(f"a{n}@lantern.example")], conversationCounts=counts))
        for n, counts in enumerate([*invalid, {"open": 2**31 - 1, "snoozed": 2**31 - 1}])
    ]
    results = await process_webhooks(server, bodies)
    assert {state for state, _ in results} == {"processed"}
    assert [n for n, (_, note) in enumerate(results[: len(invalid)]) if "conversationCounts" not in note] == [
        2 * len(INVALID_COUNTS) - 2
    ]
    rows = await server.app.db.fetch("SELECT email, open_count FROM customers")
    assert len(rows) == len(bodies)
    assert {(row["email"] is None, row["open_count"]) for row in rows} == {(False, None)}


INVALID_LOCATIONS: tuple[Any, ...] = (
    "Riga",
    7,
    True,
    1e300,
    [],
    {},
    ["Riga"],
    [7],
    [["Riga"]],
    [None, {}],
    {"cityName": []},
)


async def test_an_invalid_attribute_does_not_affect_the_customer(server: WebhookServer) -> None:
    bodies = [
        event(customer(customer_id=f"{name}{n}", emails=[email(f"{name}{n}@lantern.example")], **{name: place}))
        for name in ("locations", "recentLocation", "tags", "custom", "name", "locale", "timeZone", "companyName")
        for n, place in enumerate(
            (*INVALID_LOCATIONS, {"cityName": HUGE, "latitude": "north", "zipCode": {"a": 1}}, [HUGE], HUGE)
        )
    ]
    assert {state for state, _ in await process_webhooks(server, bodies)} == {"processed"}
    rows = await server.app.db.fetch("SELECT email FROM customers WHERE email IS NOT NULL")
    assert len(rows) == len(bodies)


async def test_a_very_long_value_does_not_fail_the_event(server: WebhookServer) -> None:
    many = [email(f"a{n}@lantern.example") for n in range(10_000)]
    customer_attributes: list[dict[str, Any]] = [{"custom": {"x": HUGE}}, {"emails": [email(HUGE)]}, {"emails": many}]
    conversation_attributes: list[dict[str, Any]] = [
        {"name": HUGE},
        {"channels": [HUGE]},
        {"satisfactionLevel": {"a": HUGE}},
    ]
    customers = [customer(customer_id=f"c{n}", **attributes) for n, attributes in enumerate(customer_attributes)]
    conversations = [
        conversation(conversation_id=f"t{n}", **attributes) for n, attributes in enumerate(conversation_attributes)
    ]
    bodies = [event(resource) for resource in (*customers, *conversations)]
    assert {state for state, _ in await process_webhooks(server, bodies)} == {"processed"}


INVALID_IDS: tuple[Any, ...] = ("x" * 900_000, "x" * 65, "", "a b", "a\0b", "\ud83d", 7, True, [], {}, 1e300)


async def test_an_invalid_customer_id_is_left_out(server: WebhookServer) -> None:
    bodies = [event(conversation(conversation_id=f"c{n}", customer=value)) for n, value in enumerate(INVALID_IDS)]
    results = await process_webhooks(server, bodies)
    assert {state for state, _ in results} == {"processed"}
    assert ["relationships.customer left out: not an id" in note for _, note in results] == [True] * len(INVALID_IDS)


async def test_an_object_with_an_invalid_id_is_ignored(server: WebhookServer) -> None:
    bodies = [event(conversation(conversation_id=value)) | {"dataId": value} for value in INVALID_IDS]
    assert {note for _, note in await process_webhooks(server, bodies)} == {"unchanged"}


INVALID_REVS: tuple[Any, ...] = (-1, 2**31, 10**40, 1.5, "7", True, [], {}, "\ud83d")


async def test_an_invalid_revision_is_left_out(server: WebhookServer) -> None:
    bodies = [event(conversation(conversation_id=f"c{n}") | {}) for n in range(len(INVALID_REVS))]
    for body, rev in zip(bodies, INVALID_REVS, strict=True):
        body["data"]["attributes"]["rev"] = rev
    results = await process_webhooks(server, bodies)
    assert {state for state, _ in results} == {"processed"}
    assert ["rev left out: not a whole number in range" in note for _, note in results] == [True] * len(INVALID_REVS)
    rows = await server.app.db.fetch("SELECT DISTINCT rev, subject FROM deliveries")
    assert [(row["rev"], row["subject"]) for row in rows] == [(0, CUSTOMER)]
