"""What facts become in Klaviyo's terms."""

import re
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.facts import Conversation, ConversationClosed, ConversationOpened, Fact, SatisfactionAnswered
from kustomer_klaviyo.klaviyo.event_request import (
    EventCall,
    ExpressOptions,
    express,
    is_dropped,
    unique_id,
    validate_metric,
    validate_template,
)
from kustomer_klaviyo.klaviyo.event_wire import encode_event

AT = datetime(2026, 3, 20, 18, 50, 55, 976000, tzinfo=UTC)
ABOUT = Conversation("c1", "k1", subject="Where is my order?", channel="email")
OPTIONS = ExpressOptions(org="acme")
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
LINK = "https://acme.kustomerapp.com/app/customers/k1/event/c1"


def said(fact: Fact, **more: Any) -> EventCall:
    return express(fact, email="ada@lanternpost.example", phone=None, options=OPTIONS, **more)


def test_an_opening_has_exactly_the_properties_promised() -> None:
    call = said(ConversationOpened(ABOUT, AT))
    assert (call.metric, call.time) == ("Kustomer Conversation Create", AT)
    assert call.properties == {"conversationId": "c1", "conversationLink": LINK, "subject": "Where is my order?"}


def test_a_closing_has_the_channel_besides() -> None:
    call = said(ConversationClosed(ABOUT, AT))
    assert call.metric == "Kustomer Conversation Done"
    assert call.properties == {
        "conversationChannel": "email",
        "conversationId": "c1",
        "conversationLink": LINK,
        "subject": "Where is my order?",
    }


@pytest.mark.parametrize(("rating", "score"), [(1, 0), (3, 0), (3.9, 0), (4, 1), (5, 1), (8, 1)])
def test_a_rating_of_four_or_more_scores_one_and_the_score_is_also_said_as_text(rating: float, score: int) -> None:
    call = said(SatisfactionAnswered(ABOUT, AT, "r1", float(rating), 1 - score))
    assert call.metric == "Kustomer Conversation CSAT Submitted"
    assert call.properties["rating"] == rating
    assert (call.properties["score"], call.properties["scoreText"]) == (score, str(score))


def test_a_whole_rating_is_a_whole_number() -> None:
    assert b'"rating":4,' in encode_event(said(SatisfactionAnswered(ABOUT, AT, "r1", 4.0, None)))


def test_without_a_rating_the_vendors_score_stands() -> None:
    properties = said(SatisfactionAnswered(ABOUT, AT, "r1", None, 1)).properties
    assert "rating" not in properties
    assert properties["score"] == 1


def test_what_is_unknown_is_left_out() -> None:
    call = said(ConversationClosed(Conversation("c1", "k1"), AT))
    assert set(call.properties) == {"conversationId", "conversationLink"}


def test_one_identifier_is_sent_the_email_if_there_is_one() -> None:
    both = express(ConversationOpened(ABOUT, AT), email="a@b.example", phone="+4479111234", options=OPTIONS)
    assert (both.email, both.phone) == ("a@b.example", None)
    only_phone = express(ConversationOpened(ABOUT, AT), email=None, phone="+4479111234", options=OPTIONS)
    assert b'"attributes":{"phone_number":"+4479111234"}' in encode_event(only_phone)


def test_metric_names_and_link_follow_the_settings() -> None:
    options = ExpressOptions(org="acme", closed_metric="Kustomer Conversation Close", link_template="https://x/{org}")
    call = express(ConversationClosed(ABOUT, AT), email="a@b.example", phone=None, options=options)
    assert (call.metric, call.properties["conversationLink"]) == ("Kustomer Conversation Close", "https://x/acme")


def test_an_id_cannot_lead_a_link_elsewhere() -> None:
    call = said(ConversationOpened(Conversation("../../x?y", "k1"), AT))
    assert str(call.properties["conversationLink"]).endswith("/event/..%2F..%2Fx%3Fy")


@pytest.mark.parametrize("template", ["ftp://x", "https://x/{other}", "https://x/{org.secret}", "https://x/{", "{org}"])
def test_a_template_with_anything_but_the_known_placeholders_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="link_template"):
        validate_template(template)
    validate_template(OPTIONS.link_template)


