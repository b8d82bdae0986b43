"""A time that cannot be, or lies further ahead than clocks differ, counts as missing."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from documents import conversation, customer, event
from kustomer_klaviyo.facts import ConversationClosed, ConversationOpened, SatisfactionAnswered
from kustomer_klaviyo.kustomer.interpret import Statement, interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook

NOW = datetime(2026, 3, 21, 20, 30, tzinfo=UTC)
SENT = "2026-03-21T20:20:11.435Z"
LATEST = NOW + timedelta(days=1)
ABSURD = ("2099-01-01T00:00:00.000Z", "9999-12-31T23:59:59-05:00", "0001-01-01T00:00:00+01:00", "2026-03-23T00:00:00Z")


def read(body: object) -> Statement:
    return interpret(decode_webhook(msgspec.json.encode(body)), received_at=NOW)


@pytest.mark.parametrize("absurd", ABSURD)
def test_a_done_at_a_time_that_cannot_be_is_told_when_the_status_changed(absurd: str) -> None:
    document = conversation(
        status="done", lastDone={"createdAt": absurd}, modificationHistory={"statusAt": "2026-03-21T20:20:00.000Z"}
    )
    statement = read(event(document))
    [closed] = [fact for fact in statement.facts if isinstance(fact, ConversationClosed)]
    assert (closed.at, closed.approximate) == (datetime(2026, 3, 21, 20, 20, tzinfo=UTC), True)
    assert ("lastDone.createdAt lies in the future: it counts as missing" in statement.notes) == absurd.startswith("20")


@pytest.mark.parametrize("absurd", ABSURD)
def test_no_time_of_a_conversation_that_cannot_be_is_told(absurd: str) -> None:
    moment = {"createdAt": absurd}
    level = {"status": "rated", "rating": 5, "createdAt": absurd, "sentAt": absurd, "updatedAt": absurd}
    document = conversation(
        status="done", createdAt=absurd, updatedAt=absurd, firstDone=moment, lastDone=moment, importedAt=None,
        modificationHistory={"statusAt": absurd}, satisfactionLevel=level, lastMessageIn=moment,
    )  # fmt: skip
    changes = {"attributes": {"status": {"op": "replace", "before": "open", "after": "done"}}}
    statement = read(event(document, changes=changes))
    assert {type(fact) for fact in statement.facts} == {ConversationOpened, ConversationClosed, SatisfactionAnswered}
    assert {fact.at.isoformat(timespec="milliseconds") for fact in statement.facts} == {SENT.replace("Z", "+00:00")}
    assert statement.seen is not None
    assert max(statement.seen.since, statement.seen.opened_at) <= LATEST


@pytest.mark.parametrize("absurd", ABSURD)
def test_a_webhook_sent_at_a_time_that_cannot_be_was_sent_when_it_was_received(absurd: str) -> None:
    statement = read(event(conversation(createdAt=None), createdAt=absurd))
    assert [fact.at for fact in statement.facts] == [NOW]


@pytest.mark.parametrize("absurd", [ABSURD[0], ABSURD[1], ABSURD[3]])
def test_no_time_of_a_customer_that_cannot_be_is_kept(absurd: str) -> None:
    document = customer(
        updatedAt=absurd, createdAt=absurd, signedUpAt=absurd, birthdayAt=absurd, conversationCounts={"open": 1},
        satisfactionLevel={
            "lastSatisfaction": {"conversation": "c1", "status": "rated", "formResponse": "r1", "updatedAt": absurd}
        },
    )  # fmt: skip
    statement = read(event(document))
    person, hint = statement.person, statement.hint
    assert person is not None
    assert person.counted is not None
    assert hint is not None
    assert max(person.at or NOW, person.counted.at, hint.at) <= LATEST
    assert not {"createdAt", "signedUpAt", "birthdayAt"} & person.attributes.keys()


def test_clocks_may_differ_by_hours() -> None:
    document = conversation(status="done", lastDone={"createdAt": "2026-03-22T08:00:00.000Z"})
    [closed] = [fact for fact in read(event(document)).facts if isinstance(fact, ConversationClosed)]
    assert closed.at == datetime(2026, 3, 22, 8, tzinfo=UTC)
    assert read(event(document)).notes == ()
