"""Unsent events follow their conversation: to its new customer, or to skipped when it is deleted."""

from typing import Any

import pytest

from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.runtime.retention_loop import expire_unidentified
from support.kustomer_documents import conversation, customer, email
from support.pipeline import Pipeline

ADA, BO, CY = "5f19aa0b1c2d3e4f5a6b7c01", "5f19aa0b1c2d3e4f5a6b7c02", "5f19aa0b1c2d3e4f5a6b7c03"
BO_EMAIL, CY_EMAIL = "bo@lanternpost.example", "cy@lanternpost.example"
CREATED, DONE, CSAT = (
    "Kustomer Conversation Create",
    "Kustomer Conversation Done",
    "Kustomer Conversation CSAT Submitted",
)
CSAT_LEVEL = {"status": "rated", "rating": 5, "score": 1, "formResponse": "64389a2f1e9db98fe468a88d"}
CSAT_STATE: dict[str, Any] = {"satisfactionLevel": CSAT_LEVEL | {"updatedAt": "2026-03-22T08:00:00.000Z"}}
DONE_STATE: dict[str, Any] = {
    "status": "done",
    "lastDone": {"createdAt": "2026-03-21T08:00:00.000Z"},
    "modificationHistory": {"statusAt": "2026-03-21T08:00:00.000Z"},
}
OPEN_PROPERTY = "Kustomer Open Conversations"


@pytest.fixture
async def connected(pipeline: Pipeline) -> Pipeline:
    """Ada has no contact; Bo and Cy have one each."""
    await pipeline.connect()
    customers = [
        customer(customer_id=ADA),
        *(
            customer(customer_id=customer_id, emails=[email(address)])
            for customer_id, address in ((BO, BO_EMAIL), (CY, CY_EMAIL))
        ),
    ]
    await pipeline.receive_webhooks(*customers)
    return pipeline


async def sent_events(pipeline: Pipeline) -> list[tuple[str, str]]:
    """Deliver everything; return the metric and address of each event in Klaviyo."""
    await pipeline.write_profiles()
    await pipeline.deliver_events()
    return sorted((event["metric"], event["email"]) for event in await pipeline.klaviyo_events())


async def test_unidentified_events_go_to_the_conversations_new_customer(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=ADA, **DONE_STATE, **CSAT_STATE))
    assert await sent_events(connected) == []
    await connected.receive_webhooks(conversation(rev=6, customer=BO))
    assert await sent_events(connected) == sorted([(CREATED, BO_EMAIL), (DONE, BO_EMAIL), (CSAT, BO_EMAIL)])


async def test_an_older_revision_does_not_reassign_events(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=BO))
    await connected.receive_webhooks(conversation(rev=9, customer=BO, noteCount=1))
    await connected.receive_webhooks(conversation(rev=7, customer=CY))
    assert await sent_events(connected) == [(CREATED, BO_EMAIL)]


async def test_a_fact_of_an_older_revision_goes_to_the_newest_customer(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=9, customer=CY))
    await connected.receive_webhooks(conversation(rev=5, customer=BO, **DONE_STATE))
    assert await sent_events(connected) == [(CREATED, CY_EMAIL), (DONE, CY_EMAIL)]


async def test_a_pending_event_goes_to_the_newest_customer_and_a_sent_one_stays(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=BO))
    await connected.receive_webhooks(conversation(rev=6, customer=CY))
    assert await sent_events(connected) == [(CREATED, CY_EMAIL)]
    await connected.receive_webhooks(conversation(rev=7, customer=BO))
    assert await sent_events(connected) == [(CREATED, CY_EMAIL)]


async def test_reassigning_updates_both_profiles(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=BO))
    await connected.write_profiles()
    await connected.receive_webhooks(conversation(rev=6, customer=CY))
    await connected.write_profiles()
    profiles = await connected.klaviyo_profiles()
    assert [profiles[address]["properties"][OPEN_PROPERTY] for address in (BO_EMAIL, CY_EMAIL)] == [0, 1]


async def test_events_of_a_merged_customer_follow_their_conversation(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=ADA))
    await connected.receive_webhooks(conversation(rev=6, customer=CY))
    await connected.merge_customers(ADA, BO)
    assert await sent_events(connected) == [(CREATED, CY_EMAIL)]


async def test_an_event_of_a_removed_customer_is_sent_for_the_new_customer(connected: Pipeline) -> None:
    await connected.mark_removed(ADA)
    await connected.receive_webhooks(conversation(rev=5, customer=ADA))
    assert await connected.delivery_states("created") == ["failed"]
    await connected.receive_webhooks(conversation(rev=6, customer=BO))
    assert await sent_events(connected) == [(CREATED, BO_EMAIL)]


