"""Bodies that are correctly signed and hard to read, or not to be read at all: mended or kept, never turned away."""

import asyncio
import gzip
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from documents import CONVERSATION, CUSTOMER, conversation, customer, email, event
from doorway import Door, opened
from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.intake.receiver import LARGEST_BODY, LARGEST_STREAM
from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.planning.inbox_processor import understand_some
from kustomer_klaviyo.planning.unreadable import HEAD_BYTES
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.inbox import replay_failed
from kustomer_klaviyo.store.reports import Search


@pytest.fixture
async def door(database_url: str, data_directory: Path) -> AsyncIterator[Door]:
    async with opened(database_url, data_directory) as ready:
        yield ready


async def joined(door: Door) -> Joined:
    """Return the connection, whose events are processed when the test says so."""
    await door.service.directory.read()
    found = door.service.directory.get("acme")
    assert found is not None
    return found


async def processed(door: Door) -> list[dict[str, Any]]:
    """Process everything, and return what became of each event."""
    while (await understand_some(door.home.database, await joined(door))).events:
        pass
    return await door.rows()


async def told(door: Door) -> list[str]:
    """Return the kinds of the events that are to be sent."""
    return [row["kind"] for row in await door.home.database.fetch("SELECT kind FROM deliveries ORDER BY seq")]


async def asked(door: Door) -> list[tuple[str, str]]:
    """Return what is to be read by API."""
    return [(row["kind"], row["id"]) for row in await door.home.database.fetch("SELECT kind, id FROM lookups")]


def raw(n: int = 0, **attributes: Any) -> bytes:
    """The ``n``-th webhook, of a conversation of its own, as bytes to be spoilt."""
    resource = conversation(conversation_id=f"{CONVERSATION[:-2]}{n:02}", preview="SPOIL", **attributes)
    return msgspec.json.encode(event(resource, id=f"67dd47dfbc632c1804db1e{n:02}"))


NESTED = b"[" * 3000 + b"]" * 3000


def within(text: bytes) -> Callable[[bytes], bytes]:
    """Spoil a text."""
    return lambda body: body.replace(b"SPOIL", text)


def instead(value: bytes) -> Callable[[bytes], bytes]:
    """Put something else in the place of a text."""
    return lambda body: body.replace(b'"SPOIL"', value)


MENDED: dict[str, Callable[[bytes], bytes]] = {
    "half an emoji": within(b"\\ud83d"),
    "the other half": within(b"\\udc00"),
    "half an emoji in a name": lambda body: body.replace(b'"preview"', b'"\\ud83d"'),
    "half an emoji in CESU-8": within(b"\xed\xa0\xbd"),
    "CESU-8": within(b"\xed\xa0\xbd\xed\xb8\x80"),
    "Latin-1": within(b"caf\xe9"),
    "an overlong byte": within(b"\xc0\x80"),
    "a byte order mark": lambda body: b"\xef\xbb\xbf" + body,
    "UTF-16": lambda body: body.decode().encode("utf-16"),
    "trailing NULs": lambda body: body + b"\0\0",
    "a raw line break": within(b"a\nb"),
    "a raw NUL": within(b"a\0b"),
    "NaN": instead(b"NaN"),
    "Infinity": instead(b"-Infinity"),
    "1e999": instead(b"1e999"),
    "five thousand digits": instead(b"9" * 5000),
    "three thousand levels": instead(NESTED),
    "a field twice": lambda body: body.replace(b'"preview"', b'"name":"first","preview"'),
}


async def test_what_can_be_mended_is_told_like_any_other(door: Door) -> None:
    bodies = {name: spoil(raw(n)) for n, (name, spoil) in enumerate(MENDED.items())}
    assert {name for name, body in bodies.items() if (await door.knock(body))[1] != "received"} == set()
    rows = await processed(door)
    assert [row["body"] for row in rows] == list(bodies.values())
    assert {name for name, row in zip(bodies, rows, strict=True) if row["state"] != "understood"} == set()
    assert await told(door) == ["opened"] * len(bodies)


SPOILT = {
    "1e400": b"1e400",
    "a byte that is no UTF-8": b'"\xff"',
    "half an emoji": b'"\\ud83d"',
    "NaN": b"NaN",
    "five thousand digits": b"9" * 5000,
    "three thousand levels": NESTED,
}


async def test_changes_that_are_hard_to_read_do_not_cost_the_event(door: Door) -> None:
    changes = b'"changes":{"attributes":{"status":{"before":SPOILT,"after":"done"}}},"data":'
    done = [raw(n, status="done", modificationHistory={}) for n in range(len(SPOILT))]
    pairs = zip(done, SPOILT.values(), strict=True)
    bodies = [one.replace(b'"data":', changes.replace(b"SPOILT", spoilt), 1) for one, spoilt in pairs]
    assert [(await door.knock(one))[0] for one in bodies] == [200] * len(bodies)
    rows = await processed(door)
    assert {name for name, row in zip(SPOILT, rows, strict=True) if row["state"] != "understood"} == set()
    assert await told(door) == ["opened", "closed"] * len(bodies)


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
    "noise": bytes(range(256)),
}


async def test_what_cannot_be_read_is_kept_as_it_came_and_once(door: Door) -> None:
    bodies = [*UNREADABLE.values()] * 2
    assert [(await door.knock(body))[0] for body in bodies] == [200] * len(bodies)
    rows = await processed(door)
    assert [row["body"] for row in rows] == list(UNREADABLE.values())
    assert {(row["state"], row["reason"]) for row in rows} == {("failed", "unreadable")}
    assert {row["note"].partition(" (")[0] for row in rows} == {"unreadable: the body is no JSON object"}