@pytest.mark.parametrize("name", ["", "  ", "x" * 128])
def test_a_metric_name_klaviyo_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="metric"):
        validate_metric(name)


def test_addresses_whose_events_klaviyo_drops_are_known() -> None:
    assert is_dropped("a@Example.com")
    assert not is_dropped("a@lanternpost.example")
    assert not is_dropped(None)


@pytest.mark.parametrize(("rating", "score"), [(0.0, 0), (float("nan"), 1), (float("inf"), 1)])
def test_a_rating_that_klaviyo_would_drop_is_left_out(rating: float, score: int) -> None:
    properties = said(SatisfactionAnswered(ABOUT, AT, "r1", rating, 1)).properties
    assert "rating" not in properties
    assert properties["score"] == score


def test_a_long_subject_is_cut() -> None:
    call = said(ConversationOpened(Conversation("c1", "k1", subject="é" * 1001), AT))
    assert call.properties["subject"] == "é" * 1000


def test_a_value_is_never_read_as_a_template() -> None:
    call = said(ConversationOpened(Conversation("{org}", "{conversationId}"), AT))
    expected = "https://acme.kustomerapp.com/app/customers/%7BconversationId%7D/event/%7Borg%7D"
    assert call.properties["conversationLink"] == expected


@given(st.text(max_size=600))
def test_a_unique_id_is_at_most_255_characters_and_always_the_same(key: str) -> None:
    assert 1 <= len(unique_id(key)) <= 255
    assert unique_id(key) == unique_id(key)


def test_long_keys_that_differ_at_their_end_have_different_unique_ids() -> None:
    assert unique_id("x" * 300 + "a") != unique_id("x" * 300 + "b")


TEXT = st.none() | st.text(max_size=30)
EMAILS, PHONES = st.just("ada@lanternpost.example"), st.just("+447911123456")
IDENTIFIERS = st.tuples(EMAILS, st.none() | PHONES) | st.tuples(st.none(), PHONES)
CONVERSATIONS = st.builds(Conversation, st.text("abc012", min_size=1, max_size=64), st.just("k1"), TEXT, TEXT)
TIMES = st.datetimes(datetime(1991, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - bounds of a zoned strategy
FACTS = st.one_of(
    st.builds(ConversationOpened, CONVERSATIONS, TIMES),
    st.builds(ConversationClosed, CONVERSATIONS, TIMES),
    st.builds(
        SatisfactionAnswered,
        CONVERSATIONS,
        TIMES,
        st.text("abc012", min_size=1, max_size=64),
        st.none() | st.floats(),
        st.none() | st.sampled_from([0, 1]),
    ),
)


@given(fact=FACTS, identifiers=IDENTIFIERS, backfill=st.booleans())
def test_any_fact_becomes_a_body_that_klaviyo_takes(
    *, fact: Fact, identifiers: tuple[str | None, str | None], backfill: bool
) -> None:
    email, phone = identifiers
    call = express(fact, email=email, phone=phone, options=OPTIONS, backfill=backfill)
    attributes = msgspec.json.decode(encode_event(call))["data"]["attributes"]
    assert 1 <= len(attributes["unique_id"]) <= 255
    assert RFC_3339.fullmatch(attributes["time"])
    assert datetime.fromisoformat(attributes["time"]) == fact.at
    assert attributes.get("backfill", False) == backfill
    properties = attributes["properties"]
    assert all(value not in (None, "") for value in properties.values())
    assert all(value != 0 for name, value in properties.items() if name != "score")
    expected = {"email": email} if email else {"phone_number": phone}
    assert attributes["profile"]["data"]["attributes"] == expected


@given(FACTS)
def test_a_call_comes_back_from_storage_as_it_was(fact: Fact) -> None:
    call = said(fact, backfill=True)
    stored = msgspec.json.decode(msgspec.json.encode(msgspec.to_builtins(call)))
    assert msgspec.convert(stored, EventCall) == call