async def test_a_resent_event_goes_to_the_newest_customer(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=BO))
    await connected.sql("UPDATE deliveries SET state = 'failed', reason = 'rejected' RETURNING fact_key")
    await connected.receive_webhooks(conversation(rev=6, customer=CY))
    assert await connected.delivery_states("created") == ["failed"]
    await resend_failed(connected.app.db, connected.context)
    assert await sent_events(connected) == [(CREATED, CY_EMAIL)]


async def test_an_event_without_a_customer_is_unidentified_until_an_update_names_one(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=None))
    [row] = await connected.deliveries("created")
    assert (row["state"], row["reason"]) == ("unidentified", Reason.NO_CUSTOMER)
    await connected.receive_webhooks(conversation(rev=6, customer=BO))
    assert await sent_events(connected) == [(CREATED, BO_EMAIL)]


async def test_an_update_without_a_customer_does_not_reassign_the_conversation(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=BO))
    await connected.receive_webhooks(conversation(rev=6, customer=None, **DONE_STATE))
    assert await sent_events(connected) == [(CREATED, BO_EMAIL), (DONE, BO_EMAIL)]


async def test_an_event_without_a_customer_is_skipped_after_the_retention(connected: Pipeline) -> None:
    await connected.receive_webhooks(
        conversation(rev=5, customer=None), conversation(conversation_id="c2", customer=ADA)
    )
    await connected.sql("UPDATE deliveries SET created_at = now() - interval '31 days' RETURNING fact_key")
    await expire_unidentified(connected.app.db, connected.context)
    ended = {row["conversation_id"]: (row["state"], row["reason"]) for row in await connected.deliveries("created")}
    assert set(ended.values()) == {("skipped", Reason.NEVER_ANY_CUSTOMER), ("failed", Reason.NEVER_IDENTIFIED)}
    assert ended["c2"][0] == "failed"


async def test_a_deleted_conversation_sends_no_done_event_and_is_not_open(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=BO))
    assert await sent_events(connected) == [(CREATED, BO_EMAIL)]
    await connected.receive_webhooks(conversation(rev=6, customer=BO, deleted=True, **DONE_STATE))
    assert await sent_events(connected) == [(CREATED, BO_EMAIL)]
    assert await connected.delivery_states("done") == ["skipped"]
    assert (await connected.klaviyo_profiles())[BO_EMAIL]["properties"][OPEN_PROPERTY] == 0


async def test_a_deleted_open_conversation_is_not_counted(connected: Pipeline) -> None:
    counted = {
        "conversationCounts": {"open": 1, "snoozed": 0, "done": 0, "all": 1},
        "updatedAt": "2026-03-21T09:00:00Z",
    }
    await connected.receive_webhooks(
        customer(rev=2, customer_id=BO, emails=[email(BO_EMAIL)], **counted), conversation(customer=BO)
    )
    await connected.write_profiles()
    assert (await connected.klaviyo_profiles())[BO_EMAIL]["properties"][OPEN_PROPERTY] == 1
    await connected.receive_webhooks(conversation(rev=6, customer=BO, deleted=True, updatedAt="2026-03-21T10:00:00Z"))
    await connected.write_profiles()
    assert (await connected.klaviyo_profiles())[BO_EMAIL]["properties"][OPEN_PROPERTY] == 0


async def test_unidentified_events_of_a_deleted_conversation_are_not_sent(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=5, customer=ADA, **DONE_STATE))
    await connected.receive_webhooks(conversation(rev=6, customer=ADA, deleted=True, **DONE_STATE))
    await connected.receive_webhooks(customer(rev=2, customer_id=ADA, emails=[email("ada@lanternpost.example")]))
    assert await sent_events(connected) == []
    assert {row["reason"] for row in await connected.deliveries() if row["kind"] != "profile"} == {
        Reason.CONVERSATION_DELETED
    }


async def test_a_done_event_after_the_deletion_is_not_sent(connected: Pipeline) -> None:
    await connected.receive_webhooks(conversation(rev=7, customer=BO, deleted=True))
    await connected.receive_webhooks(conversation(rev=6, customer=BO, **DONE_STATE))
    assert await sent_events(connected) == []


async def test_a_done_time_in_the_far_future_is_not_used(connected: Pipeline) -> None:
    invalid = {"createdAt": "2099-01-01T00:00:00.000Z"}
    await connected.receive_webhooks(
        conversation(
            customer=BO, status="done", lastDone=invalid, modificationHistory={"statusAt": "2026-03-21T08:00:00Z"}
        )
    )
    await connected.write_profiles()
    assert (await connected.klaviyo_profiles())[BO_EMAIL]["properties"][
        "Kustomer Last Conversation Done"
    ] == "2026-03-21 08:00:00"
    assert {event["datetime"][:4] for event in await connected.klaviyo_events()} <= {"2026"}
    [note] = [
        row["note"]
        for row in await connected.sql("SELECT note FROM inbox WHERE event_name = 'kustomer.conversation.update'")
    ]
    assert "lastDone.createdAt is in the future" in note
