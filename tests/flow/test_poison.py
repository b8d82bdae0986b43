"""One item never stops or poisons a line: whatever is wrong with it, it alone is set aside."""

import asyncio
import contextlib
from typing import Any

import psycopg
import pytest

from cast import ADA, ADAS
from documents import conversation, customer, email
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.store import cards, loop_failures
from line import Line
from patience import until

EVENTS = "/api/events"
NUL_IN_DETAIL = r'{"errors":[{"detail":"The \u0000 value is no good","source":{"pointer":"/data"}}]}'


async def begin(line: Line, **options: Any) -> None:
    """Connect, with a customer who is known and a conversation of theirs, which is to be told."""
    await line.connect(**options)
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]), conversation(customer=ADA))
    await line.write()


async def test_a_refusal_with_a_nul_in_its_words_ends_as_failed_after_one_request(line: Line) -> None:
    await begin(line)
    await line.misbehave(kind="answer", status=400, path=EVENTS, body=NUL_IN_DETAIL)
    await line.deliver(turns=10)
    assert await line.states("opened") == ["failed"]
    assert await line.met() == 1
    assert "The \ufffd value is no good" in (await line.told("opened"))[0]["reason"]


async def refuse(line: Line, table: str, when: str, *, event: str = "INSERT OR UPDATE", state: str = "P0001") -> None:
    """Let the database refuse rows of a table."""
    await line.home.database.execute(
        f"""CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF {when} THEN RAISE 'refused' USING ERRCODE = '{state}'; END IF; RETURN NEW; END $$"""
    )
    await line.home.database.execute(
        f"CREATE TRIGGER refuse BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_{table}()"
    )


async def accept(line: Line, table: str) -> None:
    """Let the database take rows again."""
    await line.home.database.execute(f"DROP FUNCTION refuse_{table} CASCADE")


def crowd(number: int) -> list[dict[str, Any]]:
    """So many customers, each with a conversation."""
    ids = [f"5f19aa0b1c2d3e4f5a6b{n:04d}" for n in range(number)]
    people = [customer(customer_id=one, emails=[email(f"p{n}@lantern.example")]) for n, one in enumerate(ids)]
    return people + [
        conversation(conversation_id=f"67dd47dfbc632c1804db{n:04d}", customer=one) for n, one in enumerate(ids)
    ]


async def test_an_event_whose_end_cannot_be_written_is_failed_after_one_request(line: Line) -> None:
    await begin(line)
    await refuse(line, "deliveries", "NEW.state = 'delivered'")
    await line.deliver(turns=10)
    assert (await line.requests(line.klaviyo))["create_event"] == 1
    [failed] = await line.told("opened")
    assert (failed["state"], failed["code"]) == ("failed", "database_refused")
    assert "RaiseException" in failed["reason"]
    assert "attempt_recorder.py" in failed["error"]


async def test_where_not_even_a_failure_can_be_written_the_request_is_not_repeated_at_once(line: Line) -> None:
    await begin(line)
    await refuse(line, "deliveries", "OLD.state = 'waiting' AND NEW.attempts > OLD.attempts", event="UPDATE")
    for _ in range(20):
        await line.run.deliver()
        await asyncio.gather(*line.run.in_flight)
    assert (await line.requests(line.klaviyo))["create_event"] == 1
    [failing] = await loop_failures.failing(line.home.database)
    assert (failing["connection_id"], failing["loop"], failing["code"]) == ("acme", "delivery", "database_refused")
    await line.begin_anew()
    await line.run.deliver()
    assert (await line.requests(line.klaviyo))["create_event"] == 1


async def test_a_full_disk_fails_nothing_and_repeats_no_request(line: Line) -> None:
    await begin(line)
    await refuse(line, "deliveries", "NEW.attempts > OLD.attempts", event="UPDATE", state="53100")
    for _ in range(20):
        await line.run.deliver()
        await asyncio.gather(*line.run.in_flight)
    assert (await line.requests(line.klaviyo))["create_event"] == 1
    assert await line.states("opened") == ["waiting"]
    assert line.home.database.is_disk_full
    [failing] = await loop_failures.failing(line.home.database)
    assert failing["code"] == "disk_full"


