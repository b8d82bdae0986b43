"""What Kustomer's documents say happened, rule by rule."""

import copy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import CONVERSATION, CUSTOMER, conversation, customer, email, event, phone
from kustomer_klaviyo.facts import ConversationClosed, ConversationOpened, Fact, SatisfactionAnswered
from kustomer_klaviyo.kustomer.interpret import NOTHING, Statement, interpret
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import decode_webhook

NOW = datetime(2026, 4, 1, tzinfo=UTC)
CLOSED_AT = "2026-03-20T19:00:00.000Z"
RATED_AT = "2026-03-22T08:00:00.000Z"
SURVEY = {"formResponse": "64389a2f1e9db98fe468a88d", "createdAt": CLOSED_AT, "updatedAt": RATED_AT}


def read(body: dict[str, Any]) -> Statement:
    return interpret(decode_webhook(msgspec.json.encode(body)), received_at=NOW)


def facts_of(body: dict[str, Any], kind: type[Fact]) -> list[Any]:
    return [fact for fact in read(body).facts if isinstance(fact, kind)]


def test_a_created_conversation_is_opened_at_its_own_time() -> None:
    [fact] = read(event(conversation(), "create")).facts
    assert isinstance(fact, ConversationOpened)
    assert fact.at == datetime(2026, 3, 20, 18, 50, 55, 976000, tzinfo=UTC)
    assert (fact.conversation.customer_id, fact.conversation.subject) == (CUSTOMER, "Where is my order?")
    assert fact.key == f"opened:{CONVERSATION}"


def test_any_later_update_states_the_opening_again_under_the_same_key() -> None:
    created, updated = read(event(conversation(), "create")), read(event(conversation(rev=7, name="Renamed")))
    assert created.facts[0].key == updated.facts[0].key


def test_done_is_closed_at_the_time_stated_in_last_done() -> None:
    done = {"createdAt": CLOSED_AT}
    [fact] = facts_of(event(conversation(status="done", lastDone=done, firstDone=done)), ConversationClosed)
    assert (fact.at.isoformat(), fact.approximate) == ("2026-03-20T19:00:00+00:00", False)


def test_done_again_after_a_reopening_is_another_closing() -> None:
    again = conversation(
        status="done", firstDone={"createdAt": CLOSED_AT}, lastDone={"createdAt": "2026-03-21T09:00:00.000Z"}
    )
    first, second = facts_of(event(again), ConversationClosed)
    assert first.key != second.key


def test_a_reopened_conversation_still_states_its_last_closing() -> None:
    reopened = conversation(status="open", lastDone={"createdAt": CLOSED_AT}, firstDone={"createdAt": CLOSED_AT})
    assert len(facts_of(event(reopened), ConversationClosed)) == 1


def test_an_open_conversation_that_was_never_done_is_not_closed() -> None:
    assert facts_of(event(conversation()), ConversationClosed) == []


def test_done_before_last_done_is_written_is_closed_approximately_when_the_status_changed() -> None:
    document = conversation(status="done", modificationHistory={"statusAt": CLOSED_AT})
    [fact] = facts_of(event(document), ConversationClosed)
    assert fact.approximate
    assert fact.at.isoformat() == "2026-03-20T19:00:00+00:00"


def test_done_beside_an_old_last_done_states_the_old_closing_and_the_new_one_approximately() -> None:
    document = conversation(
        status="done",
        lastDone={"createdAt": CLOSED_AT},
        firstDone={"createdAt": CLOSED_AT},
        modificationHistory={"statusAt": "2026-03-23T10:00:00.000Z"},
    )
    old, new = facts_of(event(document), ConversationClosed)
    assert (old.approximate, new.approximate) == (False, True)


def test_created_as_done_is_opened_and_closed() -> None:
    document = conversation(status="done", modificationHistory=None)
    kinds = [type(fact) for fact in read(event(document, "create")).facts]
    assert kinds == [ConversationOpened, ConversationClosed]


def test_done_without_any_time_is_stated_only_by_the_event_that_changed_it() -> None:
    document = conversation(status="done", modificationHistory=None)
    changed = {"attributes": {"status": {"op": "replace", "before": "open", "after": "done"}}}
    assert facts_of(event(document), ConversationClosed) == []
    assert len(facts_of(event(document, changes=changed), ConversationClosed)) == 1


@pytest.mark.parametrize("status", ["rated", "commented"])
def test_an_answered_survey_is_one_fact_whether_rated_or_commented(status: str) -> None:
    level = SURVEY | {"status": status, "rating": 4, "score": 1}
    [fact] = facts_of(event(conversation(satisfactionLevel=level)), SatisfactionAnswered)
    assert fact.key == f"satisfaction:{CONVERSATION}:64389a2f1e9db98fe468a88d"
    assert (fact.rating, fact.score, fact.at.isoformat()) == (4.0, 1, "2026-03-22T08:00:00+00:00")


def test_a_comment_whose_webhook_comes_first_still_tells_when_it_was_rated() -> None:
    rated = SURVEY | {"status": "rated", "rating": 4}
    commented = rated | {"status": "commented", "updatedAt": "2026-03-22T09:00:00.000Z"}
    change = {"op": "replace", "before": rated, "after": commented}
    body = event(conversation(satisfactionLevel=commented), changes={"attributes": {"satisfactionLevel": change}})
    [fact] = facts_of(body, SatisfactionAnswered)
    assert fact.at.isoformat() == "2026-03-22T08:00:00+00:00"


