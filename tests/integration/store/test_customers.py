"""Revisions of unchanged customers are raised while events are processed, without waiting for locks."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from kustomer_klaviyo.store import customers, sent_profiles
from kustomer_klaviyo.store.customers import Customer
from kustomer_klaviyo.store.database import Database
from support.timeouts import TIMEOUT_SECONDS

NAME = "acme"
FREE, LOCKED, CHANGED = "free", "locked", "changed"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    db = Database(database_url)
    await db.open()
    rows = [Customer(customer_id, 1, "same", {}, None, None) for customer_id in (FREE, LOCKED, CHANGED)]
    async with db.transaction() as tx:
        await customers.save(tx, NAME, rows)
    yield db
    await db.close()


async def revisions(db: Database) -> dict[str, int]:
    return {row["customer_id"]: row["rev"] for row in await db.fetch("SELECT customer_id, rev FROM customers")}


async def test_a_locked_customer_is_skipped_and_the_others_are_raised(db: Database) -> None:
    bumps = [(NAME, LOCKED, 5, "same"), (NAME, FREE, 5, "same"), (NAME, CHANGED, 5, "other")]
    async with db.transaction() as tx:
        await sent_profiles.lock_profiles(tx, NAME, [LOCKED])
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert await customers.bump_revisions(db, bumps) == {(NAME, LOCKED)}
    assert await revisions(db) == {FREE: 5, LOCKED: 1, CHANGED: 1}
    assert await customers.bump_revisions(db, bumps) == set()
    assert await revisions(db) == {FREE: 5, LOCKED: 5, CHANGED: 1}


async def test_an_older_revision_changes_nothing(db: Database) -> None:
    assert await customers.bump_revisions(db, [(NAME, FREE, 7, "same")]) == set()
    assert await customers.bump_revisions(db, [(NAME, FREE, 3, "same")]) == set()
    assert (await revisions(db))[FREE] == 7
