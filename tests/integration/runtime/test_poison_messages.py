"""Poison messages: an item with an error fails alone, and never blocks others."""

import asyncio
import contextlib
from typing import Any

import psycopg
import pytest

from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.store import cards, loop_failures
from support.kustomer_documents import conversation, customer, email
from support.pipeline import Pipeline
from support.sample_ids import ADA, ADA_EMAIL
from support.timeouts import wait_until

EVENTS = "/api/events"
NUL_IN_DETAIL = r'{"errors":[{"detail":"The \u0000 value is no good","source":{"pointer":"/data"}}]}'


async def begin(pipeline: Pipeline, **options: Any) -> None:
    """Connect, with a known customer and a conversation whose event is to be sent."""
    await pipeline.connect(**options)
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]), conversation(customer=ADA))
    await pipeline.write_profiles()


async def test_a_refusal_with_a_nul_in_its_detail_fails_after_one_request(pipeline: Pipeline) -> None:
    await begin(pipeline)
    await pipeline.add_fault(kind="response", status=400, path=EVENTS, body=NUL_IN_DETAIL)
    await pipeline.deliver_events(steps=10)
    assert await pipeline.delivery_states("created") == ["failed"]
    assert await pipeline.fault_hits() == 1
    assert "The \ufffd value is no good" in (await pipeline.deliveries("created"))[0]["response_detail"]


async def refuse(
    pipeline: Pipeline, table: str, when: str, *, event: str = "INSERT OR UPDATE", state: str = "P0001"
) -> None:
    """Make the database refuse rows of a table."""
    await pipeline.app.db.execute(
        f"""CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF {when} THEN RAISE 'refused' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$"""
    )
    await pipeline.app.db.execute(
        f"CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
    )


async def accept(pipeline: Pipeline, table: str) -> None:
    """Make the database accept rows again."""
    await pipeline.app.db.execute(f"DROP FUNCTION refuse_{table} CASCADE")


def customers_with_conversations(number: int) -> list[dict[str, Any]]:
    """Return documents of customers, each with a conversation."""
    ids = [f"5f19aa0b1c2d3e4f5a6b{n:04d}" for n in range(number)]
    customers = [
        customer(customer_id=customer_id, emails=[email(f"p{n}@lantern.example")]) for n, customer_id in enumerate(ids)
    ]
    return customers + [
        conversation(conversation_id=f"67dd47dfbc632c1804db{n:04d}", customer=customer_id)
        for n, customer_id in enumerate(ids)
    ]


async def test_an_event_whose_result_cannot_be_stored_fails_after_one_request(pipeline: Pipeline) -> None:
    await begin(pipeline)
    await refuse(pipeline, "deliveries", "NEW.state = 'delivered'")
    await pipeline.deliver_events(steps=10)
    assert (await pipeline.request_counts(pipeline.klaviyo))["create_event"] == 1
    [failed] = await pipeline.deliveries("created")
    assert (failed["state"], failed["error_code"]) == ("failed", "database_refused")
    assert "RaiseException" in failed["response_detail"]
    assert "attempt_recorder.py" in failed["error_traceback"]


async def test_if_not_even_the_failure_can_be_stored_the_request_is_not_repeated_at_once(pipeline: Pipeline) -> None:
    await begin(pipeline)
    await refuse(pipeline, "deliveries", "OLD.state = 'pending' AND NEW.attempts > OLD.attempts", event="UPDATE")
    for _ in range(20):
        await pipeline.worker.deliver_events()
        await asyncio.gather(*pipeline.worker.in_flight)
    assert (await pipeline.request_counts(pipeline.klaviyo))["create_event"] == 1
    [failing] = await loop_failures.current(pipeline.app.db)
    assert (failing["connection_id"], failing["loop"], failing["error_code"]) == (
        "acme",
        "deliver_events",
        "database_refused",
    )
    await pipeline.restart_worker()
    await pipeline.worker.deliver_events()
    assert (await pipeline.request_counts(pipeline.klaviyo))["create_event"] == 1


async def test_a_full_disk_fails_nothing_and_repeats_no_request(pipeline: Pipeline) -> None:
    await begin(pipeline)
    await refuse(pipeline, "deliveries", "NEW.attempts > OLD.attempts", event="UPDATE", state="53100")
    for _ in range(20):
        await pipeline.worker.deliver_events()
        await asyncio.gather(*pipeline.worker.in_flight)
    assert (await pipeline.request_counts(pipeline.klaviyo))["create_event"] == 1
    assert await pipeline.delivery_states("created") == ["pending"]
    assert pipeline.app.db.is_disk_full
    [failing] = await loop_failures.current(pipeline.app.db)
    assert failing["error_code"] == "disk_full"