@pytest.mark.parametrize("status", ["scheduled", "offered", "unresponded", "canceled"])
def test_a_survey_without_an_answer_is_no_fact(status: str) -> None:
    level = SURVEY | {"status": status}
    assert facts_of(event(conversation(satisfactionLevel=level)), SatisfactionAnswered) == []


def test_a_second_survey_of_a_conversation_is_another_fact() -> None:
    level = SURVEY | {"status": "rated", "rating": 1}
    first = facts_of(event(conversation(satisfactionLevel=level)), SatisfactionAnswered)[0]
    second = facts_of(
        event(conversation(satisfactionLevel=level | {"formResponse": "74389a2f1e9db98fe468a88d"})),
        SatisfactionAnswered,
    )[0]
    assert first.key != second.key


def test_the_channel_is_the_first_of_channels_else_that_of_the_first_message_in() -> None:
    assert read(event(conversation(channels=["chat", "email"]))).facts[0].conversation.channel == "chat"
    by_message = conversation(firstMessageIn={"channel": "sms"}, lastMessageIn={"channel": "email"})
    assert read(event(by_message)).facts[0].conversation.channel == "sms"
    assert read(event(conversation())).facts[0].conversation.channel is None


def test_spam_and_imported_conversations_say_so() -> None:
    fact = read(event(conversation(spam=True, importedAt=CLOSED_AT))).facts[0]
    assert (fact.conversation.spam, fact.conversation.imported) == (True, True)


def test_a_masked_subject_counts_as_unknown() -> None:
    masked = [conversation(name="********"), conversation(name={"isMasked": True})]
    assert [read(event(one)).facts[0].conversation.subject for one in masked] == [None, None]


def test_a_customer_states_own_contacts_and_never_shared_ones() -> None:
    seen = read(
        event(
            customer(
                rev=7,
                emails=[email("a@b.example"), email("us@b.example", verified=True)],
                sharedEmails=[email("us@b.example")],
                phones=[phone("+4479111234")],
            )
        )
    ).person
    assert seen is not None
    assert [contact.value for contact in seen.emails] == ["a@b.example"]
    assert [contact.value for contact in seen.phones] == ["+4479111234"]
    assert seen.rev == 7


def test_a_survey_mirrored_on_the_customer_hints_at_its_conversation() -> None:
    level = SURVEY | {"status": "rated", "rating": 5, "conversation": CONVERSATION}
    hint = read(event(customer(satisfactionLevel={"lastSatisfaction": level}))).hint
    assert hint is not None
    assert (hint.conversation_id, hint.key) == (CONVERSATION, f"satisfaction:{CONVERSATION}:{SURVEY['formResponse']}")


def test_events_of_no_interest_state_nothing() -> None:
    assert read(event({"type": "message", "id": "67dd47dfbc632c1804db1bf1", "attributes": {}})) == NOTHING
    assert read({"name": "kustomer.conversation.merge", "data": conversation()}) == NOTHING
    assert read({"anything": 1}) == NOTHING


def test_an_extra_outer_data_wrapper_is_taken_off() -> None:
    plain = event(conversation())
    assert read({"data": plain}) == read(plain)


def test_ids_name_and_changes_may_be_missing_or_null() -> None:
    body = event(conversation())
    for name in ("id", "name", "changes", "client", "createdAt"):
        assert len(read({key: value for key, value in body.items() if key != name}).facts) == 1
        assert len(read(body | {name: None}).facts) == 1


def test_the_id_may_stand_in_data_id_and_the_customer_in_a_link() -> None:
    document = conversation()
    del document["id"]
    document["relationships"] = {"customer": {"links": {"self": f"/v1/customers/{CUSTOMER}"}}}
    statement = read(event(document, dataId=CONVERSATION))
    assert (statement.conversation_id, statement.customer_id) == (CONVERSATION, CUSTOMER)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"nul", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJSON):
        decode_webhook(body)


WEIRD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        [*sorted(conversation()["attributes"]), "emails", "spam", "importedAt", "channels", "firstMessageIn"]
    ),
    WEIRD,
)
def test_a_field_of_any_shape_costs_no_more_than_itself(name: str, value: Any) -> None:
    document = copy.deepcopy(conversation())
    document["attributes"][name] = value
    statement = read(event(document))
    assert isinstance(statement.facts[0], ConversationOpened)
    assert all(fact.at.tzinfo is not None and len(fact.key) < 200 for fact in statement.facts)


@given(WEIRD, st.sampled_from(["id", "name", "data", "createdAt", "changes", "dataId"]))
def test_an_envelope_of_any_shape_is_read(value: Any, name: str) -> None:
    read(event(conversation()) | {name: value})


@given(st.lists(st.sampled_from(["open", "done"]), min_size=1, max_size=6))
def test_closings_are_stated_once_each_however_often_they_are_observed(statuses: list[str]) -> None:
    keys: set[str] = set()
    done: dict[str, Any] = {}
    first: dict[str, Any] = {}
    closings = 0
    before = "open"
    for minute, status in enumerate(statuses):
        at = f"2026-03-20T20:{minute:02d}:00.000Z"
        if status == "done" and before == "open":
            closings += 1
            done = {"createdAt": at}
            first = first or done
        before = status
        body = event(conversation(rev=minute + 1, status=status, lastDone=done, firstDone=first))
        for _ in range(2):
            keys |= {fact.key for fact in facts_of(body, ConversationClosed)}
    assert len(keys) == closings
