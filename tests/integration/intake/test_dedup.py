"""A change and a change back: the newest revision wins, whichever process received what, and in any order."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from kustomer_klaviyo.intake.receiver import Intake
from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.service import Service
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS
from support.kustomer_documents import CONVERSATION, CUSTOMER, conversation, customer, email, event
from support.pipeline import CONNECTION_ID, Pipeline

FIRST, SECOND = "ada@lantern.example", "new@lantern.example"


@asynccontextmanager
async def run_intake(pipeline: Pipeline) -> AsyncIterator[Intake]:
    """Run the intake of one process, with its own cache."""
    service = Service(pipeline.app, pipeline.session)
    await service.registry.load()
    running = asyncio.create_task(service.intake.run())
    yield service.intake
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def connected(pipeline: Pipeline) -> Pipeline:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(emails=[email(FIRST)]))
    return pipeline


async def receive(intake: Intake, resource: dict[str, Any]) -> str:
    body = json.dumps(event(resource, id=uuid.uuid4().hex)).encode()
    answer = await intake.receive(CONNECTION_ID, sign("token", body), body)
    assert answer.status == 200
    return answer.text


def conversation_marked(rev: int, *, spam: bool) -> dict[str, Any]:
    return conversation(rev=rev, spam=spam)


def conversation_of(rev: int, customer_id: str) -> dict[str, Any]:
    return conversation(rev=rev, customer=customer_id)


async def process(pipeline: Pipeline, *intakes: Intake) -> None:
    for intake in intakes:
        await intake.flush()
    await pipeline.receive_webhooks()


async def created_event(pipeline: Pipeline) -> tuple[str, str]:
    """Return the state and the customer of the created event."""
    [row] = await pipeline.deliveries("created")
    return row["state"], row["subject"]


async def queued_lookups(pipeline: Pipeline) -> set[tuple[str, str]]:
    return {(row["kind"], row["id"]) for row in await pipeline.sql("SELECT kind, id FROM lookups")}


async def test_a_change_and_its_change_back_during_a_commit_leave_no_change(
    connected: Pipeline,
) -> None:
    async with run_intake(connected) as intake:
        await receive(intake, conversation_marked(1, spam=False))
        await process(connected, intake)
        await asyncio.gather(*(receive(intake, conversation_marked(rev, spam=rev % 2 == 0)) for rev in range(2, 12)))
        await process(connected, intake)
    assert await created_event(connected) == ("pending", CUSTOMER)


async def test_a_change_back_that_arrives_before_the_change_stays_newer(connected: Pipeline) -> None:
    async with run_intake(connected) as intake:
        await receive(intake, conversation_of(1, CUSTOMER))
        assert await receive(intake, conversation_of(3, CUSTOMER)) == "unchanged"
        await receive(intake, conversation_of(2, "another"))
        await process(connected, intake)
    assert await created_event(connected) == ("pending", CUSTOMER)


async def test_within_one_commit_a_change_back_before_the_change_stays_newer(connected: Pipeline) -> None:
    async with run_intake(connected) as intake:
        await receive(intake, conversation_marked(1, spam=False))
        await asyncio.gather(*(receive(intake, conversation_marked(rev, spam=rev == 3)) for rev in (2, 4, 3)))
        await process(connected, intake)
    assert await created_event(connected) == ("pending", CUSTOMER)


async def test_a_change_back_stays_newer_after_a_restart(connected: Pipeline) -> None:
    async with run_intake(connected) as intake:
        await receive(intake, conversation_marked(1, spam=False))
        await process(connected, intake)
        await receive(intake, conversation_marked(3, spam=False))
        await process(connected, intake)
    async with run_intake(connected) as restarted:
        await receive(restarted, conversation_marked(2, spam=True))
        await process(connected, restarted)
    assert await created_event(connected) == ("pending", CUSTOMER)


async def test_a_conversation_changed_in_one_process_and_back_in_another_is_refetched(connected: Pipeline) -> None:
    async with run_intake(connected) as first, run_intake(connected) as second:
        await receive(first, conversation_marked(1, spam=False))
        await process(connected, first)
        assert await receive(second, conversation_marked(1, spam=False)) == "unchanged"
        await receive(first, conversation_marked(2, spam=True))
        await process(connected, first)
        assert await created_event(connected) == ("skipped", CUSTOMER)
        assert await receive(second, conversation_marked(3, spam=False)) == "unchanged"
        await process(connected, second)
    assert await queued_lookups(connected) == {("conversation", CONVERSATION)}


async def test_a_customer_changed_in_one_process_and_back_in_another_is_refetched(connected: Pipeline) -> None:
    async with run_intake(connected) as first, run_intake(connected) as second:
        assert await receive(second, customer(rev=2, emails=[email(FIRST)])) == "unchanged"
        await receive(first, customer(rev=3, emails=[email(SECOND)]))
        await process(connected, first)
        await receive(second, customer(rev=4, emails=[email(FIRST)]))
        await process(connected, second)
    assert await queued_lookups(connected) == {("customer", CUSTOMER)}


async def test_an_unchanged_customer_is_not_refetched_while_its_event_is_pending(connected: Pipeline) -> None:
    async with run_intake(connected) as intake:
        await receive(intake, customer(rev=2, emails=[email(SECOND)]))
        await receive(intake, customer(rev=3, emails=[email(SECOND)]))
        await intake.flush()
        await process(connected, intake)
        await process(connected, intake)
    assert await queued_lookups(connected) == set()
    [row] = await connected.sql("SELECT email, rev FROM customers")
    assert (row["email"], row["rev"]) == (SECOND, 3)


async def test_counters_that_cannot_be_written_raise_and_block_nothing_else(connected: Pipeline) -> None:
    async with run_intake(connected) as intake:
        assert await receive(intake, customer(rev=5, emails=[email(FIRST)])) == "unchanged"
        await connected.app.db.execute("ALTER TABLE counters RENAME TO elsewhere")
        with pytest.raises(UNAVAILABLE_ERRORS):
            await intake.flush()
        [row] = await connected.sql("SELECT rev FROM customers")
        assert row["rev"] == 5
        await connected.app.db.execute("ALTER TABLE elsewhere RENAME TO counters")
        await intake.flush()
    counts = await connected.sql("SELECT count FROM counters WHERE name = 'received'")
    assert counts == [{"count": 1}]
