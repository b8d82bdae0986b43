"""Revisions of customers seen unchanged are raised beside whoever processes events, and never wait for it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kustomer_klaviyo.store import customers
from kustomer_klaviyo.store.customers import Person
from kustomer_klaviyo.store.database import Database
from patience import PATIENCE_SECONDS

NAME = "acme"
FREE, LOCKED, CHANGED = "free", "locked", "changed"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    made = Database(database_url)
    await made.open()
    async with made.transaction() as tx:
        await customers.save(tx, NAME, [Person(one, 1, "same", {}, None, None) for one in (FREE, LOCKED, CHANGED)])
    yield made
    await made.close()


async def revisions(database: Database) -> dict[str, int]:
    return {row["customer_id"]: row["rev"] for row in await database.fetch("SELECT customer_id, rev FROM people")}


async def test_a_customer_who_is_locked_is_left_for_the_next_time_and_the_others_are_raised(database: Database) -> None:
    seen = [(NAME, LOCKED, 5, "same"), (NAME, FREE, 5, "same"), (NAME, CHANGED, 5, "other")]
    async with database.transaction() as tx:
        await customers.profiled(tx, NAME, [LOCKED])
        async with asyncio.timeout(PATIENCE_SECONDS):
            assert await customers.advance(database, seen) == {(NAME, LOCKED)}
    assert await revisions(database) == {FREE: 5, LOCKED: 1, CHANGED: 1}
    assert await customers.advance(database, seen) == set()
    assert await revisions(database) == {FREE: 5, LOCKED: 5, CHANGED: 1}


async def test_an_older_revision_lowers_nothing(database: Database) -> None:
    assert await customers.advance(database, [(NAME, FREE, 7, "same")]) == set()
    assert await customers.advance(database, [(NAME, FREE, 3, "same")]) == set()
    assert (await revisions(database))[FREE] == 7
