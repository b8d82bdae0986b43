"""What a card shows: a face for each state of knowledge, honest about its age, and no more than an agent needs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.card.card_build import Insight
from kustomer_klaviyo.card.card_view import COME_AGAIN_SECONDS, FACES, Card, ConsentLine, Link, show
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.klaviyo.profile_view import Consent, Message, Named, Prediction, Who

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
EARLIER, LONG_AGO = NOW - timedelta(minutes=20), NOW - timedelta(hours=5)
ADA = Who(id="P1", name="Ada Lantern", email="ada@lanternpost.example", phone="+12025550123")
OPTIONS = ConnectionOptions(
    profile_link="https://k.example/profile/{id}",
    list_link="https://k.example/list/{id}",
    segment_link="https://k.example/segment/{id}",
    campaign_link="https://k.example/campaign/{id}",
    flow_link="https://k.example/flow/{id}",
)


def known(**parts: Any) -> Insight:
    """Ada, of whom nothing but herself was fetched unless told otherwise."""
    usual: dict[str, Any] = {"who": ADA, "who_at": NOW, "account": "Lantern Post"}
    return Insight(**usual | parts)


def shown(insight: Insight | None, *, account: str | None = "SiteId", **more: Any) -> Card:
    return show(insight, OPTIONS, account=account, **more)


def sent(**given: Any) -> Message:
    usual: dict[str, Any] = {"id": "M1", "channel": "email", "sent_at": EARLIER}
    return Message(**usual | given)


def campaigns_of(insight: Insight) -> list[tuple[str, str | None]]:
    return [(line.title, line.link) for line in shown(insight).campaigns or ()]


def test_somebody_known_is_shown_with_all_that_is_known() -> None:
    consent = Consent(channel="email", state="subscribed", since=LONG_AGO, can_receive=True)
    card = shown(
        known(
            who=msgspec.structs.replace(
                ADA,
                consents=(consent,),
                prediction=Prediction(lifetime_value=312.5, churn_risk=0.2, next_order=NOW),
            ),
            currency="EUR",
            lists=(Named("L1", "Newsletter"),),
            segments=(Named("S1", "VIPs"),),
            messages=(sent(name="Sale", subject="20% off", opened_at=NOW), sent(id="M2", flow="F1", name="Hello #1")),
            flows={"F1": "Welcome"},
        )
    )
    assert (card.face, card.says) == ("known", None)
    assert card.person == Link(name="Ada Lantern", link="https://k.example/profile/P1")
    assert card.consents == [ConsentLine(channel="email", state="subscribed", since=LONG_AGO)]
    assert (card.lifetime_value, card.currency, card.churn_risk, card.next_order) == (312.5, "EUR", 0.2, NOW)
    assert card.lists == [Link(name="Newsletter", link="https://k.example/list/L1")]
    assert card.segments == [Link(name="VIPs", link="https://k.example/segment/S1")]
    [campaign], [flow] = card.campaigns or [], card.flows or []
    assert (campaign.title, campaign.subtitle, campaign.opened_at) == ("Sale", "20% off", NOW)
    assert (flow.title, flow.link) == ("Welcome - Hello #1", "https://k.example/flow/F1")
    assert card.refresh_after is None


def test_consent_is_shown_by_channel_and_beyond_marketing_where_somebody_said_something() -> None:
    consents = (
        Consent(channel="sms", state="never_subscribed"),
        Consent(channel="sms", purpose="transactional", state="never_subscribed"),
        Consent(channel="whatsapp", state="subscribed", since=EARLIER),
        Consent(channel="whatsapp", purpose="conversational", state="subscribed", until=NOW),
        Consent(channel="smoke_signals", state="paused"),
    )
    card = shown(known(who=msgspec.structs.replace(ADA, consents=consents)))
    assert card.consents == [
        ConsentLine(channel="SMS", state="never_subscribed"),
        ConsentLine(channel="WhatsApp", state="subscribed", since=EARLIER),
        ConsentLine(channel="WhatsApp, conversational", state="subscribed", until=NOW),
        ConsentLine(channel="smoke signals", state="paused"),
    ]


def test_nothing_received_is_told_from_nothing_fetched() -> None:
    empty = shown(known(lists=(), segments=(), messages=()))
    assert (empty.lists, empty.segments, empty.campaigns, empty.flows) == ([], [], [], [])
    unfetched = shown(known())
    assert (unfetched.lists, unfetched.segments, unfetched.campaigns, unfetched.flows) == (None, None, None, None)


def test_without_a_prediction_no_value_is_shown_and_no_currency() -> None:
    card = shown(known(currency="EUR"))
    assert (card.lifetime_value, card.currency, card.churn_risk, card.next_order) == (None, None, None, None)


@pytest.mark.parametrize(
    ("status", "word"),
    [
        ("unknown", "nobody"),
        ("no_contact", "neither an email nor a phone"),
        ("masked", "lacks the permission"),
        ("gone", "no longer has this customer"),
    ],
)
def test_who_cannot_be_shown_has_a_face_that_says_why_and_since_when(status: str, word: str) -> None:
    card = shown(Insight(status=status, who_at=EARLIER))
    assert (card.face, card.fetched_at) == (status, EARLIER)
    # Who is unknown may be made a profile by now.
    assert card.refresh_after == (60 if status == "unknown" else None)
    assert word in (card.says or "")
    assert (card.person, card.lists, card.campaigns, card.consents, card.notes) == (None, None, None, [], [])


def test_of_somebody_who_is_gone_nothing_kept_is_shown() -> None:
    card = shown(known(status="gone", lists=(Named("L1", "Newsletter"),), others=(Who(id="P2"),)))
    assert (card.face, card.person, card.others, card.lists) == ("gone", None, [], None)


@pytest.mark.parametrize(
    ("trouble", "face"),
    [
        (None, "fetching"),
        ("throttled", "throttled"),
        ("away", "away"),
        ("key refused", "locked_out"),
        ("missing scope profiles:read", "locked_out"),
        ("Kustomer did not say who this customer is", "stranger"),
    ],
)
def test_a_card_that_was_never_fetched_says_what_it_waits_for(trouble: str | None, face: str) -> None:
    for insight in (None, Insight(troubles={} if trouble is None else {"profile": trouble})):
        card = shown(insight, trouble=trouble)
        assert (card.face, card.says, card.fetched_at) == (face, FACES[face], None)
        assert card.account == "SiteId"


@pytest.mark.parametrize("trouble", [None, "throttled", "away"])
def test_a_card_that_may_come_by_itself_is_asked_for_again_when_kustomer_forgot_it(trouble: str | None) -> None:
    assert shown(None, trouble=trouble).refresh_after == COME_AGAIN_SECONDS
    assert COME_AGAIN_SECONDS > 15


@pytest.mark.parametrize("trouble", ["key refused", "Kustomer did not say who this customer is"])
def test_a_card_that_needs_somebody_to_act_is_not_asked_for_again_and_again(trouble: str) -> None:
    assert shown(None, trouble=trouble).refresh_after in (None, 60)


def test_a_known_card_that_is_being_fetched_anew_is_asked_for_again() -> None:
    assert shown(known(), is_wanted=True).refresh_after == COME_AGAIN_SECONDS


@pytest.mark.parametrize(
    ("trouble", "word"),
    [
        ("throttled", "limit is used up"),
        ("away", "does not answer"),
        ("key refused", "refuses the integration's key"),
        ("missing scope lists:read", "lacks the scope lists:read"),
    ],
)
def test_what_was_known_before_trouble_is_shown_with_the_trouble_named(trouble: str, word: str) -> None:
    card = shown(known(lists=(Named("L1", "Newsletter"),), troubles={"lists": trouble}), trouble=trouble)
    assert (card.face, [one.name for one in card.lists or ()]) == ("known", ["Newsletter"])
    [note] = card.notes
    assert word in note


def test_one_trouble_of_many_parts_is_named_once() -> None:
    assert len(shown(known(troubles={"lists": "away", "segments": "away", "messages": "throttled"})).notes) == 2


def test_the_age_is_that_of_the_oldest_part_shown() -> None:
    assert shown(known()).fetched_at == NOW
    parts = {"lists_at": EARLIER, "segments_at": LONG_AGO, "messages_at": NOW}
    assert shown(known(**parts)).fetched_at == LONG_AGO


@pytest.mark.parametrize(
    ("name", "site", "account"),
    [
        ("Lantern Post", "SiteId", "Lantern Post (SiteId)"),
        ("Lantern Post", None, "Lantern Post"),
        (None, "SiteId", "SiteId"),
        (None, None, None),
    ],
)
def test_the_account_is_named_as_far_as_it_is_known(name: str | None, site: str | None, account: str | None) -> None:
    assert shown(known(account=name), account=site).account == account


def test_a_customer_with_several_profiles_is_told_of_them_by_shortened_addresses() -> None:
    second, third = Who(id="P2", email="lantern@shop.example"), Who(id="P3", phone="+12025550999")
    card = shown(known(others=(second, third, Who(id="P4"))))
    assert [one.name for one in card.others] == ["l...@shop.example", "...999", "P4"]
    assert [one.link for one in card.others] == [f"https://k.example/profile/{one}" for one in ("P2", "P3", "P4")]
    assert "more than one profile" in card.notes[-1]


def test_somebody_without_a_name_is_called_by_what_is_shown_of_the_address() -> None:
    def name(**given: Any) -> str:
        person = shown(known(who=Who(id="P1", **given))).person
        assert person is not None
        return person.name

    assert name(email="ada@lanternpost.example", phone="+12025550123") == "a...@lanternpost.example"
    assert name(phone="+12025550123") == "...123"
    assert name() == "Profile"


def test_a_campaign_is_called_and_linked_by_what_klaviyo_says_it_is() -> None:
    variation = sent(id="MSG", name="Variation B")
    found = {"MSG": Named("C1", "Summer sale")}
    assert campaigns_of(known(messages=(variation,), campaigns=found)) == [
        ("Summer sale", "https://k.example/campaign/C1")
    ]
    assert campaigns_of(known(messages=(variation,))) == [("Variation B", "https://k.example/campaign/MSG")]
    assert campaigns_of(known(messages=(sent(),))) == [("A campaign", "https://k.example/campaign/M1")]


@pytest.mark.parametrize(
    ("flow", "message", "title"),
    [
        ("Welcome", "Hello #1", "Welcome - Hello #1"),
        ("Welcome", None, "Welcome"),
        (None, "Hello #1", "Hello #1"),
        (None, None, "A flow"),
    ],
)
def test_a_flows_message_is_called_by_what_is_known_of_both(flow: str | None, message: str | None, title: str) -> None:
    flows = {} if flow is None else {"F1": flow}
    card = shown(known(messages=(sent(flow="F1", name=message),), flows=flows))
    assert ([one.title for one in card.flows or ()], card.campaigns) == ([title], [])


@given(st.text(max_size=30))
def test_no_id_can_shape_an_address(odd: str) -> None:
    [(_, link)] = campaigns_of(known(messages=(sent(id=odd),)))
    assert link is not None
    end = link.removeprefix("https://k.example/campaign/")
    assert link.startswith("https://k.example/campaign/")
    assert all(one.isalnum() or one in "-_" for one in end)


ADDRESSES = st.from_regex(r"[a-z]{2,9}[.+]?[a-z]{1,9}@[a-z]{3,9}\.example", fullmatch=True)
NUMBERS = st.from_regex(r"\+1[2-9][0-9]{9}", fullmatch=True)


@given(st.lists(st.tuples(ADDRESSES | st.none(), NUMBERS | st.none()), min_size=1, max_size=4))
def test_no_address_or_number_is_on_a_card_as_a_whole(held: list[tuple[str | None, str | None]]) -> None:
    people = [Who(id=f"P{number}", email=email, phone=phone) for number, (email, phone) in enumerate(held)]
    card = msgspec.json.encode(shown(known(who=people[0], others=tuple(people[1:])))).decode()
    assert not [one for pair in held for one in pair if one is not None and one in card]
