"""Which facts are news, and what is owed for each."""

from datetime import UTC, datetime, timedelta

import msgspec

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.routing import Route, Routes
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.facts import (
    Conversation,
    ConversationClosed,
    ConversationHinted,
    ConversationOpened,
    SatisfactionAnswered,
)
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.planning.event_planner import Telling, pack, unpack
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.customers import Identifiers
from kustomer_klaviyo.store.lookups import Kind
from kustomer_klaviyo.store.outbox import State
from kustomer_klaviyo.store.recorded_facts import Told

HORIZON = datetime(2026, 1, 1, tzinfo=UTC)
AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
ADA = Identifiers("ada@lanternpost.example", "+447911123456")


def telling(
    *told: Told, people: dict[str, Identifiers] | None = None, options: ConnectionOptions | None = None
) -> Telling:
    rules = Rules(options or ConnectionOptions(), ExpressOptions(org="acme"), HORIZON)
    return Telling(rules, {"c1": list(told)}, {"k1": ADA} if people is None else people)


def about(*, rev: int = 1, customer: str | None = "k1", spam: bool = False, imported: bool = False) -> Conversation:
    return Conversation("c1", customer, subject="Hi", rev=rev, spam=spam, imported=imported)


def closed(at: datetime = AT, *, approximate: bool = False) -> ConversationClosed:
    return ConversationClosed(about(), at, approximate)


def told(fact: ConversationClosed | ConversationOpened, *, held: bool = False, rev: int = 1) -> Told:
    kind = "closed" if isinstance(fact, ConversationClosed) else "opened"
    return Told(fact.key, kind, fact.at, held, rev)


def test_a_new_fact_of_a_known_customer_is_owed_with_its_call() -> None:
    batch = telling()
    assert batch.tell(closed(), "e1") == "closed told"
    [owed] = batch.new.values()
    assert (owed.state, owed.identifier, owed.event_id, owed.subject) == (State.WAITING, ADA.email, "e1", "k1")
    assert owed.call is not None
    assert owed.call["unique_id"] == owed.key


def test_a_told_fact_is_refused_and_so_is_one_told_in_the_same_batch() -> None:
    batch = telling(told(closed()))
    assert batch.tell(closed(), "e1") == "already told"
    batch.tell(ConversationOpened(about(), AT), "e1")
    assert batch.tell(ConversationOpened(about(), AT), "e2") == "already told"
    assert len(batch.new) == 1


def test_a_closing_told_approximately_is_the_same_once_it_is_stated_exactly() -> None:
    exactly = closed(AT + timedelta(milliseconds=201))
    assert telling(told(closed(approximate=True))).tell(exactly, "e1") == "already told"
    assert telling(told(exactly)).tell(closed(approximate=True), "e1") == "already told"


def test_two_closings_stated_exactly_are_two_however_near() -> None:
    assert telling(told(closed())).tell(closed(AT + timedelta(milliseconds=1)), "e1") == "closed told"


def test_an_approximate_closing_long_after_a_told_one_is_another() -> None:
    later = closed(AT + timedelta(minutes=1), approximate=True)
    assert telling(told(closed())).tell(later, "e1") == "closed told"


def test_what_happened_before_the_horizon_is_not_told_and_can_be_found_with_that_reason() -> None:
    batch = telling()
    batch.tell(closed(HORIZON - timedelta(seconds=1)), "e1")
    [found] = batch.new.values()
    assert (found.state, found.reason, found.held) == (State.SKIPPED, Reason.BEFORE_SINCE, True)
    assert (batch.questions, batch.subjects) == ({}, set())


def test_an_unknown_customer_is_looked_up_once() -> None:
    batch = telling(people={})
    batch.tell(closed(), "e1")
    batch.tell(ConversationOpened(about(), AT), "e1")
    assert {owed.state for owed in batch.new.values()} == {State.UNIDENTIFIED}
    assert {owed.reason for owed in batch.new.values()} == {Reason.LOOKING_UP}
    [question] = batch.questions.values()
    assert (question.kind, question.id) == (Kind.CUSTOMER, "k1")


def test_a_customer_without_email_and_phone_is_waited_for() -> None:
    batch = telling(people={"k1": Identifiers(None, None)})
    batch.tell(closed(), "e1")
    [owed] = batch.new.values()
    assert (owed.state, owed.reason, owed.call) == (State.UNIDENTIFIED, Reason.NO_IDENTIFIER, None)
    assert batch.questions == {}