async def test_in_a_batch_only_those_that_cannot_be_stored_fail(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers_with_conversations(30))
    await pipeline.write_profiles()
    await refuse(
        pipeline, "deliveries", "NEW.state = 'delivered' AND NEW.fact_key = 'created:67dd47dfbc632c1804db0007'"
    )
    await pipeline.deliver_events(steps=10)
    assert sorted(await pipeline.delivery_states("created")) == ["delivered"] * 29 + ["failed"]
    assert (await pipeline.request_counts(pipeline.klaviyo))["bulk_create_events"] == 1


@pytest.mark.parametrize(
    "call", ['{"metric": 5}', "null", '{"metric": "a", "unique_id": "u", "time": "t", "properties": [1]}']
)
@pytest.mark.parametrize("number", [2, 30])
async def test_an_unreadable_request_of_an_event_fails_and_the_others_are_sent(
    pipeline: Pipeline, call: str, number: int
) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers_with_conversations(number))
    await pipeline.write_profiles()
    await pipeline.app.db.execute(
        "UPDATE deliveries SET request = %s WHERE fact_key = 'created:67dd47dfbc632c1804db0001'", (call,)
    )
    await pipeline.deliver_events(steps=10)
    assert sorted(await pipeline.delivery_states("created")) == ["delivered"] * (number - 1) + ["failed"]
    [failed] = await pipeline.sql("SELECT error_code, error_traceback FROM deliveries WHERE state = 'failed'")
    assert failed["error_code"] == "internal_error"
    assert "ValidationError" in failed["error_traceback"]


@pytest.mark.parametrize("number", [2, 60])
async def test_an_unreadable_profile_write_fails_and_the_others_are_sent(pipeline: Pipeline, number: int) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers_with_conversations(number))
    await pipeline.app.db.execute(
        """UPDATE deliveries SET request = '{"fields": 7}' WHERE kind = 'profile' AND subject LIKE '%%0001'"""
    )
    await pipeline.write_profiles()
    assert sorted(await pipeline.delivery_states()) == ["delivered"] * (number - 1) + ["failed"]


async def test_a_profile_write_whose_result_cannot_be_stored_fails_after_one_request(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers_with_conversations(2))
    await refuse(pipeline, "deliveries", "NEW.state = 'delivered' AND NEW.subject LIKE '%0001'")
    await pipeline.write_profiles(steps=10)
    assert sorted(await pipeline.delivery_states()) == ["delivered", "failed"]
    assert (await pipeline.request_counts(pipeline.klaviyo))["create_or_update_profile"] == 2


async def test_a_bulk_import_whose_result_cannot_be_stored_for_one_keeps_the_others(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers_with_conversations(60))
    await refuse(pipeline, "deliveries", "NEW.state = 'delivered' AND NEW.subject LIKE '%0001'")
    await pipeline.write_profiles()
    assert sorted(await pipeline.delivery_states()) == ["delivered"] * 59 + ["failed"]
    assert (await pipeline.request_counts(pipeline.klaviyo))["bulk_import_profiles"] == 1


