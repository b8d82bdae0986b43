"""Which connections have something to do: whatever the rows are, and however many idle connections there are."""

from collections.abc import AsyncIterator
from typing import LiteralString

import pytest

from kustomer_klaviyo.store import connection_status
from kustomer_klaviyo.store.database import Database

IDS = [f"c{number}" for number in range(5)]

WORK: dict[str, LiteralString] = {
    "event": "INSERT INTO inbox (connection_id, event_id, event_name, body) VALUES (%s, 'e', 'n', '')",
    "delivery": """INSERT INTO deliveries (connection_id, fact_key, kind, subject, conversation_id, occurred_at, rev,
        state, fact) VALUES (%s, 'f', 'created', 'k', 'c', now(), 1, 'pending', '{}')""",
    "bulk import": "INSERT INTO bulk_imports VALUES (%s, 'b', 1, 0, now())",
    "lookup": "INSERT INTO lookups (connection_id, kind, id) VALUES (%s, 'customer', 'k')",
    "card": """INSERT INTO cards (connection_id, customer_id, refresh_reason, requested_at)
        VALUES (%s, 'k', 'opened', now())""",
}
NOT_DUE: dict[str, LiteralString] = {
    "delivery": "UPDATE deliveries SET due_at = now() + interval '1 hour'",
    "delivery of a bulk import": "UPDATE deliveries SET bulk_import_id = 'b'",
    "bulk import": "UPDATE bulk_imports SET next_poll_at = now() + interval '1 hour'",
    "lookup": "UPDATE lookups SET due_at = now() + interval '1 hour'",
    "failed lookup": "UPDATE lookups SET failed_at = now()",
    "card": "UPDATE cards SET due_at = now() + interval '1 hour'",
    "event": "UPDATE inbox SET state = 'processed'",
}
HELD = "UPDATE connection_status SET held_until = now() + interval '1 hour'"


@pytest.fixture
async def db(database_url: str) -> AsyncIterator[Database]:
    """A database with some connections."""
    db = Database(database_url)
    await db.open()
    for connection_id in IDS:
        await db.execute(
            """INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, encrypted_secrets)
            VALUES (%s, 'o', '', '', '')""",
            (connection_id,),
        )
        await db.execute("INSERT INTO connection_status (connection_id) VALUES (%s)", (connection_id,))
    yield db
    await db.close()


async def with_work(db: Database) -> list[str]:
    return sorted(await connection_status.connections_with_work(db))


@pytest.mark.parametrize("name", WORK)
async def test_each_connection_with_something_due_is_found(name: str, db: Database) -> None:
    assert await with_work(db) == []
    for connection_id in IDS[1::2]:
        await db.execute(WORK[name], (connection_id,))
    assert await with_work(db) == IDS[1::2]


@pytest.mark.parametrize("name", NOT_DUE)
async def test_nothing_is_found_that_is_not_due(name: str, db: Database) -> None:
    work = next(kind for kind in WORK if name.endswith(kind) or name.startswith(kind))
    for connection_id in IDS:
        await db.execute(WORK[work], (connection_id,))
    await db.execute(NOT_DUE[name])
    assert await with_work(db) == []


@pytest.mark.parametrize("name", WORK)
async def test_a_hold_stops_only_what_is_sent(name: str, db: Database) -> None:
    await db.execute(WORK[name], (IDS[2],))
    await db.execute(HELD)
    assert await with_work(db) == ([] if name in ("delivery", "bulk import") else [IDS[2]])


@pytest.mark.parametrize("name", WORK)
async def test_rows_of_a_deleted_connection_are_no_work(name: str, db: Database) -> None:
    await db.execute(WORK[name], (IDS[0],))
    await db.execute("DELETE FROM connections")
    assert await with_work(db) == []


async def test_recurring_lookups_need_no_job(db: Database) -> None:
    await db.execute("INSERT INTO lookups (connection_id, kind, id) VALUES (%s, 'sweep', 'customers')", (IDS[0],))
    assert await with_work(db) == []


@pytest.mark.parametrize("status", ["todo", "doing"])
async def test_a_connection_with_a_job_needs_no_other(status: LiteralString, db: Database) -> None:
    for connection_id in IDS[:2]:
        await db.execute(WORK["event"], (connection_id,))
    await db.execute(
        """INSERT INTO procrastinate_jobs (queue_name, task_name, lock, queueing_lock, args, status)
        VALUES ('work', 'work', %s, %s, '{}', %s)""",
        (f"work:{IDS[0]}", f"work:{IDS[0]}", status),
    )
    assert await with_work(db) == [IDS[1]]
    assert [await connection_status.has_job(db, connection_id) for connection_id in IDS[:2]] == [True, False]
