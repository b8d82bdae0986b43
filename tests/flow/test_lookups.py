"""Answers of Kustomer's API that are hard to read, or not to be read at all: mended or unreadable, never empty."""

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from documents import CUSTOMER, conversation, customer, email
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.reconcile.deleted_customers import SWEEP
from kustomer_klaviyo.store import lookups
from kustomer_klaviyo.store.lookups import Kind, Question
from line import IMPATIENT, Line

READABLE = msgspec.json.encode({"data": customer(emails=[email("ada@lantern.example")], x="SPOIL")})
UNREADABLE = {
    "cut short": READABLE[:-5],
    "a page": b"<!doctype html><title>Just a moment...</title>",
    "nothing": b"",
    "null": b"null",
    "a list": b"[]",
    "a list of none": b'{"data": []}',
    "null within": b'{"data": null}',
    "errors": b'{"errors": [{"code": "internal", "message": "Sorry"}]}',
    "another type": READABLE.replace(b'"customer"', b'"message"'),
    "a type that is none": READABLE.replace(b'"customer"', b"7"),
    "no attributes": msgspec.json.encode({"data": {"type": "customer", "id": CUSTOMER}}),
    "attributes that are a list": msgspec.json.encode({"data": {"type": "customer", "id": CUSTOMER, "attributes": []}}),
    "another customer": READABLE.replace(CUSTOMER.encode(), b"another"),
}
MENDED = {
    "half an emoji": READABLE.replace(b"SPOIL", b"\\ud83d"),
    "a byte order mark": b"\xef\xbb\xbf" + READABLE,
    "Latin-1": READABLE.replace(b"SPOIL", b"caf\xe9"),
    "1e999": READABLE.replace(b'"SPOIL"', b"1e999"),
    "three thousand levels": READABLE.replace(b'"SPOIL"', b"[" * 3000 + b"]" * 3000),
}


async def answer(line: Line, body: bytes, path: str = "/v1/customers", **more: Any) -> None:
    """Let Kustomer's API answer with these bytes."""
    fault = {"kind": "answer", "status": 200, "path": path, "base64": base64.b64encode(body).decode()} | more
    fault.setdefault("headers", {"Content-Type": "application/json"})
    async with line.session.post(f"{line.kustomer}/sandbox/faults", json=fault) as response:
        assert response.status == 201, await response.text()


async def behave(line: Line) -> None:
    """Let Kustomer behave again."""
    async with line.session.delete(f"{line.kustomer}/sandbox/faults") as response:
        assert response.status == 204


async def ask_to_the_end(line: Line) -> None:
    """Ask until every question is answered or given up."""
    while await line.sql("SELECT FROM lookups WHERE failed_at IS NULL"):
        await line.ask()
        await asyncio.sleep(0.01)


async def waiting_for_a_customer(line: Line) -> None:
    """Receive an event of a customer who is not known yet."""
    await line.connect(sweep_minutes=0, profiles="none")
    await line.receive(conversation())
    assert await line.states("opened") == ["unidentified"]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_answer_that_cannot_be_read_ends_as_failed_and_retry_asks_again(line: Line, body: bytes) -> None:
    await waiting_for_a_customer(line)
    await answer(line, body)
    await ask_to_the_end(line)
    [question] = await line.sql("SELECT * FROM lookups")
    [waited] = await line.told("opened")
    assert question["failed_at"] is not None
    assert question["tries"] == IMPATIENT.tries
    assert question["note"].startswith(f"asked {IMPATIENT.tries} times: Kustomer's answer ")
    assert (waited["state"], waited["reason"]) == ("failed", Reason.NOT_READ)
    await behave(line)
    await answer(line, READABLE)
    await send_again(line.home.database, line.joined)
    await ask_to_the_end(line)
    assert await line.states("opened") == ["waiting"]
    assert await line.sql("SELECT FROM lookups") == []


@pytest.mark.parametrize("body", MENDED.values(), ids=MENDED.keys())
async def test_an_answer_that_can_be_mended_is_read(line: Line, body: bytes) -> None:
    await waiting_for_a_customer(line)
    await answer(line, body)
    await ask_to_the_end(line)
    assert await line.states("opened") == ["waiting"]


async def test_what_failed_for_want_of_an_answer_goes_on_when_a_webhook_brings_the_customer(line: Line) -> None:
    await waiting_for_a_customer(line)
    await answer(line, b"{")
    await ask_to_the_end(line)
    await line.receive(customer(emails=[email("ada@lantern.example")]))
    assert await line.states("opened") == ["waiting"]


async def test_a_refused_question_ends_as_failed(line: Line) -> None:
    await waiting_for_a_customer(line)
    await answer(line, b'{"errors": [{"message": "half \\ud83d"}]}', status=422)
    await ask_to_the_end(line)
    [question] = await line.sql("SELECT failed_at, note FROM lookups")
    assert question["failed_at"] is not None
    assert question["note"] == "asked 3 times: half \ufffd"


@pytest.mark.parametrize("body", [b"{", b'{"data": null}', b'{"data": {}}', b"<html>"], ids=range(4))
async def test_an_unreadable_list_of_merges_deletes_nobody(line: Line, body: bytes) -> None:
    await line.connect(sweep_minutes=0, on_deletion="erase")
    await line.receive(customer(emails=[email("ada@lantern.example")]))
    await line.write()
    await answer(line, body)
    async with line.home.database.transaction() as tx:
        await lookups.ask(tx, "acme", [Question(Kind.MERGE, CUSTOMER)])
    await ask_to_the_end(line)
    [question] = await line.sql("SELECT kind, failed_at FROM lookups")
    assert (question["kind"], question["failed_at"] is None) == ("merge", False)
    assert "ada@lantern.example" in await line.held()


async def test_an_unreadable_search_is_not_an_empty_one(line: Line) -> None:
    await line.connect()
    await answer(line, b'{"data": null}', path="/v1/customers/search")
    async with line.home.database.transaction() as tx:
        await lookups.ask(tx, "acme", [SWEEP])
    await line.run.ask()
    for task in line.run.in_flight:
        await task
    [question] = await line.sql("SELECT tries, note, failed_at FROM lookups")
    assert (question["tries"], question["failed_at"]) == (1, None)
    assert question["note"] == "Kustomer's answer to a search is no list"
    assert await line.sql("SELECT FROM bookmarks WHERE name <> 'kustomer clock'") == []
