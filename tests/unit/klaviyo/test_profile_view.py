"""Klaviyo's responses are read for the card, whatever they contain."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.klaviyo.profile_view import (
    CLICKED,
    MAX_CONSENTS,
    MAX_MESSAGES,
    MAX_WORD_LENGTH,
    MESSAGE_METRICS,
    OPENED,
    RECEIVED,
    Consent,
    Message,
    MessageEvent,
    NamedRef,
    Prediction,
    build_messages,
    latest_messages,
    read_account,
    read_campaign,
    read_ids,
    read_message_events,
    read_metrics,
    read_named,
    read_profiles,
)

AT = datetime(2026, 3, 20, 9, 30, tzinfo=UTC)
METRICS = {"Rcv": "Received Email", "Opn": "Opened Email", "Clk": "Clicked Email"}
READERS = (read_profiles, read_named, read_metrics, read_ids, read_account, read_campaign)


def response(*resources: Any) -> bytes:
    return msgspec.json.encode({"data": list(resources)})


def profile(**attributes: Any) -> bytes:
    return response({"type": "profile", "id": "P1", "attributes": attributes})


def consents(**subscriptions: Any) -> tuple[Consent, ...]:
    [read] = read_profiles(profile(subscriptions=subscriptions))
    return read.consents


def prediction(**analytics: Any) -> Prediction | None:
    [read] = read_profiles(profile(predictive_analytics=analytics))
    return read.prediction


def event(metric: str | None = "Rcv", /, *, at: Any = "2026-03-20T09:30:00+00:00", **properties: Any) -> dict[str, Any]:
    attributes = {"datetime": at, "event_properties": properties}
    relationships = {} if metric is None else {"metric": {"data": {"type": "metric", "id": metric}}}
    return {"type": "event", "id": "E1", "attributes": attributes, "relationships": relationships}


def message_event(metric: str, minute: int, message_id: str | None = "M1", **properties: Any) -> MessageEvent:
    reference = {} if message_id is None else {"$message": message_id}
    return MessageEvent(metric, AT + timedelta(minutes=minute), reference | properties)


def minutes(message: Message) -> tuple[int | None, ...]:
    """Return the minutes at which a message was sent, opened and clicked."""
    times = (message.sent_at, message.opened_at, message.clicked_at)
    return tuple(None if at is None else round((at - AT).total_seconds() / 60) for at in times)


def test_a_profile_is_read_with_its_name_and_contacts() -> None:
    [read] = read_profiles(
        profile(first_name=" Ada", last_name="Lantern ", email="ada@a.co", phone_number="+12025550123")
    )
    assert (read.id, read.name, read.email, read.phone) == ("P1", "Ada Lantern", "ada@a.co", "+12025550123")


@pytest.mark.parametrize(
    ("attributes", "name"),
    [({"first_name": "Ada"}, "Ada"), ({"last_name": "Lantern"}, "Lantern"), ({"first_name": " "}, None), ({}, None)],
)
def test_a_name_may_have_one_part_and_an_empty_name_is_none(attributes: dict[str, str], name: str | None) -> None:
    [read] = read_profiles(profile(**attributes))
    assert read.name == name


def test_characters_that_cannot_be_stored_are_replaced_in_a_text() -> None:
    body = b'{"data":{"id":"P1","attributes":{"first_name":"A\\u0000d\\na","last_name":"Lan\\ud83dtern"}}}'
    assert [read.name for read in read_profiles(body)] == ["A\ufffdda Lan\ufffdtern"]


def test_a_text_keeps_spaces_between_words_and_joined_emoji() -> None:
    family = "\U0001f469\u200d\U0001f680"
    [read] = read_profiles(profile(first_name=f"Ada\u00a0 {family}"))
    assert read.name == f"Ada {family}"


def test_a_single_profile_is_read_like_a_list_of_one() -> None:
    resource = {"type": "profile", "id": "P1", "attributes": {"email": "ada@a.co"}}
    assert read_profiles(msgspec.json.encode({"data": resource})) == read_profiles(response(resource))


def test_consent_is_read_by_channel_with_its_time() -> None:
    since = "2026-03-20T09:30:00+00:00"
    email = {"consent": "SUBSCRIBED", "consent_timestamp": since, "can_receive_email_marketing": True}
    sms = {"consent": "UNSUBSCRIBED", "consent_timestamp": since, "can_receive_sms_marketing": False}
    push = {"consent": "NEVER_SUBSCRIBED", "consent_timestamp": None, "can_receive_push_marketing": False}
    read = consents(email={"marketing": email}, sms={"marketing": sms}, mobile_push={"marketing": push})
    assert read == (
        Consent(channel="email", state="subscribed", since=AT, can_receive=True),
        Consent(channel="sms", state="unsubscribed", since=AT, can_receive=False),
        Consent(channel="push", state="never_subscribed", since=None, can_receive=False),
    )


def test_consent_to_whatsapp_and_to_transactional_texts_is_read_by_purpose() -> None:
    granted = {"consent": "SUBSCRIBED", "can_receive": True, "valid_until": "2026-03-20T09:30:00+00:00"}
    withdrawn = {"consent": "UNSUBSCRIBED", "can_receive_sms_transactional": False}
    read = consents(whatsapp={"conversational": granted, "marketing": granted}, sms={"transactional": withdrawn})
    assert read == (
        Consent(channel="sms", purpose="transactional", state="unsubscribed", can_receive=False),
        Consent(channel="whatsapp", state="subscribed", until=AT, can_receive=True),
        Consent(channel="whatsapp", purpose="conversational", state="subscribed", until=AT, can_receive=True),
    )


def test_an_unknown_channel_or_state_is_kept_as_klaviyo_names_it() -> None:
    granted = {"marketing": {"consent": "SUBSCRIBED"}}
    tracking = {key: {"consent": "SUBSCRIBED"} for key in ("open_tracking", "click_tracking", "later_tracking")}
    read = consents(rcs=granted, email={"marketing": {"consent": "PAUSED"}} | tracking)
    assert [(consent.channel, consent.state) for consent in read] == [("email", "paused"), ("rcs", "subscribed")]


def test_push_consent_is_read_under_both_channel_names() -> None:
    for name in ("mobile_push", "push"):
        assert [consent.channel for consent in consents(**{name: {"marketing": {"consent": "SUBSCRIBED"}}})] == ["push"]


def test_long_words_of_a_consent_are_truncated() -> None:
    [consent] = consents(**{"c" * 1000: {"p" * 1000: {"consent": "S" * 1000, "suppression": [{"reason": "R" * 1000}]}}})
    words = (consent.channel, consent.purpose, consent.state, consent.suppressed or "")
    assert [len(word) for word in words] == [MAX_WORD_LENGTH] * 4


def test_the_number_of_consents_is_limited() -> None:
    granted = {"marketing": {"consent": "SUBSCRIBED"}}
    assert len(consents(**{f"channel{number}": granted for number in range(100)})) == MAX_CONSENTS


def test_a_suppression_is_read_with_its_reason() -> None:
    marketing = {"consent": "SUBSCRIBED", "suppression": [{"reason": "HARD_BOUNCE", "timestamp": "2026-01-01"}]}
    assert [consent.suppressed for consent in consents(email={"marketing": marketing})] == ["hard_bounce"]


@pytest.mark.parametrize("marketing", [None, "?", {}, {"consent": None}, {"consent": ""}, {"consent": 1}])
def test_a_channel_without_a_consent_state_is_left_out(marketing: Any) -> None:
    assert consents(email={"marketing": marketing}, sms=None, mobile_push=[]) == ()


@pytest.mark.parametrize("suppression", [None, [], {}, {"reason": "?"}, "?", ["?"], [{}], [{"reason": None}]])
def test_a_consent_is_read_despite_an_invalid_suppression_and_time(suppression: Any) -> None:
    marketing = {"consent": "SUBSCRIBED", "consent_timestamp": "soon", "suppression": suppression}
    [consent] = consents(email={"marketing": marketing})
    assert (consent.state, consent.since, consent.suppressed) == ("subscribed", None, None)


def test_predictions_are_read() -> None:
    read = prediction(total_clv=312.5, churn_probability=0.2, expected_date_of_next_order="2026-03-20T09:30:00Z")
    assert read == Prediction(lifetime_value=312.5, churn_risk=0.2, next_order=AT)
    assert prediction(total_clv=0) == Prediction(lifetime_value=0.0)


@pytest.mark.parametrize(
    "analytics",
    [{}, {"total_clv": None}, {"total_clv": True}, {"churn_probability": "high"}, {"total_clv": 10**400}],
)
def test_an_invalid_prediction_is_none(analytics: dict[str, Any]) -> None:
    assert prediction(**analytics) == Prediction()


def test_empty_predictions_differ_from_predictions_that_were_not_requested() -> None:
    nothing = dict.fromkeys(("historic_clv", "total_clv", "churn_probability", "expected_date_of_next_order"))
    for analytics in (nothing, None, "?"):
        assert [read.prediction for read in read_profiles(profile(predictive_analytics=analytics))] == [Prediction()]
    assert [read.prediction for read in read_profiles(profile(email="ada@a.co"))] == [None]


def test_lists_and_segments_are_sorted_by_name_ignoring_case() -> None:
    names = {"L1": "newsletter", "L2": "Circle", "L3": "VIPs"}
    resources = [{"id": group_id, "attributes": {"name": name}} for group_id, name in names.items()]
    assert read_named(response(*resources)) == [
        NamedRef("L2", "Circle"),
        NamedRef("L1", "newsletter"),
        NamedRef("L3", "VIPs"),
    ]


def test_a_list_without_a_name_is_named_by_its_id() -> None:
    assert read_named(response({"id": "L1"}, {"id": "L2", "attributes": {"name": " "}})) == [
        NamedRef("L1", "L1"),
        NamedRef("L2", "L2"),
    ]


def metric(metric_id: str, name: Any, /, **integration: Any) -> dict[str, Any]:
    attributes = {"name": name} | ({"integration": integration} if integration else {})
    return {"type": "metric", "id": metric_id, "attributes": attributes}


def test_only_metrics_of_messages_are_read() -> None:
    names = {"A": "Received Email", "B": "Placed Order", "C": "Clicked SMS", "D": ["Received Email"], "E": None}
    metrics = read_metrics(response(*(metric(metric_id, name) for metric_id, name in names.items())))
    assert metrics == {"A": "Received Email", "C": "Clicked SMS"}


def test_metrics_of_text_messages_are_read_under_their_old_and_new_names() -> None:
    names = ("Received SMS", "Received Text Message", "Clicked SMS", "Clicked Text Message")
    metrics = read_metrics(response(*(metric(f"M{number}", name) for number, name in enumerate(names))))
    assert tuple(metrics.values()) == names


def test_two_metrics_with_the_same_name_are_both_read() -> None:
    metrics = read_metrics(response(metric("A", "Received Email"), metric("B", "Received Email")))
    assert metrics == {"A": "Received Email", "B": "Received Email"}


def test_a_metric_of_another_integration_is_left_out() -> None:
    own, other = metric("A", "Received SMS", name="Klaviyo"), metric("B", "Received SMS", name="API")
    assert read_metrics(response(other, own, metric("C", "Received SMS", name=None))) == {"A": "Received SMS"}


def test_an_event_is_read_with_the_metric_it_names() -> None:
    events = read_message_events(response(event("Opn", Subject="Hello"), event("Rcv")), METRICS)
    assert events == [MessageEvent("Opened Email", AT, {"Subject": "Hello"}), MessageEvent("Received Email", AT, {})]


def test_an_event_without_a_metric_has_the_only_metric_that_was_requested() -> None:
    events = read_message_events(response(event(None)), {"Rcv": "Received Email"})
    assert [event.metric for event in events] == ["Received Email"]
    assert read_message_events(response(event(None)), METRICS) == []


def test_events_of_other_metrics_and_events_without_a_valid_time_are_left_out() -> None:
    assert (
        read_message_events(response(event("Ord"), event(at=None), event(at="yesterday"), event(at=1)), METRICS) == []
    )


def test_a_time_without_a_zone_is_utc() -> None:
    assert read_message_events(response(event(at="2026-03-20T09:30:00")), METRICS) == [
        MessageEvent("Received Email", AT, {})
    ]


def test_a_click_by_a_bot_is_left_out() -> None:
    clicks = [event("Clk", **{"Bot Click": is_bot}) for is_bot in (True, False)]
    assert len(read_message_events(response(*clicks), METRICS)) == 1


def test_the_name_and_currency_of_an_account_are_read() -> None:
    attributes = {"contact_information": {"organization_name": "Lantern Post"}, "preferred_currency": "EUR"}
    assert read_account(response({"id": "A", "attributes": attributes})) == {"name": "Lantern Post", "currency": "EUR"}
    assert read_account(b"") == {"name": None, "currency": None}


def test_a_campaign_is_read_in_the_old_and_the_new_revision() -> None:
    assert read_campaign(response({"id": "C", "attributes": {"name": "Sale"}})) == NamedRef("C", "Sale")
    assert read_campaign(response({"id": "C", "attributes": {"definition": {"name": "Sale"}}})) == NamedRef("C", "Sale")
    assert read_campaign(response({"id": "C"})) == NamedRef("C", "C")
    assert read_campaign(response()) is None


def test_a_flow_message_has_the_id_of_its_flow() -> None:
    sent = [message_event("Received Email", 1, "M1"), message_event("Received Email", 2, "M2", **{"$flow": "F1"})]
    assert [(message.id, message.flow_id) for message in build_messages(sent)] == [("M2", "F1"), ("M1", None)]


def test_a_message_has_its_name_and_subject_but_not_its_text() -> None:
    properties = {"Campaign Name": "Sale", "Subject": "20% off", "Body": "Dear Ada", "URL": "https://shop.example/?t=1"}
    [message] = build_messages([message_event("Received Email", 0, **properties)])
    assert message == Message(id="M1", channel="email", name="Sale", subject="20% off", sent_at=AT)


def test_opens_and_clicks_belong_to_the_received_message() -> None:
    events = [message_event("Clicked Email", 9), message_event("Opened Email", 5), message_event("Received Email", 1)]
    assert [minutes(message) for message in build_messages(events)] == [(1, 5, 9)]


def test_the_first_open_and_the_first_click_count() -> None:
    repeated = [message_event(metric, minute) for metric in ("Opened Email", "Clicked Email") for minute in (7, 5, 9)]
    assert [minutes(message) for message in build_messages([message_event("Received Email", 1), *repeated])] == [
        (1, 5, 5)
    ]


def test_a_message_that_was_opened_in_the_same_second_was_received_first() -> None:
    for metrics in (("Opened Email", "Received Email"), ("Received Email", "Opened Email")):
        messages = build_messages(message_event(metric, 3) for metric in metrics)
        assert [minutes(message) for message in messages] == [(3, 3, None)]


def test_a_flow_message_sent_twice_is_two_messages_and_an_open_belongs_to_the_later_one() -> None:
    events = [("Received Email", 1), ("Opened Email", 2), ("Received Email", 60), ("Opened Email", 61)]
    messages = build_messages(message_event(metric, minute, **{"$flow": "F1"}) for metric, minute in events)
    assert [minutes(message) for message in messages] == [(60, 61, None), (1, 2, None)]


def test_a_message_received_before_the_period_is_known_by_its_open() -> None:
    [message] = build_messages([message_event("Opened Push", 4, **{"Campaign Name": "Sale"})])
    assert (message.channel, message.name, minutes(message)) == ("push", "Sale", (None, 4, None))


def test_text_messages_are_read_under_their_old_and_new_names() -> None:
    events = [
        message_event(f"{verb} {kind}", minute, kind)
        for minute, kind in enumerate(("SMS", "Text Message"))
        for verb in ("Received", "Clicked")
    ]
    messages = [(message.channel, minutes(message)) for message in build_messages(events)]
    assert messages == [("sms", (1, None, 1)), ("sms", (0, None, 0))]


def test_a_receipt_recorded_under_both_names_is_one_message() -> None:
    [message] = build_messages(
        [
            message_event("Received SMS", 1),
            message_event("Received Text Message", 1),
            message_event("Clicked Text Message", 2),
        ]
    )
    assert minutes(message) == (1, None, 2)


@pytest.mark.parametrize(("metric", "channel"), {**RECEIVED, **OPENED, **CLICKED}.items())
def test_the_channel_is_that_of_the_metric(metric: str, channel: str) -> None:
    assert [message.channel for message in build_messages([message_event(metric, 0)])] == [channel]


@pytest.mark.parametrize("message_id", [None, "", " "])
def test_an_event_without_a_message_id_is_left_out(message_id: str | None) -> None:
    assert build_messages([message_event("Received Email", 0, message_id)]) == []


def test_the_message_with_the_latest_event_comes_first() -> None:
    events = [
        message_event("Received Email", 1, "old"),
        message_event("Received Email", 5, "new"),
        message_event("Opened Email", 9, "old"),
    ]
    assert [message.id for message in build_messages(events)] == ["old", "new"]


def test_many_flow_messages_do_not_displace_campaigns() -> None:
    flows = [message_event("Received Email", 100 + n, f"flow {n}", **{"$flow": "F1"}) for n in range(30)]
    campaigns = [message_event("Received Email", n, f"campaign {n}") for n in range(30)]
    latest = latest_messages(build_messages([*campaigns, *flows]))
    campaign_ids = [message.id for message in latest if message.flow_id is None]
    flow_message_ids = [message.id for message in latest if message.flow_id is not None]
    assert campaign_ids == [f"campaign {29 - n}" for n in range(MAX_MESSAGES)]
    assert flow_message_ids == [f"flow {29 - n}" for n in range(MAX_MESSAGES)]


EVENTS = st.lists(
    st.tuples(st.sampled_from(MESSAGE_METRICS), st.integers(0, 10_000), st.sampled_from("ABC")),
    unique_by=lambda event: event[1],
    max_size=30,
)


@given(EVENTS, st.randoms(use_true_random=False))
def test_the_order_of_events_does_not_matter(events: list[Any], rng: Any) -> None:
    shuffled = rng.sample(events, len(events))
    messages, expected = (build_messages(message_event(*event) for event in ordered) for ordered in (shuffled, events))
    assert messages == expected


@given(EVENTS)
def test_every_receipt_is_a_message_and_no_message_is_opened_before_it_was_sent(events: list[Any]) -> None:
    messages = build_messages(message_event(*event) for event in events)
    assert sum(message.sent_at is not None for message in messages) == sum(
        metric in RECEIVED for metric, _, _ in events
    )
    assert {message.id for message in messages} == {message_id for _, _, message_id in events}
    assert [message.last_at for message in messages] == sorted((message.last_at for message in messages), reverse=True)
    for message in messages:
        later = [at for at in (message.opened_at, message.clicked_at) if at is not None]
        assert message.sent_at is None or all(at >= message.sent_at for at in later)


FIELD_NAMES = (
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
ANY_JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELD_NAMES), inner, max_size=6),
    max_leaves=20,
)
RESOURCE = st.fixed_dictionaries(
    {"id": st.just("P1") | ANY_JSON}, optional={"attributes": ANY_JSON, "relationships": ANY_JSON}
)


def read_all(body: bytes) -> None:
    for read in READERS:
        read(body)
    messages = latest_messages(build_messages(read_message_events(body, METRICS)))
    msgspec.json.encode([messages, read_profiles(body)])


@given(st.one_of(ANY_JSON, RESOURCE, st.lists(RESOURCE, max_size=3)))
def test_no_document_raises_an_error(data: Any) -> None:
    read_all(msgspec.json.encode({"data": data}))


@pytest.mark.parametrize("name", FIELD_NAMES)
def test_no_field_of_a_wrong_type_raises_an_error(name: str) -> None:
    for value in (None, True, 1, 0.5, "", "?", [], {}, ["?"], {"?": "?"}):
        resources = {"id": "P1", "attributes": {name: value}}, {"id": "P1", name: value}, event(**{name: value}), value
        read_all(response(*resources))


@given(st.binary(max_size=60))
def test_bytes_that_are_not_json_give_no_profiles(body: bytes) -> None:
    read_all(body)
    assert read_profiles(b"<html>" + body) == []
