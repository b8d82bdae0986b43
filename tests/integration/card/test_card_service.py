"""Cards of made-up customer ids: their number is limited, and real customers go first."""

import asyncio

from kustomer_klaviyo.card.card_service import UNKNOWN_CUSTOMER_LIMITS, CardService
from kustomer_klaviyo.card.card_status import CardStatus
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.store import cards, lookups
from kustomer_klaviyo.store.lookups import Lookup, LookupKind
from support.kustomer_documents import customer, email
from support.pipeline import CONNECTION_ID, Pipeline
from support.sample_ids import ADA, ADA_EMAIL, BO

MADE_UP_IDS = [f"{number:024x}" for number in range(200)]


async def create_ada(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))


async def test_lookups_of_made_up_customers_are_limited_and_real_cards_are_answered(pipeline: Pipeline) -> None:
    await create_ada(pipeline)
    registry = ConnectionRegistry(pipeline.app.connections, pipeline.service.health)
    await registry.load()
    context = registry.get(CONNECTION_ID)
    assert context
    service = CardService(pipeline.app.db, registry)
    opened = await asyncio.gather(*(service.open(context, customer_id) for customer_id in MADE_UP_IDS))
    rejected = [card.status for card in opened].count(CardStatus.TOO_MANY_REQUESTS)
    assert rejected >= len(MADE_UP_IDS) - UNKNOWN_CUSTOMER_LIMITS.steady
    due = await cards.due(pipeline.app.db, CONNECTION_ID, 1000, exclude=[])
    assert len(due) == len(MADE_UP_IDS) - rejected
    assert (await service.open(context, ADA)).status is not CardStatus.TOO_MANY_REQUESTS


async def test_the_card_of_a_stored_customer_is_fetched_before_those_of_unknown_ones(pipeline: Pipeline) -> None:
    await create_ada(pipeline)
    for customer_id in (*MADE_UP_IDS[:3], ADA, *MADE_UP_IDS[3:6]):
        await cards.open_card(pipeline.app.db, CONNECTION_ID, customer_id)
    due = await cards.due(pipeline.app.db, CONNECTION_ID, 10, exclude=[])
    assert [card.customer_id for card in due] == [ADA, *MADE_UP_IDS[:6]]


async def test_lookups_for_events_go_before_lookups_for_cards(pipeline: Pipeline) -> None:
    await pipeline.connect()
    db = pipeline.app.db
    for lookup in (
        *(Lookup(LookupKind.CUSTOMER, customer_id, for_card=True) for customer_id in MADE_UP_IDS[:3]),
        Lookup(LookupKind.CUSTOMER, ADA),
        Lookup(LookupKind.CUSTOMER, MADE_UP_IDS[2]),
        Lookup(LookupKind.CUSTOMER, BO),
        Lookup(LookupKind.CUSTOMER, BO, for_card=True),
    ):
        async with db.transaction() as tx:
            await lookups.enqueue(tx, CONNECTION_ID, [lookup])
    due = [lookup.id for lookup in await lookups.due(db, CONNECTION_ID, 10)]
    assert set(due[:3]) == {ADA, BO, MADE_UP_IDS[2]}
    assert due[3:] == MADE_UP_IDS[:2]
