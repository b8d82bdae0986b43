"""Cards from the request to the stored document, in one process with both simulated vendors."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kustomer_klaviyo.card.card_build import CardBuild, Insight
from kustomer_klaviyo.card.card_status import CardError, CardStatus
from kustomer_klaviyo.card.card_view import render_card
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.outcomes import Unreachable
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store import cards
from kustomer_klaviyo.store.customers import CustomerIdentity
from support.kustomer_documents import conversation, customer, email
from support.pipeline import CONNECTION_ID, Pipeline, run_pipeline
from support.sample_ids import ADA, ADA_EMAIL, BO, BO_EMAIL
from support.timeouts import wait_until


@pytest.fixture
async def marketing_pipeline(settings: Settings) -> AsyncIterator[Pipeline]:
    """A pipeline to an account with a marketing history."""
    async with run_pipeline(settings, marketing=True) as pipeline:
        await pipeline.connect()
        yield pipeline


async def open_and_fetch(pipeline: Pipeline, *customer_ids: str) -> list[dict[str, Any] | None]:
    """Open cards, fetch the requested cards once, and return the stored documents."""
    for customer_id in customer_ids:
        await cards.open_card(pipeline.app.db, CONNECTION_ID, customer_id)
    await pipeline.worker.fetch_cards()
    await asyncio.gather(*pipeline.worker.in_flight)
    stored = [await cards.read(pipeline.app.db, CONNECTION_ID, customer_id) for customer_id in customer_ids]
    return [None if card is None else card.document for card in stored]


async def test_an_account_without_message_metrics_has_cards(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.create_profile(email=ADA_EMAIL, first_name="Ada")
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    [document] = await open_and_fetch(pipeline, ADA)
    assert document is not None
    assert (document["status"], document["messages"], document["errors"]) == (CardStatus.OK, [], {})


async def test_an_invalid_character_in_a_name_does_not_affect_other_cards(marketing_pipeline: Pipeline) -> None:
    await marketing_pipeline.create_profile(email=ADA_EMAIL, first_name="A\x00da")
    await marketing_pipeline.create_profile(email=BO_EMAIL, first_name="Bo")
    await marketing_pipeline.receive_webhooks(
        customer(customer_id=ADA, emails=[email(ADA_EMAIL)]), customer(customer_id=BO, emails=[email(BO_EMAIL)])
    )
    names = [document and document["profile"]["name"] for document in await open_and_fetch(marketing_pipeline, ADA, BO)]
    assert names == ["A\ufffdda", "Bo"]


async def test_the_card_of_a_deleted_customer_is_deleted_even_if_no_profile_was_sent(settings: Settings) -> None:
    async with run_pipeline(settings, marketing=True) as pipeline:
        await pipeline.connect(profiles="none")
        await pipeline.create_profile(email=ADA_EMAIL, first_name="Ada")
        await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
        assert await open_and_fetch(pipeline, ADA) != [None]
        await pipeline.delete_customer(ADA)
        assert await pipeline.sql("SELECT * FROM cards") == []


async def test_a_card_fetched_before_the_profile_was_sent_is_fetched_again(marketing_pipeline: Pipeline) -> None:
    await marketing_pipeline.receive_webhooks(
        customer(customer_id=ADA, emails=[email(ADA_EMAIL)]), conversation(customer=ADA)
    )
    await cards.request_prefetch(marketing_pipeline.app.db, [(CONNECTION_ID, ADA)])
    await marketing_pipeline.worker.fetch_cards()
    await asyncio.gather(*marketing_pipeline.worker.in_flight)
    await marketing_pipeline.write_profiles()
    [document] = await open_and_fetch(marketing_pipeline, ADA)
    assert document is not None
    assert document["status"] == CardStatus.OK


def test_a_stored_status_without_contact_is_dropped_once_the_customer_has_a_contact() -> None:
    ada = CustomerIdentity(ADA, ADA_EMAIL, None, {}, (), False, None)
    build = CardBuild(ada, Insight(status=CardStatus.NO_CONTACT), ())
    build.record("profile", Unreachable("no connection"))
    card = render_card(build.insight, ConnectionOptions(), account=None, error=CardError.KLAVIYO_UNAVAILABLE)
    assert card.status is CardStatus.KLAVIYO_UNAVAILABLE


async def test_a_requested_prefetch_is_fetched_together_with_an_opened_card(marketing_pipeline: Pipeline) -> None:
    for customer_id, address in ((ADA, ADA_EMAIL), (BO, BO_EMAIL)):
        await marketing_pipeline.create_profile(email=address)
        await marketing_pipeline.receive_webhooks(customer(customer_id=customer_id, emails=[email(address)]))
    await open_and_fetch(marketing_pipeline, ADA)
    before = await marketing_pipeline.request_counts(marketing_pipeline.klaviyo)
    await marketing_pipeline.app.db.execute("UPDATE cards SET fresh_until = now()")
    await cards.request_prefetch(marketing_pipeline.app.db, [(CONNECTION_ID, BO)])
    await open_and_fetch(marketing_pipeline, ADA)
    after = await marketing_pipeline.request_counts(marketing_pipeline.klaviyo)
    assert after["get_profiles"] - before["get_profiles"] == 1
    [row] = await marketing_pipeline.sql("SELECT document FROM cards WHERE customer_id = %s", (BO,))
    assert row["document"]["status"] == CardStatus.OK


async def test_only_the_missing_parts_of_a_card_are_fetched_again(marketing_pipeline: Pipeline) -> None:
    await marketing_pipeline.create_profile(email=ADA_EMAIL)
    await marketing_pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await marketing_pipeline.add_fault(kind="throttle", path="/api/lists/", retry_after=1, times=1)
    [document] = await open_and_fetch(marketing_pipeline, ADA)
    assert document is not None
    assert document["errors"] == {"lists": CardError.RATE_LIMITED}
    before = await marketing_pipeline.request_counts(marketing_pipeline.klaviyo)

    async def is_complete() -> bool:
        # Until the time that Klaviyo named, the card stays as it is.
        await marketing_pipeline.app.db.execute("UPDATE cards SET due_at = now()")
        [document] = await open_and_fetch(marketing_pipeline, ADA)
        assert document is not None
        return (document["errors"], document["lists"] is not None) == ({}, True)

    await wait_until(is_complete, "the lists were fetched")
    after = await marketing_pipeline.request_counts(marketing_pipeline.klaviyo)
    for operation in ("get_profiles", "get_events"):
        assert after[operation] == before[operation]
