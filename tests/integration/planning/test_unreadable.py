"""Correctly signed bodies that are invalid: repaired or stored, never rejected."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.intake.receiver import MAX_BODY_BYTES, MAX_STREAM_BYTES
from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.planning.inbox_processor import process_inbox
from kustomer_klaviyo.planning.unreadable import HEAD_BYTES
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.inbox import retry_failed
from kustomer_klaviyo.store.reports import Search
from support.kustomer_documents import CONVERSATION, CUSTOMER, conversation, customer, email, event
from support.webhook_server import WebhookServer, run_webhook_server


@pytest.fixture
async def server(database_url: str, data_directory: Path) -> AsyncIterator[WebhookServer]:
    async with run_webhook_server(database_url, data_directory) as ready:
        yield ready


async def load_context(server: WebhookServer) -> ConnectionContext:
    """Return the context of the connection."""
    await server.service.registry.load()
    context = server.service.registry.get("acme")
    assert context is not None
    return context


async def process_all(server: WebhookServer) -> list[dict[str, Any]]:
    """Process everything; return the inbox."""
    while (await process_inbox(server.app.db, await load_context(server))).events:
        pass
    return await server.inbox_rows()


async def delivery_kinds(server: WebhookServer) -> list[str]:
    """Return the kinds of all deliveries."""
    return [row["kind"] for row in await server.app.db.fetch("SELECT kind FROM deliveries ORDER BY seq")]


async def enqueued_lookups(server: WebhookServer) -> list[tuple[str, str]]:
    """Return the enqueued lookups."""
    return [(row["kind"], row["id"]) for row in await server.app.db.fetch("SELECT kind, id FROM lookups")]


def webhook_body(n: int = 0, **attributes: Any) -> bytes:
    """Return the body of the ``n``-th webhook, with a placeholder to replace."""
    resource = conversation(conversation_id=f"{CONVERSATION[:-2]}{n:02}", preview="PLACEHOLDER", **attributes)
    return msgspec.json.encode(event(resource, id=f"67dd47dfbc632c1804db1e{n:02}"))


NESTED = b"[" * 3000 + b"]" * 3000


def replace_text(text: bytes) -> Callable[[bytes], bytes]:
    """Return a function that replaces the placeholder within its string."""
    return lambda body: body.replace(b"PLACEHOLDER", text)


def replace_value(value: bytes) -> Callable[[bytes], bytes]:
    """Return a function that replaces the whole string."""
    return lambda body: body.replace(b'"PLACEHOLDER"', value)


REPAIRABLE: dict[str, Callable[[bytes], bytes]] = {
    "half an emoji": replace_text(b"\\ud83d"),
    "the other half": replace_text(b"\\udc00"),
    "half an emoji in a name": lambda body: body.replace(b'"preview"', b'"\\ud83d"'),
    "half an emoji in CESU-8": replace_text(b"\xed\xa0\xbd"),
    "CESU-8": replace_text(b"\xed\xa0\xbd\xed\xb8\x80"),
    "Latin-1": replace_text(b"caf\xe9"),
    "an overlong byte": replace_text(b"\xc0\x80"),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "trailing NULs": lambda body: body + b"\0\0",
    "a raw line break": replace_text(b"a\nb"),
    "a raw NUL": replace_text(b"a\0b"),
    "NaN": replace_value(b"NaN"),
    "Infinity": replace_value(b"-Infinity"),
    "1e999": replace_value(b"1e999"),
    "five thousand digits": replace_value(b"9" * 5000),
    "three thousand levels": replace_value(NESTED),
    "a field twice": lambda body: body.replace(b'"preview"', b'"name":"first","preview"'),
}


async def test_a_repairable_body_is_processed(server: WebhookServer) -> None:
    bodies = {name: damage(webhook_body(n)) for n, (name, damage) in enumerate(REPAIRABLE.items())}
    assert {name for name, body in bodies.items() if (await server.post_webhook(body))[1] != "received"} == set()
    rows = await process_all(server)
    assert [row["body"] for row in rows] == list(bodies.values())
    assert {name for name, row in zip(bodies, rows, strict=True) if row["state"] != "processed"} == set()
    assert await delivery_kinds(server) == ["created"] * len(bodies)


INVALID_VALUES = {
    "1e400": b"1e400",
    "a byte that is no UTF-8": b'"\xff"',
    "half an emoji": b'"\\ud83d"',
    "NaN": b"NaN",
    "five thousand digits": b"9" * 5000,
    "three thousand levels": NESTED,
}


async def test_invalid_changes_do_not_make_the_event_unreadable(server: WebhookServer) -> None:
    changes = b'"changes":{"attributes":{"status":{"before":INVALID_VALUE,"after":"done"}}},"data":'
    done = [webhook_body(n, status="done", modificationHistory={}) for n in range(len(INVALID_VALUES))]
    pairs = zip(done, INVALID_VALUES.values(), strict=True)
    bodies = [body.replace(b'"data":', changes.replace(b"INVALID_VALUE", value), 1) for body, value in pairs]
    assert [(await server.post_webhook(body))[0] for body in bodies] == [200] * len(bodies)
    rows = await process_all(server)
    assert {name for name, row in zip(INVALID_VALUES, rows, strict=True) if row["state"] != "processed"} == set()
    assert await delivery_kinds(server) == ["created", "done"] * len(bodies)


UNREADABLE = {
    "an empty body": b"",
    "space": b"  ",
    "null": b"null",
    "an array": b"[]",
    "a text": b'"text"',
    "a number": b"1",
    "a brace": b"{",
    "brackets": b"[" * 200_000,
    "quotes": b'"\\"' * 200_000,
    "two documents": b"{}{}",
    "gzip": gzip.compress(b"{}"),
    "a page": b"<!DOCTYPE html><title>Just a moment...</title>",
    "every byte": bytes(range(256)),
}


async def test_an_unreadable_body_is_stored_once_as_received(server: WebhookServer) -> None:
    bodies = [*UNREADABLE.values()] * 2
    assert [(await server.post_webhook(body))[0] for body in bodies] == [200] * len(bodies)
    rows = await process_all(server)
    assert [row["body"] for row in rows] == list(UNREADABLE.values())
    assert {(row["state"], row["reason"]) for row in rows} == {("failed", "unreadable")}
    assert {row["note"].partition(":")[0] for row in rows} == {f"{len(body):,} bytes" for body in UNREADABLE.values()}


async def test_the_object_of_a_truncated_body_is_looked_up(server: WebhookServer) -> None:
    await server.post_webhook(webhook_body()[:200])
    [row] = await process_all(server)
    assert (row["state"], row["reason"], row["conversation_id"]) == ("failed", "unreadable", f"{CONVERSATION[:-2]}00")
    assert await enqueued_lookups(server) == [("conversation", f"{CONVERSATION[:-2]}00")]


async def test_an_unreadable_event_does_not_block_others(server: WebhookServer) -> None:
    await server.post_webhook(b"{")
    await server.post_webhook(webhook_body())
    assert [row["state"] for row in await process_all(server)] == ["failed", "processed"]
    assert await delivery_kinds(server) == ["created"]


async def test_an_unsigned_body_is_not_stored(server: WebhookServer) -> None:
    for body in (b"{", b"x" * 2_000_000, b"\xff"):
        assert (await server.post_webhook(body, signature="00"))[0] == 401
        assert (await server.post_webhook(body, connection="nobody"))[0] == 404
    assert await server.inbox_rows() == []


async def stream(body: bytes) -> AsyncIterator[bytes]:
    """Stream a body without its length."""
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


async def test_the_beginning_of_an_oversized_body_is_stored_and_its_object_looked_up(server: WebhookServer) -> None:
    text = "y" * MAX_BODY_BYTES
    bodies = [msgspec.json.encode(event(resource)) for resource in (conversation(preview=text), customer(preview=text))]
    for body in bodies:
        headers = {"X-Kustomer-Webhook-Signature": sign("current-token", body)}
        assert (await server.post_webhook(body))[0] == 200
        async with server.session.post(server.webhook_url, data=stream(body), headers=headers) as response:
            assert response.status == 200
    rows = await process_all(server)
    assert [row["full_size"] for row in rows] == [len(body) for body in bodies]
    assert [row["full_digest"] for row in rows] == [hashlib.sha256(body).hexdigest() for body in bodies]
    assert {(row["state"], row["reason"], len(row["body"])) for row in rows} == {("processed", "too_large", HEAD_BYTES)}
    assert await enqueued_lookups(server) == [("conversation", CONVERSATION), ("customer", CUSTOMER)]


async def test_an_oversized_body_without_a_known_object_fails(
    server: WebhookServer,
) -> None:
    await server.post_webhook(b'{"x":"' + b"y" * MAX_BODY_BYTES)
    [row] = await process_all(server)
    assert (row["state"], row["reason"]) == ("failed", "too_large")


async def test_a_body_of_the_maximum_size_is_read(server: WebhookServer) -> None:
    spare = MAX_BODY_BYTES - len(webhook_body()) + len("PLACEHOLDER")
    assert (await server.post_webhook(webhook_body().replace(b"PLACEHOLDER", b"y" * spare)))[1] == "received"
    assert (await server.post_webhook(webhook_body().replace(b"PLACEHOLDER", b"y" * (spare + 1))))[1] != "received"


async def test_a_body_over_the_stream_limit_is_413_with_or_without_a_length(server: WebhookServer) -> None:
    body = b"y" * (MAX_STREAM_BYTES + 1)
    assert (await server.post_webhook(body))[0] == 413
    async with server.session.post(server.webhook_url, data=stream(body)) as response:
        assert response.status == 413
    assert await server.inbox_rows() == []


async def test_an_unreadable_event_is_processed_again_on_retry(server: WebhookServer) -> None:
    await server.post_webhook(webhook_body()[:200])
    await process_all(server)
    await server.app.db.execute("UPDATE inbox SET body = %s", (webhook_body(),))
    async with server.app.db.transaction() as tx:
        assert await retry_failed(tx, "acme") == 1
    assert [row["state"] for row in await process_all(server)] == ["processed"]
    assert await delivery_kinds(server) == ["created"]


async def test_an_event_that_raises_at_intake_is_stored_with_the_traceback(server: WebhookServer) -> None:
    """The connection's ``since`` has no time zone, so comparing it raises."""
    context = await load_context(server)
    naive = replace(context.rules, since=context.rules.since.replace(tzinfo=None))
    server.service.registry.put(replace(context, rules=naive))
    statuses = [
        (await server.post_webhook(body))[0]
        for body in (webhook_body(), event(customer(emails=[email("ada@lantern.example")])))
    ]
    assert statuses == [200, 200]
    rows = await server.inbox_rows()
    assert rows[0]["body"] == webhook_body()
    assert "TypeError" in rows[0]["error_traceback"]
    assert "read_content" in rows[0]["error_traceback"]
    assert [row["state"] for row in await process_all(server)] == ["processed", "processed"]
    assert await delivery_kinds(server) == ["created", "profile"]


