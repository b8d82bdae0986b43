"""With the option update_only nobody becomes a profile who was none."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from cast import ADA, ADAS
from documents import conversation, customer, email, event
from kustomer_klaviyo.intake.dedup import Doorkeeper, told_by
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.store import conversations, recorded_facts
from line import Line


@pytest.fixture
async def wary(line: Line) -> Line:
    await line.connect(update_only=True)
    return line


async def test_somebody_known_is_known_in_whatever_letters(wary: Line) -> None:
    await wary.make(email=ADAS)
    await wary.receive(customer(customer_id=ADA, emails=[email("Ada@Lantern.example")], firstName="Ada"))
    await wary.receive(conversation(customer=ADA))
    await wary.write()
    await wary.deliver()
    assert len(await wary.arrived()) == 1
    assert [one["first_name"] for one in (await wary.held()).values()] == ["Ada"]


async def test_somebody_whose_profile_was_deleted_is_a_stranger(wary: Line) -> None:
    await wary.make(email=ADAS)
    await wary.receive(customer(customer_id=ADA, rev=1, emails=[email(ADAS)], firstName="Ada"))
    await wary.write()
    await wary.erase(ADAS)
    await wary.receive(customer(customer_id=ADA, rev=2, emails=[email(ADAS)], firstName="Adah"))
    await wary.write()
    assert (await wary.held(), (await wary.states())[-1]) == ({}, "skipped")
    await wary.receive(conversation(customer=ADA))
    await wary.deliver()
    assert (await wary.held(), await wary.states("opened")) == ({}, ["skipped"])


async def test_what_a_stranger_does_next_costs_nothing(wary: Line) -> None:
    await wary.receive(customer(customer_id=ADA, emails=[email(ADAS)]), conversation(customer=ADA))
    await wary.write()
    await wary.deliver()
    before = await wary.requests(wary.klaviyo)
    for rev in range(2, 12):
        assert not await is_news(wary, conversation(rev=rev, customer=ADA))
    assert await wary.requests(wary.klaviyo) == before


async def is_news(line: Line, resource: dict[str, Any]) -> bool:
    """Say whether the door, which remembers nothing, lets an update in."""
    keeper, body = Doorkeeper(), msgspec.json.encode(event(resource))
    told = told_by(line.joined, interpret(decode_webhook(body), received_at=datetime.now(UTC)))
    async with line.home.database.transaction() as connection:
        keys = await recorded_facts.told(connection, keeper.unknown_keys(told))
        keeper.learn(keys, {}, await conversations.known(connection, keeper.unknown_conversations(told)))
    return keeper.is_news(told)