async def test_of_many_only_those_that_cannot_be_written_are_failed(line: Line) -> None:
    await line.connect()
    await line.receive(*crowd(30))
    await line.write()
    await refuse(line, "deliveries", "NEW.state = 'delivered' AND NEW.key IN ('opened:67dd47dfbc632c1804db0007')")
    await line.deliver(turns=10)
    assert sorted(await line.states("opened")) == ["delivered"] * 29 + ["failed"]
    assert (await line.requests(line.klaviyo))["bulk_create_events"] == 1


@pytest.mark.parametrize(
    "call", ['{"metric": 5}', "null", '{"metric": "a", "unique_id": "u", "time": "t", "properties": [1]}']
)
@pytest.mark.parametrize("number", [2, 30])
async def test_an_event_that_cannot_be_read_any_more_is_failed_and_the_others_go(
    line: Line, call: str, number: int
) -> None:
    await line.connect()
    await line.receive(*crowd(number))
    await line.write()
    await line.home.database.execute(
        "UPDATE deliveries SET call = %s WHERE key = 'opened:67dd47dfbc632c1804db0001'", (call,)
    )
    await line.deliver(turns=10)
    assert sorted(await line.states("opened")) == ["delivered"] * (number - 1) + ["failed"]
    [failed] = await line.sql("SELECT code, error FROM deliveries WHERE state = 'failed'")
    assert failed["code"] == "internal_error"
    assert "ValidationError" in failed["error"]


@pytest.mark.parametrize("number", [2, 60])
async def test_a_profile_write_that_cannot_be_read_any_more_is_failed_and_the_others_go(
    line: Line, number: int
) -> None:
    await line.connect()
    await line.receive(*crowd(number))
    await line.home.database.execute(
        """UPDATE deliveries SET call = '{"fields": 7}' WHERE kind = 'profile' AND subject LIKE '%%0001'"""
    )
    await line.write()
    assert sorted(await line.states()) == ["delivered"] * (number - 1) + ["failed"]


async def test_a_profile_write_whose_end_cannot_be_written_is_failed_after_one_request(line: Line) -> None:
    await line.connect()
    await line.receive(*crowd(2))
    await refuse(line, "deliveries", "NEW.state = 'delivered' AND NEW.subject LIKE '%0001'")
    await line.write(turns=10)
    assert sorted(await line.states()) == ["delivered", "failed"]
    assert (await line.requests(line.klaviyo))["create_or_update_profile"] == 2


async def test_an_import_whose_end_cannot_be_written_for_one_is_delivered_for_the_others(line: Line) -> None:
    await line.connect()
    await line.receive(*crowd(60))
    await refuse(line, "deliveries", "NEW.state = 'delivered' AND NEW.subject LIKE '%0001'")
    await line.write()
    assert sorted(await line.states()) == ["delivered"] * 59 + ["failed"]
    assert (await line.requests(line.klaviyo))["bulk_import_profiles"] == 1


async def test_an_import_that_cannot_be_noted_is_not_begun_again_at_once(line: Line) -> None:
    await line.connect()
    await line.receive(*crowd(60))
    await refuse(line, "imports", "true")
    for _ in range(5):
        with contextlib.suppress(psycopg.Error):
            await line.run.write_profiles()
        await asyncio.gather(*line.run.in_flight)
    assert (await line.requests(line.klaviyo))["bulk_import_profiles"] == 1


async def test_a_lookup_whose_answer_cannot_be_kept_is_failed_after_one_request_and_asked_again_on_need(
    line: Line,
) -> None:
    await line.connect()
    async with line.session.post(f"{line.kustomer}/sandbox/customers", json={"email": ADAS}) as response:
        made = (await response.json())["id"]
    await refuse(line, "inbox", "NEW.name LIKE '%.read'")
    await line.receive(conversation(customer=made))
    for _ in range(10):
        await line.run.ask()
        await asyncio.gather(*line.run.in_flight)
    [lookup] = await line.sql("SELECT kind, failed_at, note, error FROM lookups")
    assert lookup["failed_at"] is not None
    assert "the database refuses it" in lookup["note"]
    assert "lookup_runner.py" in lookup["error"]
    assert [n for what, n in (await line.requests(line.kustomer)).items() if what.startswith("GET /v1/customers")] == [
        1
    ]
    await accept(line, "inbox")
    await line.receive(conversation(conversation_id="67dd47dfbc632c1804db1bf2", customer=made))
    assert await line.sql("SELECT FROM lookups WHERE failed_at IS NOT NULL") == []


