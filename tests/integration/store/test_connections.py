"""Stored connections: concurrent changes are not lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.connections import ConflictError, Connection, Connections, NotFound, Secrets
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import Encryptor
from support.timeouts import TIMEOUT_SECONDS, wait_until

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
NEW = Connection(
    id="acme",
    organisation="acme",
    kustomer_url="https://acme.example",
    klaviyo_url="https://klaviyo.example",
    secrets=Secrets("kustomer", ("pk_1",), ("token",)),
    since=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.open()
    yield db
    await db.close()


@pytest.fixture
def connections(db: Database) -> Connections:
    return Connections(db, Encryptor(KEY))


async def test_a_saved_connection_is_stored_with_its_version(connections: Connections) -> None:
    assert await connections.save(NEW) == replace(NEW, version=1)
    assert await connections.get("acme") == replace(NEW, version=1)


async def test_a_new_connection_does_not_replace_one_with_the_same_id(connections: Connections) -> None:
    await connections.save(NEW)
    with pytest.raises(ConflictError):
        await connections.save(replace(NEW, organisation="another"))
    assert (await connections.require("acme")).organisation == "acme"


async def test_a_concurrent_save_is_not_overwritten(connections: Connections) -> None:
    saved = await connections.save(NEW)
    await connections.save(replace(saved, options={"spam": "send"}))
    with pytest.raises(ConflictError, match="Try again"):
        await connections.save(replace(saved, klaviyo_account="AbC123"))
    assert (await connections.require("acme")).options == {"spam": "send"}


async def test_parallel_updates_are_all_saved(connections: Connections) -> None:
    await connections.save(NEW)
    names = [f"option{n}" for n in range(6)]

    async def set_option(name: str) -> None:
        await connections.update("acme", lambda current: replace(current, options=current.options | {name: "yes"}))

    await asyncio.gather(*map(set_option, names))
    assert set((await connections.require("acme")).options) == set(names)


async def test_a_save_ends_the_hold_with_all_of_its_details(connections: Connections) -> None:
    saved = await connections.save(NEW)
    status = await connection_status.get(connections.db, "acme")
    now = datetime.now(UTC)
    held = status.after_hold(
        until=now, reason=Reason.KEY_REJECTED, detail="401: Missing or invalid private key", paused=True, now=now
    )
    async with connections.db.transaction() as tx:
        await connection_status.save_hold(tx, "acme", held, version=saved.version)
    await connections.save(saved)
    assert await connection_status.get(connections.db, "acme") == status


async def test_an_update_without_a_change_keeps_the_version(connections: Connections) -> None:
    await connections.save(NEW)
    before = await connections.version()
    await connections.update("acme", lambda current: current)
    assert await connections.version() == before


async def test_an_unknown_connection_cannot_be_updated(connections: Connections) -> None:
    with pytest.raises(NotFound):
        await connections.update("acme", lambda current: current)


async def test_set_ups_of_one_connection_run_one_after_the_other(connections: Connections) -> None:
    order: list[str] = []
    other_is_set_up = asyncio.Event()

    async def set_up(step: str) -> None:
        async with connections.lock("acme"):
            order.append(f"{step} starts")
            await asyncio.wait_for(other_is_set_up.wait(), TIMEOUT_SECONDS)
            order.append(f"{step} ends")

    async def set_up_other() -> None:
        async with connections.lock("other"):
            other_is_set_up.set()

    async with asyncio.TaskGroup() as tasks:
        for step in ("first", "second"):
            tasks.create_task(set_up(step))
        await wait_until(lambda: has_started(order), "a set-up starts")
        tasks.create_task(set_up_other())
    assert order in (
        ["first starts", "first ends", "second starts", "second ends"],
        ["second starts", "second ends", "first starts", "first ends"],
    )


async def has_started(order: list[str]) -> bool:
    return bool(order)
