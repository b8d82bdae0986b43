"""What was not sent yet follows its conversation: to the customer it is given to, aside when it is deleted."""

from typing import Any

import pytest

from documents import conversation, customer, email
from kustomer_klaviyo.planning.resend import send_again
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.runtime.retention import expire
from line import Line

ADA, BO, CY = "5f19aa0b1c2d3e4f5a6b7c01", "5f19aa0b1c2d3e4f5a6b7c02", "5f19aa0b1c2d3e4f5a6b7c03"
BOS, CYS = "bo@lanternpost.example", "cy@lanternpost.example"
CREATED, DONE, CSAT = (
    "Kustomer Conversation Create",
    "Kustomer Conversation Done",
    "Kustomer Conversation CSAT Submitted",
)
LEVEL = {"status": "rated", "rating": 5, "score": 1, "formResponse": "64389a2f1e9db98fe468a88d"}
SURVEYED: dict[str, Any] = {"satisfactionLevel": LEVEL | {"updatedAt": "2026-03-22T08:00:00.000Z"}}
CLOSED: dict[str, Any] = {
    "status": "done",
    "lastDone": {"createdAt": "2026-03-21T08:00:00.000Z"},
    "modificationHistory": {"statusAt": "2026-03-21T08:00:00.000Z"},
}
OPEN_PROPERTY = "Kustomer Open Conversations"


@pytest.fixture
async def known(line: Line) -> Line:
    """Ada has no contact; Bo and Cy have one each."""
    await line.connect()
    people = [
        customer(customer_id=ADA),
        *(customer(customer_id=one, emails=[email(at)]) for one, at in ((BO, BOS), (CY, CYS))),
    ]
    await line.receive(*people)
    return line


async def sent(line: Line) -> list[tuple[str, str]]:
    """Return the metric and address of each event at Klaviyo, once all is delivered."""
    await line.write()
    await line.deliver()
    return sorted((event["metric"], event["email"]) for event in await line.arrived())


async def test_all_that_waits_for_a_contact_goes_to_the_customer_whose_the_conversation_is_now(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=ADA, **CLOSED, **SURVEYED))
    assert await sent(known) == []
    await known.receive(conversation(rev=6, customer=BO))
    assert await sent(known) == sorted([(CREATED, BOS), (DONE, BOS), (CSAT, BOS)])


async def test_an_older_observation_moves_nothing_back(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=BO))
    await known.receive(conversation(rev=9, customer=BO, noteCount=1))
    await known.receive(conversation(rev=7, customer=CY))
    assert await sent(known) == [(CREATED, BOS)]


async def test_what_an_older_observation_tells_first_is_told_of_the_newest_customer(known: Line) -> None:
    await known.receive(conversation(rev=9, customer=CY))
    await known.receive(conversation(rev=5, customer=BO, **CLOSED))
    assert await sent(known) == [(CREATED, CYS), (DONE, CYS)]


async def test_before_its_turn_comes_an_event_goes_to_the_newest_customer_and_never_again(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=BO))
    await known.receive(conversation(rev=6, customer=CY))
    assert await sent(known) == [(CREATED, CYS)]
    await known.receive(conversation(rev=7, customer=BO))
    assert await sent(known) == [(CREATED, CYS)]


async def test_both_customers_profiles_know_whose_the_conversation_is(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=BO))
    await known.write()
    await known.receive(conversation(rev=6, customer=CY))
    await known.write()
    held = await known.held()
    assert [held[one]["properties"][OPEN_PROPERTY] for one in (BOS, CYS)] == [0, 1]


async def test_what_a_merged_customer_waited_with_goes_where_its_conversation_went(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=ADA))
    await known.receive(conversation(rev=6, customer=CY))
    await known.merge(ADA, BO)
    assert await sent(known) == [(CREATED, CYS)]


async def test_what_failed_since_its_customer_was_gone_is_sent_for_another(known: Line) -> None:
    await known.lose(ADA)
    await known.receive(conversation(rev=5, customer=ADA))
    assert await known.states("opened") == ["failed"]
    await known.receive(conversation(rev=6, customer=BO))
    assert await sent(known) == [(CREATED, BOS)]


