"""Planning the delivery of facts."""

from datetime import UTC, datetime, timedelta

import msgspec

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.routing import Route, Routes
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import (
    Conversation,
    ConversationCreated,
    ConversationDone,
    CsatSubmitted,
    RefetchHint,
)
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.planning.event_planner import EventPlanner, PlanResult, decode_fact, encode_fact
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.customers import Identifiers
from kustomer_klaviyo.store.lookups import LookupKind
from kustomer_klaviyo.store.outbox import DeliveryKind, DeliveryState
from kustomer_klaviyo.store.recorded_facts import RecordedFact

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
ADA = Identifiers("ada@lanternpost.example", "+447911123456")


def make_planner(
    *facts: RecordedFact, customers: dict[str, Identifiers] | None = None, options: ConnectionOptions | None = None
) -> EventPlanner:
    rules = ConnectionRules(options or ConnectionOptions(), EventSettings(org="acme"), SINCE)
    return EventPlanner(rules, {"c1": list(facts)}, {"k1": ADA} if customers is None else customers)


def make_conversation(
    *, rev: int = 1, customer: str | None = "k1", spam: bool = False, kustomer_import: bool = False
) -> Conversation:
    return Conversation("c1", customer, subject="Hi", rev=rev, spam=spam, kustomer_import=kustomer_import)


def done(at: datetime = AT, *, approximate: bool = False) -> ConversationDone:
    return ConversationDone(make_conversation(), at, approximate)


def recorded(fact: ConversationDone | ConversationCreated, *, releasable: bool = False, rev: int = 1) -> RecordedFact:
    kind = DeliveryKind.DONE if isinstance(fact, ConversationDone) else DeliveryKind.CREATED
    return RecordedFact(fact.fact_key, kind, fact.occurred_at, releasable, rev)


def test_a_new_fact_of_a_known_customer_is_pending_with_its_request() -> None:
    planner = make_planner()
    assert planner.plan(done(), "e1") is PlanResult.RECORDED
    [delivery] = planner.new_deliveries.values()
    assert (delivery.state, delivery.identifier, delivery.event_id, delivery.subject) == (
        DeliveryState.PENDING,
        ADA.email,
        "e1",
        "k1",
    )
    assert delivery.request is not None
    assert delivery.request["unique_id"] == delivery.fact_key


def test_a_recorded_fact_is_not_planned_again_nor_within_a_batch() -> None:
    planner = make_planner(recorded(done()))
    assert planner.plan(done(), "e1") is PlanResult.ALREADY_RECORDED
    planner.plan(ConversationCreated(make_conversation(), AT), "e1")
    assert planner.plan(ConversationCreated(make_conversation(), AT), "e2") is PlanResult.ALREADY_RECORDED
    assert len(planner.new_deliveries) == 1


def test_an_approximate_and_an_exact_done_fact_are_the_same() -> None:
    exact = done(AT + timedelta(milliseconds=201))
    assert make_planner(recorded(done(approximate=True))).plan(exact, "e1") is PlanResult.ALREADY_RECORDED
    assert make_planner(recorded(exact)).plan(done(approximate=True), "e1") is PlanResult.ALREADY_RECORDED


def test_two_exact_done_facts_differ_however_close() -> None:
    assert make_planner(recorded(done())).plan(done(AT + timedelta(milliseconds=1)), "e1") is PlanResult.RECORDED


def test_a_much_later_approximate_done_fact_is_another() -> None:
    later = done(AT + timedelta(minutes=1), approximate=True)
    assert make_planner(recorded(done())).plan(later, "e1") is PlanResult.RECORDED


def test_a_fact_before_since_is_skipped_with_that_reason() -> None:
    planner = make_planner()
    planner.plan(done(SINCE - timedelta(seconds=1)), "e1")
    [delivery] = planner.new_deliveries.values()
    assert (delivery.state, delivery.reason, delivery.releasable) == (DeliveryState.SKIPPED, Reason.BEFORE_SINCE, True)
    assert (planner.lookups, planner.subjects) == ({}, set())


def test_an_unknown_customer_is_looked_up_once() -> None:
    planner = make_planner(customers={})
    planner.plan(done(), "e1")
    planner.plan(ConversationCreated(make_conversation(), AT), "e1")
    assert {delivery.state for delivery in planner.new_deliveries.values()} == {DeliveryState.UNIDENTIFIED}
    assert {delivery.reason for delivery in planner.new_deliveries.values()} == {Reason.LOOKING_UP_CUSTOMER}
    [lookup] = planner.lookups.values()
    assert (lookup.kind, lookup.id) == (LookupKind.CUSTOMER, "k1")


def test_a_customer_without_email_and_phone_is_unidentified() -> None:
    planner = make_planner(customers={"k1": Identifiers(None, None)})
    planner.plan(done(), "e1")
    [delivery] = planner.new_deliveries.values()
    assert (delivery.state, delivery.reason, delivery.request) == (
        DeliveryState.UNIDENTIFIED,
        Reason.NO_IDENTIFIER,
        None,
    )
    assert planner.lookups == {}


