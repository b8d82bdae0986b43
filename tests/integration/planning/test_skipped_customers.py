"""Customers for whom nothing is sent any more, and the support state on their profiles."""

from typing import Any

from kustomer_klaviyo.store import retention
from support.kustomer_documents import conversation, customer, email
from support.pipeline import Pipeline
from support.sample_ids import ADA, ADA_EMAIL, ONE_OPEN_CONVERSATION, OPEN_PROPERTY

DONE = {"createdAt": "2026-03-21T18:50:55.976Z"}
RATED = {
    "status": "rated", "rating": 2, "score": 0, "formResponse": "67dd47dfbc632c1804db1aaa",
    "updatedAt": "2026-03-21T19:50:55.976Z",
}  # fmt: skip
OURS, THEIRS = "5f19aa0b1c2d3e4f5a6b7d01", "5f19aa0b1c2d3e4f5a6b7d02"


async def test_the_support_state_of_an_excluded_customer_is_cleared(pipeline: Pipeline) -> None:
    await pipeline.connect(only_attributes={"custom.vipBool": "true"})
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], custom={"vipBool": True}, **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"][OPEN_PROPERTY] == 1
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], custom={"vipBool": False}, **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    assert OPEN_PROPERTY not in (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"]
    assert len(await pipeline.deliveries("profile")) == 2


def conversation_of_brand(rev: int, brand: str, **attributes: Any) -> dict[str, Any]:
    document = conversation(rev=rev, customer=ADA, **attributes)
    document["relationships"]["brand"] = {"data": {"type": "brand", "id": brand}}
    return document


async def test_the_support_state_is_cleared_when_all_conversations_move_to_another_brand(pipeline: Pipeline) -> None:
    await pipeline.connect(profiles="conversations")
    rules = [{"brand": OURS, "to": "acme"}, {"brand": THEIRS, "to": "none"}]
    await pipeline.app.connections.save_routes("sandbox", {"routes": rules, "default": "none"})
    await pipeline.restart_worker()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await pipeline.receive_webhooks(conversation_of_brand(1, OURS))
    await pipeline.write_profiles()
    assert (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"][OPEN_PROPERTY] == 1
    await pipeline.receive_webhooks(conversation_of_brand(2, THEIRS))
    await pipeline.write_profiles()
    assert OPEN_PROPERTY not in (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"]


async def test_the_support_state_outlives_the_retention_of_deliveries(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)]))
    await pipeline.receive_webhooks(conversation(customer=ADA, status="done", lastDone=DONE, satisfactionLevel=RATED))
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    before = (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"]
    assert before["Kustomer Last CSAT Rating"] == 2
    await pipeline.app.db.execute("UPDATE deliveries SET occurred_at = occurred_at - interval '500 days'")
    await pipeline.app.db.execute("UPDATE deliveries SET created_at = created_at - interval '500 days'")
    await retention.delete_expired(pipeline.app.db, "acme", days=400)
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], firstName="Ada"))
    await pipeline.write_profiles()
    profile = (await pipeline.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["first_name"], profile["properties"]) == ("Ada", before)


async def test_a_conversation_that_is_not_spam_any_more_counts_at_once(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(customer(customer_id=ADA, emails=[email(ADA_EMAIL)]))
    await pipeline.receive_webhooks(conversation(rev=1, customer=ADA, spam=True))
    await pipeline.receive_webhooks(conversation(rev=2, customer=ADA, spam=False))
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert "Kustomer Last Conversation Created" in (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"]
    assert len(await pipeline.klaviyo_events()) == 1


async def test_a_recently_skipped_event_is_sent_when_the_customer_is_included(pipeline: Pipeline) -> None:
    await pipeline.connect(only_tags=["vip"])
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)]), conversation(customer=ADA)
    )
    assert await pipeline.delivery_states("created") == ["skipped"]
    await pipeline.receive_webhooks(customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], tags=["vip"]))
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    assert len(await pipeline.klaviyo_events()) == 1


async def test_the_support_state_is_cleared_when_the_option_is_switched_off(pipeline: Pipeline) -> None:
    await pipeline.connect()
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=1, emails=[email(ADA_EMAIL)], **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    await pipeline.connect(support_state=False)
    await pipeline.receive_webhooks(
        customer(customer_id=ADA, rev=2, emails=[email(ADA_EMAIL)], firstName="Ada", **ONE_OPEN_CONVERSATION)
    )
    await pipeline.write_profiles()
    assert OPEN_PROPERTY not in (await pipeline.klaviyo_profiles())[ADA_EMAIL]["properties"]