async def test_what_klaviyo_refused_goes_to_the_newest_customer_when_it_is_sent_again(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=BO))
    await known.sql("UPDATE deliveries SET state = 'failed', reason = 'refused' RETURNING key")
    await known.receive(conversation(rev=6, customer=CY))
    assert await known.states("opened") == ["failed"]
    await send_again(known.home.database, known.joined)
    assert await sent(known) == [(CREATED, CYS)]


async def test_an_event_without_a_customer_waits_until_an_update_names_one(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=None))
    [row] = await known.told("opened")
    assert (row["state"], row["reason"]) == ("unidentified", Reason.NO_CUSTOMER)
    await known.receive(conversation(rev=6, customer=BO))
    assert await sent(known) == [(CREATED, BOS)]


async def test_an_update_that_names_no_customer_leaves_the_conversation_whose_it_was(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=BO))
    await known.receive(conversation(rev=6, customer=None, **CLOSED))
    assert await sent(known) == [(CREATED, BOS), (DONE, BOS)]


async def test_an_event_that_never_gets_a_customer_is_skipped_in_the_end(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=None), conversation(conversation_id="c2", customer=ADA))
    await known.sql("UPDATE deliveries SET created_at = now() - interval '31 days' RETURNING key")
    await expire(known.home.database, known.joined)
    ended = {row["conversation_id"]: (row["state"], row["reason"]) for row in await known.told("opened")}
    assert set(ended.values()) == {("skipped", Reason.NEVER_ANY_CUSTOMER), ("failed", Reason.NEVER_IDENTIFIED)}
    assert ended["c2"][0] == "failed"


async def test_a_deleted_conversation_tells_no_done_and_is_not_open(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=BO))
    assert await sent(known) == [(CREATED, BOS)]
    await known.receive(conversation(rev=6, customer=BO, deleted=True, **CLOSED))
    assert await sent(known) == [(CREATED, BOS)]
    assert await known.states("closed") == ["skipped"]
    assert (await known.held())[BOS]["properties"][OPEN_PROPERTY] == 0


async def test_an_open_conversation_that_is_deleted_is_no_longer_counted(known: Line) -> None:
    counted = {
        "conversationCounts": {"open": 1, "snoozed": 0, "done": 0, "all": 1},
        "updatedAt": "2026-03-21T09:00:00Z",
    }
    await known.receive(customer(rev=2, customer_id=BO, emails=[email(BOS)], **counted), conversation(customer=BO))
    await known.write()
    assert (await known.held())[BOS]["properties"][OPEN_PROPERTY] == 1
    await known.receive(conversation(rev=6, customer=BO, deleted=True, updatedAt="2026-03-21T10:00:00Z"))
    await known.write()
    assert (await known.held())[BOS]["properties"][OPEN_PROPERTY] == 0


async def test_what_waits_for_a_contact_is_not_told_once_its_conversation_is_deleted(known: Line) -> None:
    await known.receive(conversation(rev=5, customer=ADA, **CLOSED))
    await known.receive(conversation(rev=6, customer=ADA, deleted=True, **CLOSED))
    await known.receive(customer(rev=2, customer_id=ADA, emails=[email("ada@lanternpost.example")]))
    assert await sent(known) == []
    assert {row["reason"] for row in await known.told() if row["kind"] != "profile"} == {Reason.DELETED}


async def test_a_done_that_comes_after_the_deletion_is_not_told(known: Line) -> None:
    await known.receive(conversation(rev=7, customer=BO, deleted=True))
    await known.receive(conversation(rev=6, customer=BO, **CLOSED))
    assert await sent(known) == []


async def test_a_done_in_the_far_future_never_reaches_the_profile(known: Line) -> None:
    absurd = {"createdAt": "2099-01-01T00:00:00.000Z"}
    await known.receive(
        conversation(
            customer=BO, status="done", lastDone=absurd, modificationHistory={"statusAt": "2026-03-21T08:00:00Z"}
        )
    )
    await known.write()
    assert (await known.held())[BOS]["properties"]["Kustomer Last Conversation Done"] == "2026-03-21 08:00:00"
    assert {event["datetime"][:4] for event in await known.arrived()} <= {"2026"}
    [note] = [
        row["note"] for row in await known.sql("SELECT note FROM inbox WHERE name = 'kustomer.conversation.update'")
    ]
    assert "lastDone.createdAt lies in the future" in note
