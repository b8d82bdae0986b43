"""Merged and deleted customers: their profiles are handled, and no others are changed."""

import pytest

from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import retention
from support.kustomer_documents import conversation, customer, email, phone
from support.pipeline import Pipeline
from support.sample_ids import ADA, ADA_EMAIL, BO, BO_EMAIL, CY, NEW_EMAIL, ONE_OPEN_CONVERSATION, OPEN_PROPERTY, PHONE


async def create_two_customers_with_one_email(pipeline: Pipeline) -> None:
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(
        customer(customer_id=BO, emails=[email("Ada@Lantern.example")], firstName="Ada", **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()


@pytest.mark.parametrize("action", ["erase", "clear"])
async def test_deleting_one_of_two_customers_with_one_email_keeps_the_profile(pipeline: Pipeline, action: str) -> None:
    await pipeline.connect(on_deletion=action)
    await create_two_customers_with_one_email(pipeline)
    await pipeline.delete_customer(ADA)
    await pipeline.write_profiles()
    [profile] = (await pipeline.klaviyo_profiles()).values()
    assert (profile["first_name"], profile["properties"][OPEN_PROPERTY]) == ("Ada", 1)
    [row] = [row for row in await pipeline.deliveries("profile") if row["is_removal"]]
    assert (row["state"], row["reason"]) == ("skipped", Reason.DELETED_PROFILE_SHARED)
    assert BO in row["fact"]["notes"][-1]


async def test_merging_two_customers_with_one_email_keeps_the_targets_support_state(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await create_two_customers_with_one_email(pipeline)
    await pipeline.merge_customers(ADA, BO)
    await pipeline.write_profiles()
    [profile] = (await pipeline.klaviyo_profiles()).values()
    assert profile["properties"][OPEN_PROPERTY] == 1


async def test_merging_a_customer_with_a_phone_only_clears_the_open_conversations(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, phones=[phone(PHONE)], **ONE_OPEN_CONVERSATION))
    await pipeline.receive_webhooks(customer(customer_id=BO, emails=[email(BO_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.merge_customers(ADA, BO)
    await pipeline.write_profiles()
    assert OPEN_PROPERTY not in (await pipeline.klaviyo_profiles())[PHONE]["properties"]


async def test_a_merge_is_recorded_and_looks_the_target_up(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, emails=[email(ADA_EMAIL)]), customer(customer_id=BO, emails=[email(BO_EMAIL)])
    )
    await pipeline.write_profiles()
    await pipeline.merge_customers(ADA, BO)
    [row] = [row for row in await pipeline.deliveries("profile") if row["is_removal"]]
    assert row["reason"] == Reason.CUSTOMER_MERGED
    assert BO in row["fact"]["notes"][-1]
    assert {"kind": "customer", "id": BO} in await pipeline.sql("SELECT kind, id FROM lookups")


async def test_merges_in_any_order_lead_to_the_final_target(pipeline: Pipeline) -> None:
    await pipeline.connect()
    for customer_id, address in ((ADA, ADA_EMAIL), (BO, BO_EMAIL), (CY, NEW_EMAIL)):
        await pipeline.receive_webhooks(customer(customer_id=customer_id, emails=[email(address)]))
    await pipeline.write_profiles()
    await pipeline.merge_customers(BO, CY)
    await pipeline.merge_customers(ADA, BO)
    await pipeline.receive_webhooks(conversation(customer=ADA))
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert [event["email"] for event in await pipeline.klaviyo_events()] == [NEW_EMAIL]


async def test_a_merge_target_has_the_conversations_of_the_source(
    pipeline: Pipeline,
) -> None:
    await pipeline.connect(profiles="conversations")
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, emails=[email(ADA_EMAIL)]), customer(customer_id=BO, emails=[email(BO_EMAIL)])
    )
    await pipeline.receive_webhooks(conversation(customer=ADA))
    await pipeline.write_profiles()
    assert list(await pipeline.klaviyo_profiles()) == [ADA_EMAIL]
    await pipeline.merge_customers(ADA, BO)
    await pipeline.write_profiles()
    profiles = await pipeline.klaviyo_profiles()
    assert (OPEN_PROPERTY in profiles[ADA_EMAIL]["properties"], profiles[BO_EMAIL]["properties"][OPEN_PROPERTY]) == (
        False,
        1,
    )


@pytest.fixture
async def erased(pipeline: Pipeline) -> Pipeline:
    """A pipeline with an erased customer who had a pending event."""
    await pipeline.connect(on_deletion="erase")
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=3, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    await pipeline.receive_webhooks(conversation(customer=ADA))
    await pipeline.delete_customer(ADA)
    await pipeline.write_profiles()
    while await pipeline.klaviyo_profiles():
        pass
    return pipeline


async def test_pending_events_of_an_erased_customer_are_not_sent(erased: Pipeline) -> None:
    await erased.deliver_events()
    assert await erased.delivery_states("created") == ["failed"]
    assert await erased.klaviyo_profiles() == {}


async def test_a_late_webhook_does_not_recreate_an_erased_profile(erased: Pipeline) -> None:
    for rev in (3, 4):
        late = customer(customer_id=ADA, rev=rev, emails=[email(ADA_EMAIL)], updatedAt="2026-03-20T19:00:00.000Z")
        await erased.receive_webhooks(late)
    await erased.write_profiles()
    assert await erased.klaviyo_profiles() == {}


async def test_a_customer_updated_after_the_deletion_is_written_again(erased: Pipeline) -> None:
    await erased.receive_webhooks(
        customer(
            customer_id=ADA, rev=5, emails=[email(ADA_EMAIL)], updatedAt="2126-03-20T19:00:00.000Z", firstName="Ada"
        )
    )
    await erased.write_profiles()
    assert (await erased.klaviyo_profiles())[ADA_EMAIL]["first_name"] == "Ada"


@pytest.mark.parametrize("action", ["erase", "clear"])
async def test_a_failed_removal_is_retried_unchanged(pipeline: Pipeline, action: str) -> None:
    await pipeline.connect(on_deletion=action)
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    await pipeline.add_refusal("/api/data-privacy", times=1)
    await pipeline.add_refusal("/api/profiles/", method="PATCH", times=1)
    await pipeline.delete_customer(ADA)
    await pipeline.write_profiles()
    assert (await pipeline.delivery_states())[-1] == "failed"
    await resend_failed(pipeline.app.db, pipeline.context)
    await pipeline.write_profiles()
    assert (await pipeline.delivery_states())[-1] == "delivered"
    if action == "erase":
        while await pipeline.klaviyo_profiles():
            pass
    else:
        assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["first_name"] is None


async def test_an_erasure_without_the_scope_fails_and_blocks_nothing(pipeline: Pipeline) -> None:
    await pipeline.connect(on_deletion="erase")
    scopes = ["events:write", "profiles:read", "profiles:write", "lists:read", "lists:write"]
    await pipeline.set_keys({pipeline.keys[0]: scopes})
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.delete_customer(ADA)
    await pipeline.write_profiles()
    row = (await pipeline.deliveries("profile"))[-1]
    assert (row["state"], row["reason"]) == ("failed", Reason.ERASURE_SCOPE_MISSING)
    assert await pipeline.sql("SELECT FROM connection_status WHERE paused") == []


async def test_clearing_a_missing_profile_does_not_create_one(pipeline: Pipeline) -> None:
    await pipeline.connect(on_deletion="clear")
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    await pipeline.delete_profile(ADA_EMAIL)
    await pipeline.delete_customer(ADA)
    await pipeline.write_profiles()
    assert await pipeline.klaviyo_profiles() == {}
    assert (await pipeline.delivery_states())[-1] == "skipped"


async def test_a_removal_is_retained_longer_than_profile_writes(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.delete_customer(ADA)
    await pipeline.app.db.execute("UPDATE deliveries SET created_at = created_at - interval '60 days'")
    assert await retention.delete_expired_profiles(pipeline.app.db, "acme", days=30) == 1
    assert [row["is_removal"] for row in await pipeline.deliveries()] == [True]


async def test_the_card_of_a_removed_customer_is_deleted(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await pipeline.write_profiles()
    await pipeline.app.db.execute("INSERT INTO cards (connection_id, customer_id) VALUES ('acme', %s)", (ADA,))
    await pipeline.delete_customer(ADA)
    assert await pipeline.sql("SELECT FROM cards") == []
