"""What changes and changes back is as the newest revision says: whoever received what lies between, and whenever."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from documents import CONVERSATION, CUSTOMER, conversation, customer, email, event
from kustomer_klaviyo.intake.receiver import Intake
from kustomer_klaviyo.kustomer.signature import sign
from kustomer_klaviyo.service import Service
from kustomer_klaviyo.store.database import UNREACHABLE
from line import NAME, Line

FIRST, SECOND = "ada@lantern.example", "new@lantern.example"


@asynccontextmanager
async def door(line: Line) -> AsyncIterator[Intake]:
    """The door of one process, which remembers what it received itself."""
    service = Service(line.home, line.session)
    await service.directory.read()
    running = asyncio.create_task(service.intake.run())
    yield service.intake
    running.cancel()
    await asyncio.wait([running])


@pytest.fixture
async def connected(line: Line) -> Line:
    await line.connect()
    await line.receive(customer(emails=[email(FIRST)]))
    return line


async def bring(intake: Intake, resource: dict[str, Any]) -> str:
    body = json.dumps(event(resource, id=uuid.uuid4().hex)).encode()
    answer = await intake.receive(NAME, sign("token", body), body)
    assert answer.status == 200
    return answer.text


def marked(rev: int, *, spam: bool) -> dict[str, Any]:
    return conversation(rev=rev, spam=spam)


def given(rev: int, to: str) -> dict[str, Any]:
    return conversation(rev=rev, customer=to)


async def process(line: Line, *intakes: Intake) -> None:
    for intake in intakes:
        await intake.write_notes()
    await line.receive()


async def created(line: Line) -> tuple[str, str]:
    """Return the state of the created event, and whose it is."""
    [row] = await line.told("opened")
    return row["state"], row["subject"]


async def asked(line: Line) -> set[tuple[str, str]]:
    return {(row["kind"], row["id"]) for row in await line.sql("SELECT kind, id FROM lookups")}


async def test_what_is_marked_and_unmarked_while_it_is_being_stored_is_not_marked(connected: Line) -> None:
    async with door(connected) as intake:
        await bring(intake, marked(1, spam=False))
        await process(connected, intake)
        await asyncio.gather(*(bring(intake, marked(rev, spam=rev % 2 == 0)) for rev in range(2, 12)))
        await process(connected, intake)
    assert await created(connected) == ("waiting", CUSTOMER)


async def test_a_change_back_that_arrives_before_the_change_stays_the_newer_one(connected: Line) -> None:
    async with door(connected) as intake:
        await bring(intake, given(1, CUSTOMER))
        assert await bring(intake, given(3, CUSTOMER)) == "nothing new"
        await bring(intake, given(2, "another"))
        await process(connected, intake)
    assert await created(connected) == ("waiting", CUSTOMER)


async def test_within_one_commit_a_change_back_before_the_change_stays_the_newer_one(connected: Line) -> None:
    async with door(connected) as intake:
        await bring(intake, marked(1, spam=False))
        await asyncio.gather(*(bring(intake, marked(rev, spam=rev == 3)) for rev in (2, 4, 3)))
        await process(connected, intake)
    assert await created(connected) == ("waiting", CUSTOMER)


async def test_a_change_back_stays_the_newer_one_when_the_door_has_forgotten_it(connected: Line) -> None:
    async with door(connected) as intake:
        await bring(intake, marked(1, spam=False))
        await process(connected, intake)
        await bring(intake, marked(3, spam=False))
        await process(connected, intake)
    async with door(connected) as restarted:
        await bring(restarted, marked(2, spam=True))
        await process(connected, restarted)
    assert await created(connected) == ("waiting", CUSTOMER)


async def test_a_conversation_changed_at_one_door_and_back_at_another_is_read_again(connected: Line) -> None:
    async with door(connected) as one, door(connected) as other:
        await bring(one, marked(1, spam=False))
        await process(connected, one)
        assert await bring(other, marked(1, spam=False)) == "nothing new"
        await bring(one, marked(2, spam=True))
        await process(connected, one)
        assert await created(connected) == ("skipped", CUSTOMER)
        assert await bring(other, marked(3, spam=False)) == "nothing new"
        await process(connected, other)
    assert await asked(connected) == {("conversation", CONVERSATION)}


async def test_a_customer_changed_at_one_door_and_back_at_another_is_read_again(connected: Line) -> None:
    async with door(connected) as one, door(connected) as other:
        assert await bring(other, customer(rev=2, emails=[email(FIRST)])) == "nothing new"
        await bring(one, customer(rev=3, emails=[email(SECOND)]))
        await process(connected, one)
        await bring(other, customer(rev=4, emails=[email(FIRST)]))
        await process(connected, other)
    assert await asked(connected) == {("customer", CUSTOMER)}


async def test_what_is_unchanged_while_its_news_wait_to_be_processed_is_not_read(connected: Line) -> None:
    async with door(connected) as intake:
        await bring(intake, customer(rev=2, emails=[email(SECOND)]))
        await bring(intake, customer(rev=3, emails=[email(SECOND)]))
        await intake.write_notes()
        await process(connected, intake)
        await process(connected, intake)
    assert await asked(connected) == set()
    [person] = await connected.sql("SELECT email, rev FROM people")
    assert (person["email"], person["rev"]) == (SECOND, 3)


async def test_counters_that_cannot_be_written_fail_visibly_and_hold_up_nothing_else(connected: Line) -> None:
    async with door(connected) as intake:
        assert await bring(intake, customer(rev=5, emails=[email(FIRST)])) == "nothing new"
        await connected.home.database.execute("ALTER TABLE tallies RENAME TO elsewhere")
        with pytest.raises(UNREACHABLE):
            await intake.write_notes()
        [person] = await connected.sql("SELECT rev FROM people")
        assert person["rev"] == 5
        await connected.home.database.execute("ALTER TABLE elsewhere RENAME TO tallies")
        await intake.write_notes()
    counted = await connected.sql("SELECT count FROM tallies WHERE name = 'received'")
    assert counted == [{"count": 1}]
