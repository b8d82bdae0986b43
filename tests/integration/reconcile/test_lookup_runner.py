"""Malformed responses of Kustomer's API: they are repaired or unreadable, and never count as empty."""

import asyncio
import base64
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.reasons import LookupReason, Reason
from kustomer_klaviyo.reconcile.deleted_customers import SWEEP
from kustomer_klaviyo.store import lookups
from kustomer_klaviyo.store.lookups import Lookup, LookupKind
from support.kustomer_documents import CUSTOMER, conversation, customer, email
from support.pipeline import FAST_RETRIES, Pipeline

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
REPAIRABLE = {
    "half an emoji": READABLE.replace(b"SPOIL", b"\\ud83d"),
    "a byte order mark": b"\xef\xbb\xbf" + READABLE,
    "Latin-1": READABLE.replace(b"SPOIL", b"caf\xe9"),
    "1e999": READABLE.replace(b'"SPOIL"', b"1e999"),
    "three thousand levels": READABLE.replace(b'"SPOIL"', b"[" * 3000 + b"]" * 3000),
}


async def respond_with(pipeline: Pipeline, body: bytes, path: str = "/v1/customers", **more: Any) -> None:
    """Make Kustomer's API respond with these bytes."""
    fault = {"kind": "response", "status": 200, "path": path, "base64": base64.b64encode(body).decode()} | more
    fault.setdefault("headers", {"Content-Type": "application/json"})
    async with pipeline.session.post(f"{pipeline.kustomer}/sandbox/faults", json=fault) as response:
        assert response.status == 201, await response.text()


async def clear_faults(pipeline: Pipeline) -> None:
    """Make Kustomer respond normally again."""
    async with pipeline.session.delete(f"{pipeline.kustomer}/sandbox/faults") as response:
        assert response.status == 204


async def run_all_lookups(pipeline: Pipeline) -> None:
    """Run lookups until every one is complete or failed."""
    while await pipeline.sql("SELECT FROM lookups WHERE failed_at IS NULL"):
        await pipeline.run_lookups()
        await asyncio.sleep(0.01)


async def unidentified_event(pipeline: Pipeline) -> None:
    """Receive an event of an unknown customer."""
    await pipeline.connect(sweep_interval_minutes=0, profiles="none")
    await pipeline.receive_webhooks(conversation())
    assert await pipeline.delivery_states("created") == ["unidentified"]


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE.keys())
async def test_an_unreadable_response_fails_the_lookup_and_retry_repeats_it(pipeline: Pipeline, body: bytes) -> None:
    await unidentified_event(pipeline)
    await respond_with(pipeline, body)
    await run_all_lookups(pipeline)
    [lookup] = await pipeline.sql("SELECT * FROM lookups")
    [delivery] = await pipeline.deliveries("created")
    assert lookup["failed_at"] is not None
    assert lookup["attempts"] == FAST_RETRIES.max_attempts
    assert lookup["reason"] == LookupReason.KUSTOMER_UNREADABLE
    assert lookup["note"].startswith(f"{FAST_RETRIES.max_attempts} attempts: Kustomer's response ")
    assert (delivery["state"], delivery["reason"]) == ("failed", Reason.CUSTOMER_NOT_READ)
    await clear_faults(pipeline)
    await respond_with(pipeline, READABLE)
    await resend_failed(pipeline.app.db, pipeline.context)
    await run_all_lookups(pipeline)
    assert await pipeline.delivery_states("created") == ["pending"]
    assert await pipeline.sql("SELECT FROM lookups") == []


@pytest.mark.parametrize("body", REPAIRABLE.values(), ids=REPAIRABLE.keys())
async def test_a_malformed_response_is_repaired(pipeline: Pipeline, body: bytes) -> None:
    await unidentified_event(pipeline)
    await respond_with(pipeline, body)
    await run_all_lookups(pipeline)
    assert await pipeline.delivery_states("created") == ["pending"]


async def test_a_webhook_brings_the_customer_whose_lookup_failed(
    pipeline: Pipeline,
) -> None:
    await unidentified_event(pipeline)
    await respond_with(pipeline, b"{")
    await run_all_lookups(pipeline)
    await pipeline.receive_webhooks(customer(emails=[email("ada@lantern.example")]))
    assert await pipeline.delivery_states("created") == ["pending"]


async def test_a_refused_lookup_fails(pipeline: Pipeline) -> None:
    await unidentified_event(pipeline)
    await respond_with(pipeline, b'{"errors": [{"message": "half \\ud83d"}]}', status=422)
    await run_all_lookups(pipeline)
    [lookup] = await pipeline.sql("SELECT failed_at, note FROM lookups")
    assert lookup["failed_at"] is not None
    assert lookup["note"] == "3 attempts: half \ufffd"


@pytest.mark.parametrize("body", [b"{", b'{"data": null}', b'{"data": {}}', b"<html>"], ids=range(4))
async def test_an_unreadable_list_of_merges_deletes_nobody(pipeline: Pipeline, body: bytes) -> None:
    await pipeline.connect(sweep_interval_minutes=0, on_deletion="erase")
    await pipeline.receive_webhooks(customer(emails=[email("ada@lantern.example")]))
    await pipeline.write_profiles()
    await respond_with(pipeline, body)
    async with pipeline.app.db.transaction() as tx:
        await lookups.enqueue(tx, "acme", [Lookup(LookupKind.MERGE, CUSTOMER)])
    await run_all_lookups(pipeline)
    [lookup] = await pipeline.sql("SELECT kind, failed_at FROM lookups")
    assert (lookup["kind"], lookup["failed_at"] is None) == ("merge", False)
    assert "ada@lantern.example" in await pipeline.klaviyo_profiles()


async def test_an_unreadable_search_is_not_an_empty_one(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await respond_with(pipeline, b'{"data": null}', path="/v1/customers/search")
    async with pipeline.app.db.transaction() as tx:
        await lookups.enqueue(tx, "acme", [SWEEP])
    await pipeline.worker.run_lookups()
    for task in pipeline.worker.in_flight:
        await task
    [lookup] = await pipeline.sql("SELECT attempts, note, failed_at FROM lookups")
    assert (lookup["attempts"], lookup["failed_at"]) == (1, None)
    assert lookup["note"] == "Kustomer's response to a search is not a list"
    assert await pipeline.sql("SELECT FROM bookmarks WHERE name <> 'kustomer_clock_skew'") == []
