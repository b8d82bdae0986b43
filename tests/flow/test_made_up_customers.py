"""Cards of customers who were made up by whoever holds the card's secret: bounded, and never before real ones."""

import asyncio

from cast import ADA, ADAS, BO
from documents import customer, email
from kustomer_klaviyo.card.card_service import OF_STRANGERS, CardDesk
from kustomer_klaviyo.connections.registry import Directory
from kustomer_klaviyo.store import cards, lookups
from kustomer_klaviyo.store.lookups import Kind, Question
from line import NAME, Line

MADE_UP = [f"{number:024x}" for number in range(200)]


async def know_ada(line: Line) -> None:
    await line.connect()
    await line.receive(customer(customer_id=ADA, emails=[email(ADAS)]))


async def test_who_makes_customers_up_has_few_of_them_asked_about_and_real_cards_stay(line: Line) -> None:
    await know_ada(line)
    directory = Directory(line.home.connections, line.service.health)
    await directory.read()
    joined = directory.get(NAME)
    assert joined
    desk = CardDesk(line.home.database, directory)
    faces = [card.face for card in await asyncio.gather(*(desk.open(joined, one) for one in MADE_UP))]
    assert faces.count("busy") >= len(MADE_UP) - OF_STRANGERS.steady
    asked = await cards.due(line.home.database, NAME, 1000, but=[])
    assert len(asked) == len(MADE_UP) - faces.count("busy")
    assert (await desk.open(joined, ADA)).face != "busy"


async def test_a_card_of_somebody_known_is_fetched_before_those_of_nobody(line: Line) -> None:
    await know_ada(line)
    for one in (*MADE_UP[:3], ADA, *MADE_UP[3:6]):
        await cards.opened(line.home.database, NAME, one)
    due = await cards.due(line.home.database, NAME, 10, but=[])
    assert [card.customer_id for card in due] == [ADA, *MADE_UP[:6]]


async def test_what_an_event_asks_goes_before_what_only_cards_ask(line: Line) -> None:
    await line.connect()
    database = line.home.database
    for question in (
        *(Question(Kind.CUSTOMER, one, for_card=True) for one in MADE_UP[:3]),
        Question(Kind.CUSTOMER, ADA),
        Question(Kind.CUSTOMER, MADE_UP[2]),
        Question(Kind.CUSTOMER, BO),
        Question(Kind.CUSTOMER, BO, for_card=True),
    ):
        async with database.transaction() as connection:
            await lookups.ask(connection, NAME, [question])
    asked = [one.id for one in await lookups.due(database, NAME, 10)]
    assert set(asked[:3]) == {ADA, BO, MADE_UP[2]}
    assert asked[3:] == MADE_UP[:2]
