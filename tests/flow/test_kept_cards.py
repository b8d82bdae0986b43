"""Cards from the wish to what is kept, in one process on both simulated vendors."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from cast import ADA, ADAS, BO, BOS
from documents import conversation, customer, email
from kustomer_klaviyo.card.card_build import Draft, Insight
from kustomer_klaviyo.card.card_view import show
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.outcomes import Unreachable
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store import cards
from kustomer_klaviyo.store.customers import Reachable
from line import NAME, Line, laid
from patience import until


@pytest.fixture
async def shop(settings: Settings) -> AsyncIterator[Line]:
    """A line to a shop whose marketing wrote to people."""
    async with laid(settings, marketing=True) as ready:
        await ready.connect()
        yield ready


async def kept(line: Line, *customers: str) -> list[dict[str, Any] | None]:
    """Open cards, fetch what is wanted once, and return what is kept of each."""
    for one in customers:
        await cards.opened(line.home.database, NAME, one)
    await line.run.fetch_cards()
    await asyncio.gather(*line.run.in_flight)
    found = [await cards.read(line.home.database, NAME, one) for one in customers]
    return [None if one is None else one.document for one in found]


async def test_an_account_that_never_sent_a_message_has_cards_too(line: Line) -> None:
    await line.connect()
    await line.make(email=ADAS, first_name="Ada")
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    [document] = await kept(line, ADA)
    assert document is not None
    assert (document["status"], document["messages"], document["troubles"]) == ("known", [], {})


async def test_an_odd_name_costs_nobody_a_card(shop: Line) -> None:
    await shop.make(email=ADAS, first_name="A\x00da")
    await shop.make(email=BOS, first_name="Bo")
    await shop.receive(customer(customer_id=ADA, emails=[email(ADAS)]), customer(customer_id=BO, emails=[email(BOS)]))
    names = [document and document["who"]["name"] for document in await kept(shop, ADA, BO)]
    assert names == ["A\ufffdda", "Bo"]


async def test_of_a_customer_who_was_deleted_no_card_is_kept_even_if_nothing_was_written(settings: Settings) -> None:
    async with laid(settings, marketing=True) as line:
        await line.connect(profiles="none")
        await line.make(email=ADAS, first_name="Ada")
        await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
        assert await kept(line, ADA) != [None]
        await line.delete(ADA)
        assert await line.sql("SELECT * FROM insights") == []


async def test_a_card_fetched_before_the_profile_was_written_is_not_kept_as_unknown(shop: Line) -> None:
    await shop.receive(customer(customer_id=ADA, emails=[email(ADAS)]), conversation(customer=ADA))
    await cards.wish_ahead(shop.home.database, [(NAME, ADA)])
    await shop.run.fetch_cards()
    await asyncio.gather(*shop.run.in_flight)
    await shop.write()
    [document] = await kept(shop, ADA)
    assert document is not None
    assert document["status"] == "known"


def test_who_has_an_address_by_now_is_not_said_to_have_none_while_klaviyo_is_away() -> None:
    person = Reachable(ADA, ADAS, None, {}, (), False, None)
    draft = Draft(person, Insight(status="no_contact"), ())
    draft.took("profile", Unreachable("away"))
    assert show(draft.insight, ConnectionOptions(), account=None, trouble="away").face == "away"


async def test_whoever_is_wished_for_ahead_comes_along_with_a_card_that_an_agent_opens(shop: Line) -> None:
    for who, address in ((ADA, ADAS), (BO, BOS)):
        await shop.make(email=address)
        await shop.receive(customer(customer_id=who, emails=[email(address)]))
    await kept(shop, ADA)
    before = await shop.requests(shop.klaviyo)
    await shop.home.database.execute("UPDATE insights SET fresh_until = now()")
    await cards.wish_ahead(shop.home.database, [(NAME, BO)])
    await kept(shop, ADA)
    asked = await shop.requests(shop.klaviyo)
    assert asked["get_profiles"] - before["get_profiles"] == 1
    [row] = await shop.sql("SELECT document FROM insights WHERE customer_id = %s", (BO,))
    assert row["document"]["status"] == "known"


async def test_what_is_missing_is_fetched_and_not_what_is_there(shop: Line) -> None:
    await shop.make(email=ADAS)
    await shop.receive(customer(customer_id=ADA, emails=[email(ADAS)]))
    await shop.misbehave(kind="throttle", path="/api/lists/", retry_after=1, times=1)
    [document] = await kept(shop, ADA)
    assert document is not None
    assert document["troubles"] == {"lists": "throttled"}
    before = await shop.requests(shop.klaviyo)

    async def is_whole() -> bool:
        # Klaviyo said when it may be asked again; until then the card stays as it is.
        await shop.home.database.execute("UPDATE insights SET due_at = now()")
        [document] = await kept(shop, ADA)
        assert document is not None
        return (document["troubles"], document["lists"] is not None) == ({}, True)

    await until(is_whole, "the lists were fetched")
    asked = await shop.requests(shop.klaviyo)
    for operation in ("get_profiles", "get_events"):
        assert asked[operation] == before[operation]
