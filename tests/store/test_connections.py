"""Saving connections: whoever changes one at the same time as another, neither is lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kustomer_klaviyo.store.connections import Changed, Connection, Connections, NotThere, Secrets
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import Sealer
from patience import PATIENCE_SECONDS, until

KEY = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
NEW = Connection(
    id="acme",
    organisation="acme",
    kustomer_url="https://acme.example",
    klaviyo_url="https://klaviyo.example",
    secrets=Secrets("kustomer", ("pk_1",), ("token",)),
    horizon=datetime(2026, 1, 1, tzinfo=UTC),
)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url)
    await made.open()
    yield made
    await made.close()


@pytest.fixture
def connections(database: Database) -> Connections:
    return Connections(database, Sealer(KEY))


async def test_what_is_saved_is_there_and_counts_its_savings(connections: Connections) -> None:
    assert await connections.save(NEW) == replace(NEW, revision=1)
    assert await connections.get("acme") == replace(NEW, revision=1)


async def test_a_new_connection_never_replaces_one_of_the_same_name(connections: Connections) -> None:
    await connections.save(NEW)
    with pytest.raises(Changed):
        await connections.save(replace(NEW, organisation="another"))
    assert (await connections.named("acme")).organisation == "acme"


async def test_what_somebody_else_saved_meanwhile_is_not_overwritten(connections: Connections) -> None:
    mine = await connections.save(NEW)
    await connections.save(replace(mine, options={"spam": "send"}))
    with pytest.raises(Changed, match="Try again"):
        await connections.save(replace(mine, klaviyo_account="AbC123"))
    assert (await connections.named("acme")).options == {"spam": "send"}


async def test_of_many_changes_at_once_each_holds(connections: Connections) -> None:
    await connections.save(NEW)
    names = [f"option{n}" for n in range(6)]

    async def change(name: str) -> None:
        await connections.change("acme", lambda now: replace(now, options=now.options | {name: "yes"}))

    await asyncio.gather(*map(change, names))
    assert set((await connections.named("acme")).options) == set(names)


async def test_a_change_that_changes_nothing_wakes_nobody(connections: Connections) -> None:
    await connections.save(NEW)
    before = await connections.mark()
    await connections.change("acme", lambda now: now)
    assert await connections.mark() == before


async def test_what_is_not_there_is_not_changed(connections: Connections) -> None:
    with pytest.raises(NotThere):
        await connections.change("acme", lambda now: now)


async def test_a_connection_is_set_up_by_one_at_a_time_and_others_beside_it(connections: Connections) -> None:
    order: list[str] = []
    other_is_set_up = asyncio.Event()

    async def set_up(step: str) -> None:
        async with connections.alone("acme"):
            order.append(f"{step} begins")
            await asyncio.wait_for(other_is_set_up.wait(), PATIENCE_SECONDS)
            order.append(f"{step} ends")

    async def set_up_other() -> None:
        async with connections.alone("other"):
            other_is_set_up.set()

    async with asyncio.TaskGroup() as tasks:
        for step in ("one", "two"):
            tasks.create_task(set_up(step))
        await until(lambda: has_begun(order), "a set-up begins")
        tasks.create_task(set_up_other())
    assert order in (
        ["one begins", "one ends", "two begins", "two ends"],
        ["two begins", "two ends", "one begins", "one ends"],
    )


async def has_begun(order: list[str]) -> bool:
    return bool(order)
