"""The event request of each fact."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.facts import Conversation, ConversationCreated, ConversationDone, CsatSubmitted, Fact
from kustomer_klaviyo.klaviyo.event_request import (
    EventRequest,
    EventSettings,
    build_event,
    is_dropped_by_klaviyo,
    unique_id,
    validate_conversation_link,
    validate_metric_name,
)
from kustomer_klaviyo.klaviyo.event_wire import encode_event

AT = datetime(2026, 3, 20, 18, 50, 55, 976000, tzinfo=UTC)
CONVERSATION = Conversation("c1", "k1", subject="Where is my order?", channel="email")
SETTINGS = EventSettings(org="acme")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
LINK = "https://acme.kustomerapp.com/app/customers/k1/event/c1"


def built(fact: Fact, **more: Any) -> EventRequest:
    return build_event(fact, email="ada@lanternpost.example", phone=None, settings=SETTINGS, **more)


def test_a_created_event_has_exactly_the_documented_properties() -> None:
    request = built(ConversationCreated(CONVERSATION, AT))
    assert (request.metric, request.time) == ("Kustomer Conversation Create", AT)
    assert request.properties == {"conversationId": "c1", "conversationLink": LINK, "subject": "Where is my order?"}


def test_a_done_event_also_has_the_channel() -> None:
    request = built(ConversationDone(CONVERSATION, AT))
    assert request.metric == "Kustomer Conversation Done"
    assert request.properties == {
        "conversationChannel": "email",
        "conversationId": "c1",
        "conversationLink": LINK,
        "subject": "Where is my order?",
    }


@pytest.mark.parametrize(("rating", "score"), [(1, 0), (3, 0), (3.9, 0), (4, 1), (5, 1), (8, 1)])
def test_a_rating_of_four_or_more_scores_one_and_the_score_is_also_sent_as_text(rating: float, score: int) -> None:
    request = built(CsatSubmitted(CONVERSATION, AT, "r1", float(rating), 1 - score))
    assert request.metric == "Kustomer Conversation CSAT Submitted"
    assert request.properties["rating"] == rating
    assert (request.properties["score"], request.properties["scoreText"]) == (score, str(score))


def test_an_integral_rating_is_sent_as_an_integer() -> None:
    assert b'"rating":4,' in encode_event(built(CsatSubmitted(CONVERSATION, AT, "r1", 4.0, None)))


def test_without_a_rating_kustomers_score_is_used() -> None:
    properties = built(CsatSubmitted(CONVERSATION, AT, "r1", None, 1)).properties
    assert "rating" not in properties
    assert properties["score"] == 1


def test_unknown_values_are_left_out() -> None:
    request = built(ConversationDone(Conversation("c1", "k1"), AT))
    assert set(request.properties) == {"conversationId", "conversationLink"}


def test_only_one_identifier_is_sent_and_the_email_is_preferred() -> None:
    both = build_event(
        ConversationCreated(CONVERSATION, AT), email="a@b.example", phone="+4479111234", settings=SETTINGS
    )
    assert (both.email, both.phone) == ("a@b.example", None)
    only_phone = build_event(ConversationCreated(CONVERSATION, AT), email=None, phone="+4479111234", settings=SETTINGS)
    assert b'"attributes":{"phone_number":"+4479111234"}' in encode_event(only_phone)


def test_metric_names_and_link_come_from_the_settings() -> None:
    options = EventSettings(org="acme", done_metric="Kustomer Conversation Close", conversation_link="https://x/{org}")
    request = build_event(ConversationDone(CONVERSATION, AT), email="a@b.example", phone=None, settings=options)
    assert (request.metric, request.properties["conversationLink"]) == ("Kustomer Conversation Close", "https://x/acme")


def test_an_id_cannot_change_the_target_of_the_link() -> None:
    request = built(ConversationCreated(Conversation("../../x?y", "k1"), AT))
    assert str(request.properties["conversationLink"]).endswith("/event/..%2F..%2Fx%3Fy")


@pytest.mark.parametrize("link", ["ftp://x", "https://x/{other}", "https://x/{org.secret}", "https://x/{", "{org}"])
def test_a_link_with_unknown_placeholders_is_invalid(link: str) -> None:
    with pytest.raises(ValueError, match="conversation_link"):
        validate_conversation_link(link)
    validate_conversation_link(SETTINGS.conversation_link)


@pytest.mark.parametrize("name", ["", "  ", "x" * 128])
def test_a_metric_name_that_klaviyo_does_not_accept_is_invalid(name: str) -> None:
    with pytest.raises(ValueError, match="metric"):
        validate_metric_name(name)


def test_addresses_whose_events_klaviyo_drops_are_recognised() -> None:
    assert is_dropped_by_klaviyo("a@Example.com")
    assert not is_dropped_by_klaviyo("a@lanternpost.example")
    assert not is_dropped_by_klaviyo(None)


@pytest.mark.parametrize(("rating", "score"), [(0.0, 0), (float("nan"), 1), (float("inf"), 1)])
def test_a_rating_that_klaviyo_drops_is_left_out(rating: float, score: int) -> None:
    properties = built(CsatSubmitted(CONVERSATION, AT, "r1", rating, 1)).properties
    assert "rating" not in properties
    assert properties["score"] == score


def test_a_long_subject_is_truncated() -> None:
    request = built(ConversationCreated(Conversation("c1", "k1", subject="é" * 1001), AT))
    assert request.properties["subject"] == "é" * 1000


def test_placeholders_in_values_are_not_replaced() -> None:
    request = built(ConversationCreated(Conversation("{org}", "{conversationId}"), AT))
    expected = "https://acme.kustomerapp.com/app/customers/%7BconversationId%7D/event/%7Borg%7D"
    assert request.properties["conversationLink"] == expected


@given(st.text(max_size=600))
def test_a_unique_id_has_at_most_255_characters_and_is_deterministic(key: str) -> None:
    assert 1 <= len(unique_id(key)) <= 255
    assert unique_id(key) == unique_id(key)


def test_long_fact_keys_that_differ_at_their_end_have_different_unique_ids() -> None:
    assert unique_id("x" * 300 + "a") != unique_id("x" * 300 + "b")


TEXT = st.none() | st.text(max_size=30)
EMAILS, PHONES = st.just("ada@lanternpost.example"), st.just("+447911123456")
IDENTIFIERS = st.tuples(EMAILS, st.none() | PHONES) | st.tuples(st.none(), PHONES)
CONVERSATIONS = st.builds(Conversation, st.text("abc012", min_size=1, max_size=64), st.just("k1"), TEXT, TEXT)
TIMES = st.datetimes(datetime(1991, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds of a zoned strategy
FACTS = st.one_of(
    st.builds(ConversationCreated, CONVERSATIONS, TIMES),
    st.builds(ConversationDone, CONVERSATIONS, TIMES),
    st.builds(
        CsatSubmitted,
        CONVERSATIONS,
        TIMES,
        st.text("abc012", min_size=1, max_size=64),
        st.none() | st.floats(),
        st.none() | st.sampled_from([0, 1]),
    ),
)


@given(fact=FACTS, identifiers=IDENTIFIERS, backfill=st.booleans())
def test_every_fact_becomes_a_valid_request_body(
    *, fact: Fact, identifiers: tuple[str | None, str | None], backfill: bool
) -> None:
    email, phone = identifiers
    request = build_event(fact, email=email, phone=phone, settings=SETTINGS, backfill=backfill)
    attributes = msgspec.json.decode(encode_event(request))["data"]["attributes"]
    assert 1 <= len(attributes["unique_id"]) <= 255
    assert RFC_3339.fullmatch(attributes["time"])
    assert datetime.fromisoformat(attributes["time"]) == fact.occurred_at
    assert attributes.get("backfill", False) == backfill
    properties = attributes["properties"]
    assert all(value not in (None, "") for value in properties.values())
    assert all(value != 0 for name, value in properties.items() if name != "score")
    expected = {"email": email} if email else {"phone_number": phone}
    assert attributes["profile"]["data"]["attributes"] == expected


@given(FACTS)
def test_a_request_survives_storage_unchanged(fact: Fact) -> None:
    request = built(fact, backfill=True)
    stored = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(request)))
    assert msgspec.convert(stored, EventRequest) == request
