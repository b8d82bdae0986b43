"""Interpreting Kustomer's documents."""

import copy
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.facts import ConversationCreated, ConversationDone, CsatSubmitted, Fact
from kustomer_klaviyo.kustomer.interpret import EMPTY_OBSERVATION, Observation, interpret
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import decode_webhook
from support.kustomer_documents import CONVERSATION, CUSTOMER, conversation, customer, email, event, phone

NOW = datetime(2026, 4, 1, tzinfo=UTC)
DONE_AT = "2026-03-20T19:00:00.000Z"
RATED_AT = "2026-03-22T08:00:00.000Z"
SURVEY = {"formResponse": "64389a2f1e9db98fe468a88d", "createdAt": DONE_AT, "updatedAt": RATED_AT}


def read(body: dict[str, Any]) -> Observation:
    return interpret(decode_webhook(msgspec.json.encode(body)), received_at=NOW)


def facts_of(body: dict[str, Any], kind: type[Fact]) -> list[Any]:
    return [fact for fact in read(body).facts if isinstance(fact, kind)]


def test_a_created_fact_has_the_conversations_creation_time() -> None:
    [fact] = read(event(conversation(), "create")).facts
    assert isinstance(fact, ConversationCreated)
    assert fact.occurred_at == datetime(2026, 3, 20, 18, 50, 55, 976000, tzinfo=UTC)
    assert (fact.conversation.customer_id, fact.conversation.subject) == (CUSTOMER, "Where is my order?")
    assert fact.fact_key == f"created:{CONVERSATION}"


def test_a_later_update_gives_the_created_fact_with_the_same_key() -> None:
    created, updated = read(event(conversation(), "create")), read(event(conversation(rev=7, name="Renamed")))
    assert created.facts[0].fact_key == updated.facts[0].fact_key


def test_a_done_fact_has_the_time_of_last_done() -> None:
    done = {"createdAt": DONE_AT}
    [fact] = facts_of(event(conversation(status="done", lastDone=done, firstDone=done)), ConversationDone)
    assert (fact.occurred_at.isoformat(), fact.approximate) == ("2026-03-20T19:00:00+00:00", False)


def test_done_again_after_reopening_is_another_fact() -> None:
    again = conversation(
        status="done", firstDone={"createdAt": DONE_AT}, lastDone={"createdAt": "2026-03-21T09:00:00.000Z"}
    )
    first, second = facts_of(event(again), ConversationDone)
    assert first.fact_key != second.fact_key


def test_a_reopened_conversation_still_gives_its_last_done_fact() -> None:
    reopened = conversation(status="open", lastDone={"createdAt": DONE_AT}, firstDone={"createdAt": DONE_AT})
    assert len(facts_of(event(reopened), ConversationDone)) == 1


def test_a_conversation_that_was_never_done_gives_no_done_fact() -> None:
    assert facts_of(event(conversation()), ConversationDone) == []


def test_done_without_last_done_is_approximate_at_the_status_change() -> None:
    document = conversation(status="done", modificationHistory={"statusAt": DONE_AT})
    [fact] = facts_of(event(document), ConversationDone)
    assert fact.approximate
    assert fact.occurred_at.isoformat() == "2026-03-20T19:00:00+00:00"


def test_done_with_an_old_last_done_gives_an_exact_and_an_approximate_fact() -> None:
    document = conversation(
        status="done",
        lastDone={"createdAt": DONE_AT},
        firstDone={"createdAt": DONE_AT},
        modificationHistory={"statusAt": "2026-03-23T10:00:00.000Z"},
    )
    old, new = facts_of(event(document), ConversationDone)
    assert (old.approximate, new.approximate) == (False, True)


def test_created_as_done_gives_a_created_and_a_done_fact() -> None:
    document = conversation(status="done", modificationHistory=None)
    kinds = [type(fact) for fact in read(event(document, "create")).facts]
    assert kinds == [ConversationCreated, ConversationDone]


def test_done_without_any_time_is_a_fact_only_in_the_event_that_changed_it() -> None:
    document = conversation(status="done", modificationHistory=None)
    changed = {"attributes": {"status": {"op": "replace", "before": "open", "after": "done"}}}
    assert facts_of(event(document), ConversationDone) == []
    assert len(facts_of(event(document, changes=changed), ConversationDone)) == 1


@pytest.mark.parametrize("status", ["rated", "commented"])
def test_an_answered_survey_is_one_fact_rated_or_commented(status: str) -> None:
    level = SURVEY | {"status": status, "rating": 4, "score": 1}
    [fact] = facts_of(event(conversation(satisfactionLevel=level)), CsatSubmitted)
    assert fact.fact_key == f"csat:{CONVERSATION}:64389a2f1e9db98fe468a88d"
    assert (fact.rating, fact.score, fact.occurred_at.isoformat()) == (4.0, 1, "2026-03-22T08:00:00+00:00")


def test_a_comment_webhook_that_comes_first_gives_the_time_of_the_rating() -> None:
    rated = SURVEY | {"status": "rated", "rating": 4}
    commented = rated | {"status": "commented", "updatedAt": "2026-03-22T09:00:00.000Z"}
    change = {"op": "replace", "before": rated, "after": commented}
    body = event(conversation(satisfactionLevel=commented), changes={"attributes": {"satisfactionLevel": change}})
    [fact] = facts_of(body, CsatSubmitted)
    assert fact.occurred_at.isoformat() == "2026-03-22T08:00:00+00:00"


