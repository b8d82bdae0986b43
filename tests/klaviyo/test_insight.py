"""What Klaviyo's answers tell of a person, read for the card."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.profile_view import (
    CLICKED,
    LONGEST_WORD,
    MESSAGE_METRICS,
    MOST_CONSENTS,
    MOST_MESSAGES,
    OPENED,
    RECEIVED,
    Consent,
    Happening,
    Message,
    Named,
    Prediction,
    latest,
    messages,
    read_account,
    read_campaign,
    read_happenings,
    read_ids,
    read_metrics,
    read_named,
    read_profiles,
)

AT = datetime(2026, 3, 20, 9, 30, tzinfo=UTC)
METRICS = {"Rcv": "Received Email", "Opn": "Opened Email", "Clk": "Clicked Email"}
READERS = (read_profiles, read_named, read_metrics, read_ids, read_account, read_campaign)


def answer(*resources: Any) -> bytes:
    return msgspec.json.encode({"data": list(resources)})


def profile(**attributes: Any) -> bytes:
    return answer({"type": "profile", "id": "P1", "attributes": attributes})


def consents(**subscriptions: Any) -> tuple[Consent, ...]:
    [who] = read_profiles(profile(subscriptions=subscriptions))
    return who.consents


def predicted(**analytics: Any) -> Prediction | None:
    [who] = read_profiles(profile(predictive_analytics=analytics))
    return who.prediction


def event(metric: str | None = "Rcv", /, *, at: Any = "2026-03-20T09:30:00+00:00", **properties: Any) -> dict[str, Any]:
    attributes = {"datetime": at, "event_properties": properties}
    related = {} if metric is None else {"metric": {"data": {"type": "metric", "id": metric}}}
    return {"type": "event", "id": "E1", "attributes": attributes, "relationships": related}


def happened(metric: str, minute: int, message: str | None = "M1", **properties: Any) -> Happening:
    named = {} if message is None else {"$message": message}
    return Happening(metric, AT + timedelta(minutes=minute), named | properties)


def minutes(message: Message) -> tuple[int | None, ...]:
    """Return when a message was sent, opened and clicked, in minutes."""
    moments = (message.sent_at, message.opened_at, message.clicked_at)
    return tuple(None if at is None else round((at - AT).total_seconds() / 60) for at in moments)


def test_a_profile_is_read_with_its_name_and_addresses() -> None:
    [who] = read_profiles(
        profile(first_name=" Ada", last_name="Lantern ", email="ada@a.co", phone_number="+12025550123")
    )
    assert (who.id, who.name, who.email, who.phone) == ("P1", "Ada Lantern", "ada@a.co", "+12025550123")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [({"first_name": "Ada"}, "Ada"), ({"last_name": "Lantern"}, "Lantern"), ({"first_name": " "}, None), ({}, None)],
)
def test_half_a_name_is_one_and_an_empty_one_is_none(attributes: dict[str, str], name: str | None) -> None:
    [who] = read_profiles(profile(**attributes))
    assert who.name == name


def test_what_cannot_be_kept_or_shown_of_a_text_is_left_out_or_replaced() -> None:
    body = b'{"data":{"id":"P1","attributes":{"first_name":"A\\u0000d\\na","last_name":"Lan\\ud83dtern"}}}'
    assert [who.name for who in read_profiles(body)] == ["A\ufffdda Lan\ufffdtern"]


def test_a_text_keeps_its_words_apart_and_its_joined_emoji_whole() -> None:
    family = "\U0001f469\u200d\U0001f680"
    [who] = read_profiles(profile(first_name=f"Ada\u00a0 {family}"))
    assert who.name == f"Ada {family}"


def test_one_profile_is_read_like_several() -> None:
    resource = {"type": "profile", "id": "P1", "attributes": {"email": "ada@a.co"}}
    assert read_profiles(msgspec.json.encode({"data": resource})) == read_profiles(answer(resource))


def test_consent_is_told_by_channel_with_since_when() -> None:
    since = "2026-03-20T09:30:00+00:00"
    email = {"consent": "SUBSCRIBED", "consent_timestamp": since, "can_receive_email_marketing": True}
    sms = {"consent": "UNSUBSCRIBED", "consent_timestamp": since, "can_receive_sms_marketing": False}
    push = {"consent": "NEVER_SUBSCRIBED", "consent_timestamp": None, "can_receive_push_marketing": False}
    found = consents(email={"marketing": email}, sms={"marketing": sms}, mobile_push={"marketing": push})
    assert found == (
        Consent(channel="email", state="subscribed", since=AT, can_receive=True),
        Consent(channel="sms", state="unsubscribed", since=AT, can_receive=False),
        Consent(channel="push", state="never_subscribed", since=None, can_receive=False),
    )


def test_consent_to_whatsapp_and_to_transactional_texts_is_told_by_purpose() -> None:
    given = {"consent": "SUBSCRIBED", "can_receive": True, "valid_until": "2026-03-20T09:30:00+00:00"}
    withdrawn = {"consent": "UNSUBSCRIBED", "can_receive_sms_transactional": False}
    found = consents(whatsapp={"conversational": given, "marketing": given}, sms={"transactional": withdrawn})
    assert found == (
        Consent(channel="sms", purpose="transactional", state="unsubscribed", can_receive=False),
        Consent(channel="whatsapp", state="subscribed", until=AT, can_receive=True),
        Consent(channel="whatsapp", purpose="conversational", state="subscribed", until=AT, can_receive=True),
    )


def test_a_channel_or_purpose_not_yet_known_is_told_in_klaviyos_words() -> None:
    given = {"marketing": {"consent": "SUBSCRIBED"}}
    tracking = {key: {"consent": "SUBSCRIBED"} for key in ("open_tracking", "click_tracking", "later_tracking")}
    found = consents(rcs=given, email={"marketing": {"consent": "PAUSED"}} | tracking)
    assert [(one.channel, one.state) for one in found] == [("email", "paused"), ("rcs", "subscribed")]


def test_consent_to_push_is_the_same_under_either_name() -> None:
    for name in ("mobile_push", "push"):
        assert [one.channel for one in consents(**{name: {"marketing": {"consent": "SUBSCRIBED"}}})] == ["push"]


def test_a_word_that_goes_on_and_on_is_cut() -> None:
    [consent] = consents(**{"c" * 1000: {"p" * 1000: {"consent": "S" * 1000, "suppression": [{"reason": "R" * 1000}]}}})
    words = (consent.channel, consent.purpose, consent.state, consent.suppressed or "")
    assert [len(word) for word in words] == [LONGEST_WORD] * 4


def test_very_many_channels_are_cut() -> None:
    given = {"marketing": {"consent": "SUBSCRIBED"}}
    assert len(consents(**{f"channel{at}": given for at in range(100)})) == MOST_CONSENTS


def test_why_nothing_is_sent_whatever_the_consent_is_told_too() -> None:
    marketing = {"consent": "SUBSCRIBED", "suppression": [{"reason": "HARD_BOUNCE", "timestamp": "2026-01-01"}]}
    assert [one.suppressed for one in consents(email={"marketing": marketing})] == ["hard_bounce"]


@pytest.mark.parametrize("marketing", [None, "?", {}, {"consent": None}, {"consent": ""}, {"consent": 1}])
def test_a_channel_of_which_klaviyo_says_nothing_is_left_out(marketing: Any) -> None:
    assert consents(email={"marketing": marketing}, sms=None, mobile_push=[]) == ()


@pytest.mark.parametrize("suppression", [None, [], {}, {"reason": "?"}, "?", ["?"], [{}], [{"reason": None}]])
def test_a_consent_without_a_reason_against_it_is_read_all_the_same(suppression: Any) -> None:
    marketing = {"consent": "SUBSCRIBED", "consent_timestamp": "soon", "suppression": suppression}
    [consent] = consents(email={"marketing": marketing})
    assert (consent.state, consent.since, consent.suppressed) == ("subscribed", None, None)


def test_what_klaviyo_predicts_is_read_where_it_does() -> None:
    found = predicted(total_clv=312.5, churn_probability=0.2, expected_date_of_next_order="2026-03-20T09:30:00Z")
    assert found == Prediction(lifetime_value=312.5, churn_risk=0.2, next_order=AT)
    assert predicted(total_clv=0) == Prediction(lifetime_value=0.0)


@pytest.mark.parametrize(
    "analytics",
    [{}, {"total_clv": None}, {"total_clv": True}, {"churn_probability": "high"}, {"total_clv": 10**400}],
)
def test_without_a_number_or_date_nothing_is_predicted(analytics: dict[str, Any]) -> None:
    assert predicted(**analytics) == Prediction()


def test_nothing_predicted_is_told_from_not_asked_for() -> None:
    nothing = dict.fromkeys(("historic_clv", "total_clv", "churn_probability", "expected_date_of_next_order"))
    for analytics in (nothing, None, "?"):
        assert [who.prediction for who in read_profiles(profile(predictive_analytics=analytics))] == [Prediction()]
    assert [who.prediction for who in read_profiles(profile(email="ada@a.co"))] == [None]


def test_lists_and_segments_are_told_by_name_whatever_its_letters() -> None:
    named = {"L1": "newsletter", "L2": "Circle", "L3": "VIPs"}
    found = read_named(answer(*({"id": one, "attributes": {"name": name}} for one, name in named.items())))
    assert found == [Named("L2", "Circle"), Named("L1", "newsletter"), Named("L3", "VIPs")]


def test_a_list_without_a_name_is_called_by_its_id() -> None:
    assert read_named(answer({"id": "L1"}, {"id": "L2", "attributes": {"name": " "}})) == [
        Named("L1", "L1"),
        Named("L2", "L2"),
    ]


def metric(metric_id: str, name: Any, /, **integration: Any) -> dict[str, Any]:
    more = {"integration": integration} if integration else {}
    return {"type": "metric", "id": metric_id, "attributes": {"name": name} | more}


def test_of_the_metrics_only_those_of_messages_are_kept() -> None:
    listed = {"A": "Received Email", "B": "Placed Order", "C": "Clicked SMS", "D": ["Received Email"], "E": None}
    found = read_metrics(answer(*(metric(one, name) for one, name in listed.items())))
    assert found == {"A": "Received Email", "C": "Clicked SMS"}


def test_metrics_of_text_messages_are_known_by_their_old_names_and_their_new() -> None:
    listed = ("Received SMS", "Received Text Message", "Clicked SMS", "Clicked Text Message")
    found = read_metrics(answer(*(metric(f"M{at}", name) for at, name in enumerate(listed))))
    assert tuple(found.values()) == listed


def test_two_metrics_of_one_name_are_both_kept() -> None:
    found = read_metrics(answer(metric("A", "Received Email"), metric("B", "Received Email")))
    assert found == {"A": "Received Email", "B": "Received Email"}


def test_a_metric_of_the_same_name_from_another_integration_is_not_klaviyos() -> None:
    ours, others = metric("A", "Received SMS", name="Klaviyo"), metric("B", "Received SMS", name="API")
    assert read_metrics(answer(others, ours, metric("C", "Received SMS", name=None))) == {"A": "Received SMS"}


def test_each_event_is_of_the_metric_that_it_names() -> None:
    found = read_happenings(answer(event("Opn", Subject="Hello"), event("Rcv")), METRICS)
    assert found == [Happening("Opened Email", AT, {"Subject": "Hello"}), Happening("Received Email", AT, {})]


def test_an_event_that_names_no_metric_is_of_the_one_asked_for() -> None:
    assert [one.metric for one in read_happenings(answer(event(None)), {"Rcv": "Received Email"})] == ["Received Email"]
    assert read_happenings(answer(event(None)), METRICS) == []


def test_events_of_other_metrics_and_events_without_a_time_tell_nothing() -> None:
    assert read_happenings(answer(event("Ord"), event(at=None), event(at="yesterday"), event(at=1)), METRICS) == []


def test_a_time_without_a_zone_is_universal() -> None:
    assert read_happenings(answer(event(at="2026-03-20T09:30:00")), METRICS) == [Happening("Received Email", AT, {})]


def test_a_click_by_a_machine_is_none() -> None:
    found = read_happenings(answer(event("Clk", **{"Bot Click": True}), event("Clk", **{"Bot Click": False})), METRICS)
    assert len(found) == 1


def test_an_account_tells_its_name_and_currency() -> None:
    attributes = {"contact_information": {"organization_name": "Lantern Post"}, "preferred_currency": "EUR"}
    assert read_account(answer({"id": "A", "attributes": attributes})) == {"name": "Lantern Post", "currency": "EUR"}
    assert read_account(b"") == {"name": None, "currency": None}


def test_a_campaign_is_read_in_its_shape_before_and_after_it_changed() -> None:
    assert read_campaign(answer({"id": "C", "attributes": {"name": "Sale"}})) == Named("C", "Sale")
    assert read_campaign(answer({"id": "C", "attributes": {"definition": {"name": "Sale"}}})) == Named("C", "Sale")
    assert read_campaign(answer({"id": "C"})) == Named("C", "C")
    assert read_campaign(answer()) is None


def test_what_a_flow_sent_is_told_from_a_campaign() -> None:
    sent = [happened("Received Email", 1, "M1"), happened("Received Email", 2, "M2", **{"$flow": "F1"})]
    assert [(one.id, one.flow) for one in messages(sent)] == [("M2", "F1"), ("M1", None)]


def test_a_message_has_its_name_and_subject_and_nothing_of_its_text() -> None:
    properties = {"Campaign Name": "Sale", "Subject": "20% off", "Body": "Dear Ada", "URL": "https://shop.example/?t=1"}
    [message] = messages([happened("Received Email", 0, **properties)])
    assert message == Message(id="M1", channel="email", name="Sale", subject="20% off", sent_at=AT)


def test_opening_and_clicking_belong_to_what_was_received() -> None:
    read = [happened("Clicked Email", 9), happened("Opened Email", 5), happened("Received Email", 1)]
    assert [minutes(one) for one in messages(read)] == [(1, 5, 9)]


def test_the_first_opening_and_the_first_click_count() -> None:
    again = [happened(metric, minute) for metric in ("Opened Email", "Clicked Email") for minute in (7, 5, 9)]
    assert [minutes(one) for one in messages([happened("Received Email", 1), *again])] == [(1, 5, 5)]


def test_what_was_opened_in_the_second_it_came_was_received_first() -> None:
    for read in (("Opened Email", "Received Email"), ("Received Email", "Opened Email")):
        assert [minutes(one) for one in messages(happened(metric, 3) for metric in read)] == [(3, 3, None)]


def test_what_a_flow_sends_twice_is_two_messages_and_an_opening_belongs_to_the_later() -> None:
    read = [("Received Email", 1), ("Opened Email", 2), ("Received Email", 60), ("Opened Email", 61)]
    found = messages(happened(metric, minute, **{"$flow": "F1"}) for metric, minute in read)
    assert [minutes(one) for one in found] == [(60, 61, None), (1, 2, None)]


def test_what_came_before_the_history_began_is_known_by_its_opening() -> None:
    [message] = messages([happened("Opened Push", 4, **{"Campaign Name": "Sale"})])
    assert (message.channel, message.name, minutes(message)) == ("push", "Sale", (None, 4, None))


def test_texts_are_texts_under_their_old_name_and_their_new() -> None:
    read = [happened(f"{what} {kind}", at, kind) for at, kind in enumerate(("SMS", "Text Message"))
            for what in ("Received", "Clicked")]  # fmt: skip
    assert [(one.channel, minutes(one)) for one in messages(read)] == [("sms", (1, None, 1)), ("sms", (0, None, 0))]


def test_one_receipt_recorded_under_both_names_is_one_message() -> None:
    [message] = messages(
        [happened("Received SMS", 1), happened("Received Text Message", 1), happened("Clicked Text Message", 2)]
    )
    assert minutes(message) == (1, None, 2)


@pytest.mark.parametrize(("metric", "channel"), {**RECEIVED, **OPENED, **CLICKED}.items())
def test_the_channel_is_that_of_the_metric(metric: str, channel: str) -> None:
    assert [one.channel for one in messages([happened(metric, 0)])] == [channel]


@pytest.mark.parametrize("named", [None, "", " "])
def test_what_names_no_message_is_left_out(named: str | None) -> None:
    assert messages([happened("Received Email", 0, named)]) == []


def test_the_latest_to_happen_comes_first() -> None:
    read = [
        happened("Received Email", 1, "old"),
        happened("Received Email", 5, "new"),
        happened("Opened Email", 9, "old"),
    ]
    assert [one.id for one in messages(read)] == ["old", "new"]


def test_many_messages_of_flows_push_out_no_campaign() -> None:
    flows = [happened("Received Email", 100 + n, f"flow {n}", **{"$flow": "F1"}) for n in range(30)]
    campaigns = [happened("Received Email", n, f"campaign {n}") for n in range(30)]
    shown = latest(messages([*campaigns, *flows]))
    assert [one.id for one in shown if one.flow is None] == [f"campaign {29 - n}" for n in range(MOST_MESSAGES)]
    assert [one.id for one in shown if one.flow is not None] == [f"flow {29 - n}" for n in range(MOST_MESSAGES)]


HAPPENINGS = st.lists(
    st.tuples(st.sampled_from(MESSAGE_METRICS), st.integers(0, 10_000), st.sampled_from("ABC")),
    unique_by=lambda one: one[1],
    max_size=30,
)


@given(HAPPENINGS, st.randoms(use_true_random=False))
def test_in_whatever_order_events_come_the_messages_are_the_same(read: list[Any], chance: Any) -> None:
    mixed = chance.sample(read, len(read))
    assert messages(happened(*one) for one in mixed) == messages(happened(*one) for one in read)


@given(HAPPENINGS)
def test_every_receipt_is_a_message_and_nothing_is_opened_before_it_came(read: list[Any]) -> None:
    found = messages(happened(*one) for one in read)
    assert sum(one.sent_at is not None for one in found) == sum(metric in RECEIVED for metric, _, _ in read)
    assert {one.id for one in found} == {message for _, _, message in read}
    assert [one.last_at for one in found] == sorted((one.last_at for one in found), reverse=True)
    for one in found:
        assert one.sent_at is None or all(at is None or at >= one.sent_at for at in (one.opened_at, one.clicked_at))


WORDS = (
    "data", "id", "attributes", "relationships", "metric", "datetime", "event_properties", "$message", "$flow",
    "Subject", "Campaign Name", "Bot Click", "subscriptions", "email", "sms", "mobile_push", "marketing", "consent",
    "consent_timestamp", "suppression", "reason", "can_receive_email_marketing", "predictive_analytics", "total_clv",
    "churn_probability", "expected_date_of_next_order", "first_name", "contact_information", "organization_name",
    "preferred_currency", "definition", "name", "whatsapp", "conversational", "valid_until", "integration",
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=10),
    st.datetimes().map(lambda at: at.isoformat()),
    st.sampled_from(("Rcv", "Opn", "SUBSCRIBED", "2026-03-20T09:30:00Z", "2026-03-20T09:30:00+23:59:59")),
)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=6),
    max_leaves=20,
)
RESOURCE = st.fixed_dictionaries(
    {"id": st.just("P1") | ANYTHING}, optional={"attributes": ANYTHING, "relationships": ANYTHING}
)


def read_all(body: bytes) -> None:
    for read in READERS:
        read(body)
    found = latest(messages(read_happenings(body, METRICS)))
    msgspec.json.encode([found, read_profiles(body)])


@given(st.one_of(ANYTHING, RESOURCE, st.lists(RESOURCE, max_size=3)))
def test_no_document_however_odd_is_an_exception(data: Any) -> None:
    read_all(msgspec.json.encode({"data": data}))


@pytest.mark.parametrize("word", WORDS)
def test_no_field_of_another_kind_is_an_exception(word: str) -> None:
    for odd in (None, True, 1, 0.5, "", "?", [], {}, ["?"], {"?": "?"}):
        read_all(answer({"id": "P1", "attributes": {word: odd}}, {"id": "P1", word: odd}, event(**{word: odd}), odd))


@given(st.binary(max_size=60))
def test_bytes_that_are_no_document_tell_nothing(body: bytes) -> None:
    read_all(body)
    assert read_profiles(b"<html>" + body) == []
