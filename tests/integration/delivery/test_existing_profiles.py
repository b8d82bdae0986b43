"""With the option update_only no profile is created."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.intake.dedup import DedupCache, read_content
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.store import conversations, recorded_facts
from kustomer_klaviyo.store.lookups import LookupKind
from support.kustomer_documents import conversation, customer, email, event
from support.pipeline import Pipeline
from support.sample_ids import ADA, ADA_EMAIL


@pytest.fixture
async def update_only(pipeline: Pipeline) -> Pipeline:
    await pipeline.connect(update_only=True)
    return pipeline


async def test_an_existing_profile_is_found_regardless_of_case(update_only: Pipeline) -> None:
    await update_only.create_profile(email=ADA_EMAIL)
    await update_only.receive_webhooks(
        customer(customer_id=ADA, emails=[email("Ada@Lantern.example")], firstName="Ada")
    )
    await update_only.receive_webhooks(conversation(customer=ADA))
    await update_only.write_profiles()
    await update_only.deliver_events()
    assert len(await update_only.klaviyo_events()) == 1
    assert [one["first_name"] for one in (await update_only.klaviyo_profiles()).values()] == ["Ada"]


async def test_a_deleted_profile_is_not_recreated(update_only: Pipeline) -> None:
    await update_only.create_profile(email=ADA_EMAIL)
    await update_only.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await update_only.write_profiles()
    await update_only.delete_profile(ADA_EMAIL)
    await update_only.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], firstName="Adah"))
    await update_only.write_profiles()
    assert (await update_only.klaviyo_profiles(), (await update_only.delivery_states())[-1]) == ({}, "skipped")
    await update_only.receive_webhooks(conversation(customer=ADA))
    await update_only.deliver_events()
    assert (await update_only.klaviyo_profiles(), await update_only.delivery_states("created")) == ({}, ["skipped"])


async def test_further_updates_of_a_customer_without_a_profile_send_no_request(update_only: Pipeline) -> None:
    await update_only.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]), conversation(customer=ADA))
    await update_only.write_profiles()
    await update_only.deliver_events()
    before = await update_only.request_counts(update_only.klaviyo)
    for rev in range(2, 12):
        assert not await is_new(update_only, conversation(rev=rev, customer=ADA))
    assert await update_only.request_counts(update_only.klaviyo) == before


async def is_new(pipeline: Pipeline, resource: dict[str, Any]) -> bool:
    """Say whether an update is new to an intake with an empty cache."""
    cache, body = DedupCache(), msgspec.json.encode(event(resource))
    content = read_content(pipeline.context, interpret(decode_webhook(body), received_at=datetime.now(UTC)))
    kind = LookupKind.CONVERSATION
    async with pipeline.app.db.transaction() as tx:
        stored = await conversations.versions(tx, cache.unknown_entities(content, kind))
        recorded = await recorded_facts.find(tx, cache.unknown_fact_keys(content))
        cache.prime(recorded, {(kind, key): version for key, version in stored.items()})
    return cache.is_new(content)