async def test_an_event_that_cannot_be_stored_does_not_affect_its_commit_group(server: WebhookServer) -> None:
    """The event that the database rejects is stored as received, and the others as usual."""
    await server.app.db.execute("ALTER TABLE inbox ADD CHECK (conversation_id <> 'c2')")
    bodies = [event(conversation(conversation_id=f"c{n}"), id=f"e{n}") for n in range(4)]
    answers = await asyncio.gather(*(server.post_webhook(body) for body in bodies))
    assert {status for status, _, _ in answers} == {200}
    rows = {row["conversation_id"]: row for row in await server.inbox_rows()}
    assert set(rows) == {"c0", "c1", "c3", None}
    assert msgspec.json.decode(rows[None]["body"]) == bodies[2]
    assert "CheckViolation" in rows[None]["error_traceback"]


async def test_unreadable_events_are_reported_with_size_digest_and_first_bytes(server: WebhookServer) -> None:
    await server.post_webhook(b"\x1b[31m\0\xff<script>")
    await server.post_webhook(b'{"x":"' + b"y" * MAX_BODY_BYTES)
    await process_all(server)
    large, small = await reports.unprocessed_events(server.app.db, Search())
    [row] = await reports.status(server.app.db)
    assert (small["size"], large["size"]) == (15, MAX_BODY_BYTES + 6)
    assert small["digest"] == hashlib.sha256(b"\x1b[31m\0\xff<script>").hexdigest()
    assert small["begins"] == ".[31m\\000\\377<script>"
    assert (row["inbox_failed"], row["inbox_unreadable"]) == (2, 2)