async def test_a_card_that_cannot_be_kept_is_not_fetched_again_at_once(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await cards.opened(line.home.database, "acme", ADA)
    await refuse(line, "insights", "NEW.document IS NOT NULL OR NEW.trouble IS NOT NULL", event="UPDATE")
    for _ in range(10):
        await line.run.fetch_cards()
        await asyncio.gather(*line.run.in_flight)
    before = sum((await line.requests(line.klaviyo)).values())
    for _ in range(10):
        await line.run.fetch_cards()
        await asyncio.gather(*line.run.in_flight)
    assert sum((await line.requests(line.klaviyo)).values()) == before
    [failing] = await loop_failures.failing(line.home.database)
    assert failing["loop"] == "fetch_cards"


async def test_a_loop_that_fails_is_seen_and_the_others_go_on_until_it_works_again(line: Line) -> None:
    await begin(line)
    await line.home.database.execute("ALTER TABLE insights RENAME TO elsewhere")
    run = asyncio.create_task(line.run.work())
    try:
        while await line.states("opened") != ["delivered"]:
            await asyncio.sleep(0.02)
        while not (failing := await loop_failures.failing(line.home.database)) or failing[0]["failures"] < 2:
            await asyncio.sleep(0.02)
        assert [(one["loop"], one["code"]) for one in failing] == [("fetch_cards", "database_unavailable")]
        await line.home.database.execute("ALTER TABLE elsewhere RENAME TO insights")
        while await loop_failures.failing(line.home.database):
            await asyncio.sleep(0.02)
    finally:
        line.run.end()
        await run


async def test_of_many_webhooks_only_that_which_cannot_be_processed_is_failed(line: Line) -> None:
    await line.connect()
    await refuse(line, "deliveries", "NEW.key = 'opened:67dd47dfbc632c1804db0003'")
    await line.receive(*crowd(8))
    assert len(await line.told("opened")) == 7
    [failed] = await line.sql("SELECT reason, error FROM inbox WHERE state = 'failed'")
    assert failed["reason"] == "fault"
    assert "RaiseException" in failed["error"]


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_where_it_cannot_be_noted_that_all_must_wait_nothing_is_failed_and_no_request_repeated(
    line: Line, status: int
) -> None:
    await begin(line)
    await refuse(line, "delivery_lanes", "true")
    await line.misbehave(kind="answer", status=status, path=EVENTS, body='{"errors":[{"detail":"no"}]}')
    for _ in range(10):
        await line.run.deliver()
        await asyncio.gather(*line.run.in_flight)
    assert await line.states("opened") == ["waiting"]
    assert await line.met() == 1


async def test_a_kept_event_that_cannot_be_read_any_more_is_failed_and_the_customers_others_are_told(
    line: Line,
) -> None:
    await line.connect()
    others = [conversation(conversation_id=f"67dd47dfbc632c1804db000{n}", customer=ADA) for n in range(3)]
    await line.receive(*others)
    await line.home.database.execute("""UPDATE deliveries SET fact = '{"at": 5}' WHERE key LIKE '%%0001'""")
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    assert sorted(await line.states("opened")) == ["failed", "waiting", "waiting"]
    await send_again(line.home.database, line.joined)
    assert sorted(await line.states("opened")) == ["failed", "waiting", "waiting"]
    assert await line.sql("SELECT FROM inbox WHERE state = 'failed'") == []


async def test_connections_that_cannot_be_read_any_more_are_told_as_a_failing_loop(line: Line) -> None:
    await line.connect()
    running = asyncio.create_task(line.service.run(door=True, work=False))
    await line.home.database.execute("ALTER TABLE connections RENAME TO elsewhere")

    async def is_told() -> bool:
        return bool(await line.sql("SELECT FROM loop_failures WHERE loop = 'refresh_connections'"))

    async def is_over() -> bool:
        return not await is_told()

    await until(is_told, "the loop is told as failing")
    await line.home.database.execute("ALTER TABLE elsewhere RENAME TO connections")
    await until(is_over, "the loop works again")
    line.service.stop()
    await running