@pytest.mark.parametrize("status", ["scheduled", "offered", "unresponded", "canceled"])
def test_an_unanswered_survey_is_not_a_fact(status: str) -> None:
    level = SURVEY | {"status": status}
    assert facts_of(event(conversation(satisfactionLevel=level)), CsatSubmitted) == []


def test_a_second_survey_of_a_conversation_is_another_fact() -> None:
    level = SURVEY | {"status": "rated", "rating": 1}
    first = facts_of(event(conversation(satisfactionLevel=level)), CsatSubmitted)[0]
    second = facts_of(
        event(conversation(satisfactionLevel=level | {"formResponse": "74389a2f1e9db98fe468a88d"})),
        CsatSubmitted,
    )[0]
    assert first.fact_key != second.fact_key


def test_the_channel_is_the_first_channel_else_that_of_the_first_message() -> None:
    assert read(event(conversation(channels=["chat", "email"]))).facts[0].conversation.channel == "chat"
    by_message = conversation(firstMessageIn={"channel": "sms"}, lastMessageIn={"channel": "email"})
    assert read(event(by_message)).facts[0].conversation.channel == "sms"
    assert read(event(conversation())).facts[0].conversation.channel is None


def test_spam_and_imported_conversations_are_flagged() -> None:
    fact = read(event(conversation(spam=True, importedAt=DONE_AT))).facts[0]
    assert (fact.conversation.spam, fact.conversation.kustomer_import) == (True, True)


def test_a_masked_subject_is_unknown() -> None:
    masked = [conversation(name="********"), conversation(name={"isMasked": True})]
    assert [read(event(document)).facts[0].conversation.subject for document in masked] == [None, None]


def test_a_customer_has_own_contacts_without_shared_ones() -> None:
    observed = read(
        event(
            customer(
                rev=7,
                emails=[email("a@b.example"), email("us@b.example", verified=True)],
                sharedEmails=[email("us@b.example")],
                phones=[phone("+4479111234")],
            )
        )
    ).customer
    assert observed is not None
    assert [contact.value for contact in observed.emails] == ["a@b.example"]
    assert [contact.value for contact in observed.phones] == ["+4479111234"]
    assert observed.rev == 7


def test_a_survey_copied_to_the_customer_gives_a_refetch_hint() -> None:
    level = SURVEY | {"status": "rated", "rating": 5, "conversation": CONVERSATION}
    hint = read(event(customer(satisfactionLevel={"lastSatisfaction": level}))).refetch_hint
    assert hint is not None
    assert (hint.conversation_id, hint.expected_fact_key) == (
        CONVERSATION,
        f"csat:{CONVERSATION}:{SURVEY['formResponse']}",
    )


def test_other_events_give_nothing() -> None:
    assert read(event({"type": "message", "id": "67dd47dfbc632c1804db1bf1", "attributes": {}})) == EMPTY_OBSERVATION
    assert read({"name": "kustomer.conversation.merge", "data": conversation()}) == EMPTY_OBSERVATION
    assert read({"anything": 1}) == EMPTY_OBSERVATION


def test_an_extra_outer_data_object_is_removed() -> None:
    plain = event(conversation())
    assert read({"data": plain}) == read(plain)


def test_ids_name_and_changes_may_be_missing_or_null() -> None:
    body = event(conversation())
    for name in ("id", "name", "changes", "client", "createdAt"):
        assert len(read({key: value for key, value in body.items() if key != name}).facts) == 1
        assert len(read(body | {name: None}).facts) == 1


def test_the_id_may_be_in_data_id_and_the_customer_in_a_link() -> None:
    document = conversation()
    del document["id"]
    document["relationships"] = {"customer": {"links": {"self": f"/v1/customers/{CUSTOMER}"}}}
    observation = read(event(document, dataId=CONVERSATION))
    assert (observation.conversation_id, observation.customer_id) == (CONVERSATION, CUSTOMER)


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"nul", b"\xff", b"[" * 100_000])
def test_a_body_that_is_not_a_json_object_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedJSON):
        decode_webhook(body)


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from(
        [*sorted(conversation()["attributes"]), "emails", "spam", "importedAt", "channels", "firstMessageIn"]
    ),
    ANY_JSON,
)
def test_a_field_of_any_type_affects_only_itself(name: str, value: Any) -> None:
    document = copy.deepcopy(conversation())
    document["attributes"][name] = value
    observation = read(event(document))
    assert isinstance(observation.facts[0], ConversationCreated)
    assert all(fact.occurred_at.tzinfo is not None and len(fact.fact_key) < 200 for fact in observation.facts)


@given(ANY_JSON, st.sampled_from(["id", "name", "data", "createdAt", "changes", "dataId"]))
def test_an_envelope_of_any_type_is_interpreted(value: Any, name: str) -> None:
    read(event(conversation()) | {name: value})


@given(st.lists(st.sampled_from(["open", "done"]), min_size=1, max_size=6))
def test_repeated_observations_give_the_same_done_keys(statuses: list[str]) -> None:
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
            keys |= {fact.fact_key for fact in facts_of(body, ConversationDone)}
    assert len(keys) == closings
