"""The sweep for deleted and merged customers."""

from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.reconcile.deleted_customers import SWEEP
from kustomer_klaviyo.reconcile.recurring import schedule_recurring
from kustomer_klaviyo.store import lookups
from support.kustomer_documents import customer, email
from support.pipeline import Pipeline
from support.sample_ids import ADA, ADA_EMAIL

START = datetime(2026, 3, 20, 12, tzinfo=UTC)


async def enqueue_sweep(pipeline: Pipeline) -> None:
    async with pipeline.app.db.transaction() as tx:
        await lookups.enqueue(tx, "acme", [SWEEP])


async def test_a_deleted_customer_is_found_and_the_next_sweep_is_later(pipeline: Pipeline) -> None:
    await pipeline.connect()
    async with pipeline.session.post(f"{pipeline.kustomer}/sandbox/customers", json={"email": ADA_EMAIL}) as response:
        customer_id = (await response.json())["id"]
    await pipeline.receive_webhooks(customer(customer_id=customer_id, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    async with pipeline.session.delete(f"{pipeline.kustomer}/sandbox/customers/{customer_id}") as response:
        assert response.status < 300
    await enqueue_sweep(pipeline)
    await pipeline.run_lookups()
    await pipeline.run_lookups()
    assert [row["removed"] for row in await pipeline.sql("SELECT removed FROM customers")] == [True]
    assert any(row["is_removal"] for row in await pipeline.deliveries())
    [row] = await pipeline.sql("SELECT due_at - now() AS wait FROM lookups WHERE kind = 'sweep'")
    assert row["wait"] > timedelta(minutes=50)


async def test_an_empty_sweep_does_not_move_the_bookmark(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    bookmarks = []
    for _ in range(3):
        await enqueue_sweep(pipeline)
        await pipeline.app.db.execute("UPDATE lookups SET due_at = now() WHERE kind = 'sweep'")
        await pipeline.run_lookups()
        bookmarks += [
            row["value"] for row in await pipeline.sql("SELECT value FROM bookmarks WHERE name = 'swept_until'")
        ]
    assert len(bookmarks) == 3
    assert len(set(bookmarks)) == 1


async def test_the_sweep_can_be_switched_off(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await enqueue_sweep(pipeline)
    await pipeline.connect(sweep_interval_minutes=0)
    await pipeline.run_lookups()
    assert await pipeline.sql("SELECT FROM lookups WHERE kind = 'sweep'") == []
    assert "POST /v1/customers/search" not in await pipeline.request_counts(pipeline.kustomer)


async def test_a_changed_interval_counts_from_the_last_sweep_and_applies_at_once(pipeline: Pipeline) -> None:
    await pipeline.connect(sweep_interval_minutes=1440)
    await enqueue_sweep(pipeline)
    await pipeline.run_lookups()
    for minutes in (1, 600):
        await pipeline.connect(sweep_interval_minutes=minutes)
        await schedule_recurring(pipeline.app.db, [pipeline.context])
        [row] = await pipeline.sql("SELECT due_at - now() AS wait FROM lookups WHERE kind = 'sweep'")
        assert timedelta(minutes=minutes - 1) < row["wait"] <= timedelta(minutes=minutes)