def test_a_customer_with_only_a_phone_is_known_by_it() -> None:
    batch = telling(people={"k1": Identifiers(None, "+447911123456")})
    batch.tell(closed(), "e1")
    [owed] = batch.new.values()
    assert (owed.state, owed.identifier) == (State.WAITING, "+447911123456")


def test_what_can_never_be_sent_is_set_aside_with_its_reason() -> None:
    batch = telling(people={"k1": Identifiers(None, None, gone=True)})
    batch.tell(closed(), "e1")
    nobody = telling()
    nobody.tell(ConversationClosed(about(customer=None), AT), "e1")
    reasons = {(owed.state, owed.reason) for one in (batch, nobody) for owed in one.new.values()}
    assert reasons == {(State.FAILED, Reason.CUSTOMER_GONE), (State.UNIDENTIFIED, Reason.NO_CUSTOMER)}


def test_spam_is_skipped_or_sent_by_the_setting() -> None:
    skipped, sent = telling(), telling(options=ConnectionOptions(spam="send"))
    for batch in (skipped, sent):
        batch.tell(ConversationOpened(about(spam=True), AT), "e1")
    assert [(owed.state, owed.reason) for owed in skipped.new.values()] == [(State.SKIPPED, Reason.SPAM)]
    assert [owed.state for owed in sent.new.values()] == [State.WAITING]


def test_imported_conversations_are_skipped_or_sent_without_starting_flows() -> None:
    skipped, sent = telling(), telling(options=ConnectionOptions(imported="backfill"))
    for batch in (skipped, sent):
        batch.tell(ConversationOpened(about(imported=True), AT), "e1")
    assert [owed.reason for owed in skipped.new.values()] == [Reason.IMPORTED]
    [owed] = sent.new.values()
    assert owed.call is not None
    assert owed.call["backfill"] is True


def test_no_longer_spam_releases_what_was_skipped_unless_the_observation_is_older() -> None:
    fact = ConversationOpened(about(rev=6), AT)
    older, newer = telling(told(fact, held=True, rev=7)), telling(told(fact, held=True, rev=5))
    assert older.tell(fact, "e1") == "already told"
    assert newer.tell(fact, "e1") == "opened released"
    [released] = newer.released.values()
    assert released.state is State.WAITING


def test_an_answer_hinted_at_is_read_later_unless_it_is_told() -> None:
    answer = SatisfactionAnswered(about(), AT, "r1", 5.0, 1)
    hint = ConversationHinted("c1", answer.key, AT)
    batch = telling()
    batch.hint(hint)
    [question] = batch.questions.values()
    assert (question.kind, question.key) == (Kind.CONVERSATION, answer.key)
    assert question.delay > 0
    known = telling(Told(answer.key, "satisfaction", AT, held=False, rev=1))
    known.hint(hint)
    assert known.questions == {}


def test_a_fact_comes_back_from_storage_as_it_was() -> None:
    for kind, fact in (
        ("opened", ConversationOpened(about(), AT)),
        ("closed", closed(approximate=True)),
        ("satisfaction", SatisfactionAnswered(about(), AT, "r1", None, 1)),
    ):
        assert unpack(kind, pack(fact)) == fact


def test_a_conversation_of_another_accounts_brand_is_set_aside_and_released_when_its_brand_changes() -> None:
    routes = Routes((Route("b1", "kids"),), "acme")
    rules = Rules(ConnectionOptions(), ExpressOptions(org="acme"), HORIZON, connection_id="acme", routes=routes)
    batch = Telling(rules, {}, {"k1": ADA})
    batch.tell(ConversationOpened(replace_brand(about(), "b1"), AT), "e1")
    [owed] = batch.new.values()
    assert (owed.state, owed.call) == (State.SKIPPED, None)
    assert "kids" in str(owed.reason)
    later = Telling(rules, {"c1": [Told(owed.key, "opened", AT, held=True, rev=1)]}, {"k1": ADA})
    assert later.tell(ConversationOpened(replace_brand(about(rev=2), "b2"), AT), "e2") == "opened released"
    assert later.released[owed.key].state is State.WAITING


def replace_brand(conversation: Conversation, brand: str) -> Conversation:
    return msgspec.structs.replace(conversation, brand_id=brand)