async def test_a_bulk_import_that_cannot_be_stored_is_not_repeated_at_once(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(*customers_with_conversations(60))
    await refuse(pipeline, "bulk_imports", "true")
    for _ in range(5):
        with contextlib.suppress(psycopg.Error):
            await pipeline.worker.write_profiles()
        await asyncio.gather(*pipeline.worker.in_flight)
    assert (await pipeline.request_counts(pipeline.klaviyo))["bulk_import_profiles"] == 1


async def test_a_lookup_whose_result_cannot_be_stored_fails_after_one_request_and_is_repeated_on_need(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect()
    async with pipeline.session.post(f"{pipeline.kustomer}/sandbox/customers", json={"email": ADA_EMAIL}) as response:
        customer_id = (await response.json())["id"]
    await refuse(pipeline, "inbox", "NEW.event_name LIKE '%.read'")
    await pipeline.receive_webhooks(conversation(customer=customer_id))
    for _ in range(10):
        await pipeline.worker.run_lookups()
        await asyncio.gather(*pipeline.worker.in_flight)
    [lookup] = await pipeline.sql("SELECT kind, failed_at, note, error_traceback FROM lookups")
    assert lookup["failed_at"] is not None
    assert "the database refuses it" in lookup["note"]
    assert "lookup_runner.py" in lookup["error_traceback"]
    assert [
        n
        for operation, n in (await pipeline.request_counts(pipeline.kustomer)).items()
        if operation.startswith("GET /v1/customers")
    ] == [1]
    await accept(pipeline, "inbox")
    await pipeline.receive_webhooks(conversation(conversation_id="67dd47dfbc632c1804db1bf2", customer=customer_id))
    assert await pipeline.sql("SELECT FROM lookups WHERE failed_at IS NOT NULL") == []


async def test_a_card_that_cannot_be_stored_is_not_fetched_again_at_once(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await cards.open_card(pipeline.app.db, "acme", ADA)
    await refuse(pipeline, "cards", "NEW.document IS NOT NULL OR NEW.error IS NOT NULL", event="UPDATE")
    for _ in range(10):
        await pipeline.worker.fetch_cards()
        await asyncio.gather(*pipeline.worker.in_flight)
    before = sum((await pipeline.request_counts(pipeline.klaviyo)).values())
    for _ in range(10):
        await pipeline.worker.fetch_cards()
        await asyncio.gather(*pipeline.worker.in_flight)
    assert sum((await pipeline.request_counts(pipeline.klaviyo)).values()) == before
    [failing] = await loop_failures.current(pipeline.app.db)
    assert failing["loop"] == "fetch_cards"


async def test_a_failing_loop_is_recorded_and_the_others_continue(pipeline: Pipeline) -> None:
    await begin(pipeline)
    await pipeline.app.db.execute("ALTER TABLE cards RENAME TO elsewhere")
    run = asyncio.create_task(pipeline.worker.run())
    try:
        while await pipeline.delivery_states("created") != ["delivered"]:
            await asyncio.sleep(0.02)
        while not (failing := await loop_failures.current(pipeline.app.db)) or failing[0]["consecutive_failures"] < 2:
            await asyncio.sleep(0.02)
        assert [(row["loop"], row["error_code"]) for row in failing] == [("fetch_cards", "database_unavailable")]
        await pipeline.app.db.execute("ALTER TABLE elsewhere RENAME TO cards")
        while await loop_failures.current(pipeline.app.db):
            await asyncio.sleep(0.02)
    finally:
        pipeline.worker.stop()
        await run


async def test_of_many_webhooks_only_the_unprocessable_one_fails(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await refuse(pipeline, "deliveries", "NEW.fact_key = 'created:67dd47dfbc632c1804db0003'")
    await pipeline.receive_webhooks(*customers_with_conversations(8))
    assert len(await pipeline.deliveries("created")) == 7
    [failed] = await pipeline.sql("SELECT reason, error_traceback FROM inbox WHERE state = 'failed'")
    assert failed["reason"] == "fault"
    assert "RaiseException" in failed["error_traceback"]


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_if_a_hold_cannot_be_stored_nothing_fails_and_no_request_is_repeated(
    pipeline: Pipeline, status: int
) -> None:
    await begin(pipeline)
    await refuse(pipeline, "connection_status", "true")
    await pipeline.add_fault(kind="response", status=status, path=EVENTS, body='{"errors":[{"detail":"no"}]}')
    for _ in range(10):
        await pipeline.worker.deliver_events()
        await asyncio.gather(*pipeline.worker.in_flight)
    assert await pipeline.delivery_states("created") == ["pending"]
    assert await pipeline.fault_hits() == 1


async def test_an_unreadable_fact_fails_and_the_other_events_of_the_customer_are_planned(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect()
    others = [conversation(conversation_id=f"67dd47dfbc632c1804db000{n}", customer=ADA) for n in range(3)]
    await pipeline.receive_webhooks(*others)
    await pipeline.app.db.execute("""UPDATE deliveries SET fact = '{"at": 5}' WHERE fact_key LIKE '%%0001'""")
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    assert sorted(await pipeline.delivery_states("created")) == ["failed", "pending", "pending"]
    await resend_failed(pipeline.app.db, pipeline.context)
    assert sorted(await pipeline.delivery_states("created")) == ["failed", "pending", "pending"]
    assert await pipeline.sql("SELECT FROM inbox WHERE state = 'failed'") == []


async def test_connections_that_cannot_be_loaded_are_recorded_as_a_failing_loop(pipeline: Pipeline) -> None:
    await pipeline.connect()
    running = asyncio.create_task(pipeline.service.run(serve_webhooks=True, run_worker=False))
    await pipeline.app.db.execute("ALTER TABLE connections RENAME TO elsewhere")

    async def is_failing() -> bool:
        return bool(await pipeline.sql("SELECT FROM loop_failures WHERE loop = 'refresh_connections'"))

    async def is_working() -> bool:
        return not await is_failing()

    await wait_until(is_failing, "the loop is recorded as failing")
    await pipeline.app.db.execute("ALTER TABLE elsewhere RENAME TO connections")
    await wait_until(is_working, "the loop works again")
    pipeline.service.stop()
    await running