def test_a_customer_with_only_a_phone_is_identified_by_it() -> None:
    planner = make_planner(customers={"k1": Identifiers(None, "+447911123456")})
    planner.plan(done(), "e1")
    [delivery] = planner.new_deliveries.values()
    assert (delivery.state, delivery.identifier) == (DeliveryState.PENDING, "+447911123456")


def test_a_removed_customer_fails_and_a_missing_one_is_unidentified() -> None:
    planner = make_planner(customers={"k1": Identifiers(None, None, removed=True)})
    planner.plan(done(), "e1")
    nobody = make_planner()
    nobody.plan(ConversationDone(make_conversation(customer=None), AT), "e1")
    reasons = {
        (delivery.state, delivery.reason) for source in (planner, nobody) for delivery in source.new_deliveries.values()
    }
    assert reasons == {
        (DeliveryState.FAILED, Reason.CUSTOMER_REMOVED),
        (DeliveryState.UNIDENTIFIED, Reason.NO_CUSTOMER),
    }


def test_spam_is_skipped_or_sent_depending_on_the_option() -> None:
    skipped, sent = make_planner(), make_planner(options=ConnectionOptions(spam="send"))
    for planner in (skipped, sent):
        planner.plan(ConversationCreated(make_conversation(spam=True), AT), "e1")
    assert [(delivery.state, delivery.reason) for delivery in skipped.new_deliveries.values()] == [
        (DeliveryState.SKIPPED, Reason.SPAM)
    ]
    assert [delivery.state for delivery in sent.new_deliveries.values()] == [DeliveryState.PENDING]


def test_kustomer_imports_are_skipped_or_sent_as_backfill() -> None:
    skipped, sent = make_planner(), make_planner(options=ConnectionOptions(kustomer_imports="backfill"))
    for planner in (skipped, sent):
        planner.plan(ConversationCreated(make_conversation(kustomer_import=True), AT), "e1")
    assert [delivery.reason for delivery in skipped.new_deliveries.values()] == [Reason.KUSTOMER_IMPORT]
    [delivery] = sent.new_deliveries.values()
    assert delivery.request is not None
    assert delivery.request["backfill"] is True


def test_a_newer_revision_that_is_not_spam_releases_a_skipped_fact() -> None:
    fact = ConversationCreated(make_conversation(rev=6), AT)
    older, newer = (
        make_planner(recorded(fact, releasable=True, rev=7)),
        make_planner(recorded(fact, releasable=True, rev=5)),
    )
    assert older.plan(fact, "e1") is PlanResult.ALREADY_RECORDED
    assert newer.plan(fact, "e1") is PlanResult.RELEASED
    [released] = newer.replanned.values()
    assert released.state is DeliveryState.PENDING


def test_a_refetch_hint_enqueues_a_lookup_unless_the_fact_is_recorded() -> None:
    answer = CsatSubmitted(make_conversation(), AT, "r1", 5.0, 1)
    hint = RefetchHint("c1", answer.fact_key, AT)
    planner = make_planner()
    planner.plan_refetch(hint)
    [lookup] = planner.lookups.values()
    assert (lookup.kind, lookup.expected_fact_key) == (LookupKind.CONVERSATION, answer.fact_key)
    assert lookup.delay_seconds > 0
    recorded_planner = make_planner(RecordedFact(answer.fact_key, DeliveryKind.CSAT, AT, releasable=False, rev=1))
    recorded_planner.plan_refetch(hint)
    assert recorded_planner.lookups == {}


def test_a_fact_survives_encoding_and_decoding() -> None:
    for kind, fact in (
        ("created", ConversationCreated(make_conversation(), AT)),
        ("done", done(approximate=True)),
        ("csat", CsatSubmitted(make_conversation(), AT, "r1", None, 1)),
    ):
        assert decode_fact(kind, encode_fact(fact)) == fact


def test_a_conversation_routed_elsewhere_is_skipped_until_its_brand_changes() -> None:
    routes = Routes((Route("b1", "kids"),), "acme")
    rules = ConnectionRules(ConnectionOptions(), EventSettings(org="acme"), SINCE, connection_id="acme", routes=routes)
    planner = EventPlanner(rules, {}, {"k1": ADA})
    planner.plan(ConversationCreated(replace_brand(make_conversation(), "b1"), AT), "e1")
    [delivery] = planner.new_deliveries.values()
    assert (delivery.state, delivery.request) == (DeliveryState.SKIPPED, None)
    assert (delivery.reason, delivery.fact["notes"]) == (
        Reason.NOT_ROUTED_HERE,
        ["conversations of brand b1 go to kids"],
    )
    later = EventPlanner(
        rules, {"c1": [RecordedFact(delivery.fact_key, DeliveryKind.CREATED, AT, releasable=True, rev=1)]}, {"k1": ADA}
    )
    assert (
        later.plan(ConversationCreated(replace_brand(make_conversation(rev=2), "b2"), AT), "e2") is PlanResult.RELEASED
    )
    assert later.replanned[delivery.fact_key].state is DeliveryState.PENDING


def replace_brand(conversation: Conversation, brand: str) -> Conversation:
    return msgspec.structs.replace(conversation, brand_id=brand)