async def test_of_a_body_that_is_cut_short_the_object_is_read_by_api(door: Door) -> None:
    await door.knock(raw()[:200])
    [row] = await processed(door)
    assert (row["state"], row["reason"], row["conversation_id"]) == ("failed", "unreadable", f"{CONVERSATION[:-2]}00")
    assert await asked(door) == [("conversation", f"{CONVERSATION[:-2]}00")]


async def test_an_unreadable_event_holds_up_nobody(door: Door) -> None:
    await door.knock(b"{")
    await door.knock(raw())
    assert [row["state"] for row in await processed(door)] == ["failed", "understood"]
    assert await told(door) == ["opened"]


async def test_what_is_not_signed_is_not_kept(door: Door) -> None:
    for body in (b"{", b"x" * 2_000_000, b"\xff"):
        assert (await door.knock(body, signature="00"))[0] == 401
        assert (await door.knock(body, connection="nobody"))[0] == 404
    assert await door.rows() == []


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Send a body without announcing its length."""
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


async def test_of_a_signed_body_that_is_too_large_a_stub_is_kept_and_the_object_is_read(door: Door) -> None:
    text = "y" * LARGEST_BODY
    bodies = [msgspec.json.encode(event(one)) for one in (conversation(preview=text), customer(preview=text))]
    for body in bodies:
        headers = {"X-Kustomer-Webhook-Signature": sign("current-token", body)}
        assert (await door.knock(body))[0] == 200
        async with door.session.post(door.address, data=in_pieces(body), headers=headers) as response:
            assert response.status == 200
    rows = await processed(door)
    assert [row["whole_size"] for row in rows] == [len(body) for body in bodies]
    assert [row["whole_digest"] for row in rows] == [hashlib.sha256(body).hexdigest() for body in bodies]
    assert {(row["state"], row["reason"], len(row["body"])) for row in rows} == {
        ("understood", "too_large", HEAD_BYTES)
    }
    assert await asked(door) == [("conversation", CONVERSATION), ("customer", CUSTOMER)]


async def test_a_signed_body_that_is_too_large_and_about_nothing_we_know_is_for_the_admin(door: Door) -> None:
    await door.knock(b'{"x":"' + b"y" * LARGEST_BODY)
    [row] = await processed(door)
    assert (row["state"], row["reason"]) == ("failed", "too_large")


async def test_a_body_of_just_the_size_that_is_kept_is_read(door: Door) -> None:
    spare = LARGEST_BODY - len(raw()) + len("SPOIL")
    assert (await door.knock(raw().replace(b"SPOIL", b"y" * spare)))[1] == "received"
    assert (await door.knock(raw().replace(b"SPOIL", b"y" * (spare + 1))))[1] != "received"


async def test_a_body_beyond_what_is_read_is_413_whether_announced_or_not(door: Door) -> None:
    body = b"y" * (LARGEST_STREAM + 1)
    assert (await door.knock(body))[0] == 413
    async with door.session.post(door.address, data=in_pieces(body)) as response:
        assert response.status == 413
    assert await door.rows() == []


async def test_what_cannot_be_read_is_processed_anew_when_an_admin_says_so(door: Door) -> None:
    await door.knock(raw()[:200])
    await processed(door)
    await door.home.database.execute("UPDATE inbox SET body = %s", (raw(),))
    async with door.home.database.transaction() as connection:
        assert await replay_failed(connection, "acme") == 1
    assert [row["state"] for row in await processed(door)] == ["understood"]
    assert await told(door) == ["opened"]


async def test_whatever_an_event_raises_at_the_door_it_is_kept_with_its_traceback(door: Door) -> None:
    """A fault that nobody foresaw: the connection's rules were read into something that cannot be compared with."""
    sound = await joined(door)
    naive = replace(sound.rules, horizon=sound.rules.horizon.replace(tzinfo=None))
    door.service.directory.put(replace(sound, rules=naive))
    statuses = [(await door.knock(body))[0] for body in (raw(), event(customer(emails=[email("ada@lantern.example")])))]
    assert statuses == [200, 200]
    rows = await door.rows()
    assert rows[0]["body"] == raw()
    assert "TypeError" in rows[0]["error"]
    assert "told_by" in rows[0]["error"]
    assert [row["state"] for row in await processed(door)] == ["understood", "understood"]
    assert await told(door) == ["opened", "profile"]


async def test_of_a_commit_with_one_event_that_cannot_be_stored_the_others_are(door: Door) -> None:
    """Whatever the database makes of one event, its neighbours are kept as they are, and that one as it came."""
    await door.home.database.execute("ALTER TABLE inbox ADD CHECK (conversation_id <> 'c2')")
    bodies = [event(conversation(conversation_id=f"c{n}"), id=f"e{n}") for n in range(4)]
    answers = await asyncio.gather(*(door.knock(body) for body in bodies))
    assert {status for status, _, _ in answers} == {200}
    rows = {row["conversation_id"]: row for row in await door.rows()}
    assert set(rows) == {"c0", "c1", "c3", None}
    assert msgspec.json.decode(rows[None]["body"]) == bodies[2]
    assert "CheckViolation" in rows[None]["error"]


async def test_what_could_not_be_read_is_reported_with_its_size_digest_and_first_bytes(door: Door) -> None:
    await door.knock(b"\x1b[31m\0\xff<script>")
    await door.knock(b'{"x":"' + b"y" * LARGEST_BODY)
    await processed(door)
    large, small = await reports.not_understood(door.home.database, Search())
    [row] = await reports.status(door.home.database)
    assert (small["size"], large["size"]) == (15, LARGEST_BODY + 6)
    assert small["digest"] == hashlib.sha256(b"\x1b[31m\0\xff<script>").hexdigest()
    assert small["begins"] == ".[31m\\000\\377<script>"
    assert (row["inbox_failed"], row["inbox_unreadable"]) == (2, 2)
