"""A time that cannot be, or lies further ahead than clocks differ, counts as missing."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from kustomer_klaviyo.facts import ConversationCreated, ConversationDone, CsatSubmitted
from kustomer_klaviyo.kustomer.interpret import Observation, interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from support.kustomer_documents import conversation, customer, event

NOW = datetime(2026, 3, 21, 20, 30, tzinfo=UTC)
SENT = "2026-03-21T20:20:11.435Z"
LATEST = NOW + timedelta(days=1)
INVALID_TIMES = (
    "2099-01-01T00:00:00.000Z",
    "9999-12-31T23:59:59-05:00",
    "0001-01-01T00:00:00+01:00",
    "2026-03-23T00:00:00Z",
)


def read(body: object) -> Observation:
    return interpret(decode_webhook(msgspec.json.encode(body)), received_at=NOW)


@pytest.mark.parametrize("absurd", INVALID_TIMES)
def test_done_at_an_invalid_time_falls_back_to_the_status_change(absurd: str) -> None:
    document = conversation(
        status="done", lastDone={"createdAt": absurd}, modificationHistory={"statusAt": "2026-03-21T20:20:00.000Z"}
    )
    observation = read(event(document))
    [closed] = [fact for fact in observation.facts if isinstance(fact, ConversationDone)]
    assert (closed.occurred_at, closed.approximate) == (datetime(2026, 3, 21, 20, 20, tzinfo=UTC), True)
    assert ("lastDone.createdAt is in the future: it counts as missing" in observation.notes) == absurd.startswith("20")


@pytest.mark.parametrize("absurd", INVALID_TIMES)
def test_invalid_times_of_a_conversation_are_not_used(absurd: str) -> None:
    moment = {"createdAt": absurd}
    level = {"status": "rated", "rating": 5, "createdAt": absurd, "sentAt": absurd, "updatedAt": absurd}
    document = conversation(
        status="done", createdAt=absurd, updatedAt=absurd, firstDone=moment, lastDone=moment, importedAt=None,
        modificationHistory={"statusAt": absurd}, satisfactionLevel=level, lastMessageIn=moment,
    )  # fmt: skip
    changes = {"attributes": {"status": {"op": "replace", "before": "open", "after": "done"}}}
    observation = read(event(document, changes=changes))
    assert {type(fact) for fact in observation.facts} == {ConversationCreated, ConversationDone, CsatSubmitted}
    assert {fact.occurred_at.isoformat(timespec="milliseconds") for fact in observation.facts} == {
        SENT.replace("Z", "+00:00")
    }
    assert observation.conversation is not None
    assert max(observation.conversation.status_changed_at, observation.conversation.created_at) <= LATEST


@pytest.mark.parametrize("absurd", INVALID_TIMES)
def test_an_invalid_sending_time_falls_back_to_the_time_of_receipt(absurd: str) -> None:
    observation = read(event(conversation(createdAt=None), createdAt=absurd))
    assert [fact.occurred_at for fact in observation.facts] == [NOW]


@pytest.mark.parametrize("absurd", [INVALID_TIMES[0], INVALID_TIMES[1], INVALID_TIMES[3]])
def test_invalid_times_of_a_customer_are_not_used(absurd: str) -> None:
    document = customer(
        updatedAt=absurd, createdAt=absurd, signedUpAt=absurd, birthdayAt=absurd, conversationCounts={"open": 1},
        satisfactionLevel={
            "lastSatisfaction": {"conversation": "c1", "status": "rated", "formResponse": "r1", "updatedAt": absurd}
        },
    )  # fmt: skip
    observation = read(event(document))
    person, hint = observation.customer, observation.refetch_hint
    assert person is not None
    assert person.open_count is not None
    assert hint is not None
    assert max(person.updated_at or NOW, person.open_count.counted_at, hint.occurred_at) <= LATEST
    assert not {"createdAt", "signedUpAt", "birthdayAt"} & person.attributes.keys()


def test_clocks_may_differ_by_hours() -> None:
    document = conversation(status="done", lastDone={"createdAt": "2026-03-22T08:00:00.000Z"})
    [closed] = [fact for fact in read(event(document)).facts if isinstance(fact, ConversationDone)]
    assert closed.occurred_at == datetime(2026, 3, 22, 8, tzinfo=UTC)
    assert read(event(document)).notes == ()
