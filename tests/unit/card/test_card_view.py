"""What a card shows: a status with its message, the data with its age, and only shortened contacts."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.card.card_build import Insight
from kustomer_klaviyo.card.card_status import CardError, CardStatus
from kustomer_klaviyo.card.card_view import MESSAGES, REFRESH_SECONDS, Card, ConsentRow, Link, render_card
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.klaviyo.profile_view import Consent, KlaviyoProfile, Message, NamedRef, Prediction

NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)
EARLIER, LONG_AGO = NOW - timedelta(minutes=20), NOW - timedelta(hours=5)
ADA = KlaviyoProfile(id="P1", name="Ada Lantern", email="ada@lanternpost.example", phone="+12025550123")
OPTIONS = ConnectionOptions(
    profile_link="https://k.example/profile/{id}",
    list_link="https://k.example/list/{id}",
    segment_link="https://k.example/segment/{id}",
    campaign_link="https://k.example/campaign/{id}",
    flow_link="https://k.example/flow/{id}",
)


def insight_of_ada(**parts: Any) -> Insight:
    """Return the data of Ada's card. Only the profile was fetched, unless other parts are given."""
    defaults: dict[str, Any] = {"profile": ADA, "profile_at": NOW, "account": "Lantern Post"}
    return Insight(**defaults | parts)


def render(insight: Insight | None, *, account: str | None = "SiteId", **arguments: Any) -> Card:
    return render_card(insight, OPTIONS, account=account, **arguments)


def message(**attributes: Any) -> Message:
    defaults: dict[str, Any] = {"id": "M1", "channel": "email", "sent_at": EARLIER}
    return Message(**defaults | attributes)


def campaigns_of(insight: Insight) -> list[tuple[str, str | None]]:
    return [(row.title, row.link) for row in render(insight).campaigns or ()]


def test_a_complete_card_shows_every_part() -> None:
    consent = Consent(channel="email", state="subscribed", since=LONG_AGO, can_receive=True)
    card = render(
        insight_of_ada(
            profile=msgspec.structs.replace(
                ADA,
                consents=(consent,),
                prediction=Prediction(lifetime_value=312.5, churn_risk=0.2, next_order=NOW),
            ),
            currency="EUR",
            lists=(NamedRef("L1", "Newsletter"),),
            segments=(NamedRef("S1", "VIPs"),),
            messages=(
                message(name="Sale", subject="20% off", opened_at=NOW),
                message(id="M2", flow_id="F1", name="Hello #1"),
            ),
            flows={"F1": "Welcome"},
        )
    )
    assert (card.status, card.message) == (CardStatus.OK, None)
    assert card.profile == Link(name="Ada Lantern", link="https://k.example/profile/P1")
    assert card.consents == [ConsentRow(channel="email", state="subscribed", since=LONG_AGO)]
    assert (card.lifetime_value, card.currency, card.churn_risk, card.next_order) == (312.5, "EUR", 0.2, NOW)
    assert card.lists == [Link(name="Newsletter", link="https://k.example/list/L1")]
    assert card.segments == [Link(name="VIPs", link="https://k.example/segment/S1")]
    [campaign], [flow] = card.campaigns or [], card.flows or []
    assert (campaign.title, campaign.subtitle, campaign.opened_at) == ("Sale", "20% off", NOW)
    assert (flow.title, flow.link) == ("Welcome - Hello #1", "https://k.example/flow/F1")
    assert card.refresh_after is None


def test_marketing_consent_is_always_shown_and_other_consent_once_it_was_given_or_withdrawn() -> None:
    consents = (
        Consent(channel="sms", state="never_subscribed"),
        Consent(channel="sms", purpose="transactional", state="never_subscribed"),
        Consent(channel="whatsapp", state="subscribed", since=EARLIER),
        Consent(channel="whatsapp", purpose="conversational", state="subscribed", until=NOW),
        Consent(channel="smoke_signals", state="paused"),
    )
    card = render(insight_of_ada(profile=msgspec.structs.replace(ADA, consents=consents)))
    assert card.consents == [
        ConsentRow(channel="SMS", state="never_subscribed"),
        ConsentRow(channel="WhatsApp", state="subscribed", since=EARLIER),
        ConsentRow(channel="WhatsApp, conversational", state="subscribed", until=NOW),
        ConsentRow(channel="smoke signals", state="paused"),
    ]


def test_an_empty_part_differs_from_a_part_that_was_not_fetched() -> None:
    empty = render(insight_of_ada(lists=(), segments=(), messages=()))
    assert (empty.lists, empty.segments, empty.campaigns, empty.flows) == ([], [], [], [])
    unfetched = render(insight_of_ada())
    assert (unfetched.lists, unfetched.segments, unfetched.campaigns, unfetched.flows) == (None, None, None, None)


def test_without_a_prediction_neither_value_nor_currency_is_shown() -> None:
    card = render(insight_of_ada(currency="EUR"))
    assert (card.lifetime_value, card.currency, card.churn_risk, card.next_order) == (None, None, None, None)


@pytest.mark.parametrize(
    "status",
    [CardStatus.CUSTOMER_UNKNOWN, CardStatus.NO_CONTACT, CardStatus.MASKED, CardStatus.CUSTOMER_DELETED],
)
def test_a_card_without_a_profile_has_a_message_and_an_age(status: CardStatus) -> None:
    card = render(Insight(status=status, profile_at=EARLIER))
    assert (card.status, card.message, card.fetched_at) == (status, MESSAGES[status], EARLIER)
    # An unknown customer may have a profile soon.
    assert card.refresh_after == (60 if status is CardStatus.CUSTOMER_UNKNOWN else None)
    assert (card.profile, card.lists, card.campaigns, card.consents, card.notes) == (None, None, None, [], [])


def test_every_status_without_data_has_its_own_message() -> None:
    assert set(MESSAGES) == {*CardStatus} - {CardStatus.OK}
    assert len(set(MESSAGES.values())) == len(MESSAGES)


def test_no_stored_data_of_a_deleted_customer_is_shown() -> None:
    card = render(
        insight_of_ada(
            status=CardStatus.CUSTOMER_DELETED,
            lists=(NamedRef("L1", "Newsletter"),),
            other_profiles=(KlaviyoProfile(id="P2"),),
        )
    )
    assert (card.status, card.profile) == (CardStatus.CUSTOMER_DELETED, None)
    assert (card.other_profiles, card.lists) == ([], None)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, CardStatus.FETCHING),
        (CardError.RATE_LIMITED, CardStatus.RATE_LIMITED),
        (CardError.KLAVIYO_UNAVAILABLE, CardStatus.KLAVIYO_UNAVAILABLE),
        (CardError.KEY_REJECTED, CardStatus.KEY_REJECTED),
        (CardError.MISSING_SCOPE, CardStatus.KEY_REJECTED),
        (CardError.NOT_IN_KUSTOMER, CardStatus.NOT_IN_KUSTOMER),
    ],
)
def test_the_error_decides_the_status_of_a_card_that_was_never_fetched(
    error: CardError | None, status: CardStatus
) -> None:
    for insight in (None, Insight(errors={} if error is None else {"profile": error})):
        card = render(insight, error=error)
        assert (card.status, card.message, card.fetched_at) == (status, MESSAGES[status], None)
        assert card.account == "SiteId"


@pytest.mark.parametrize("error", [None, CardError.RATE_LIMITED, CardError.KLAVIYO_UNAVAILABLE])
def test_a_card_that_may_be_fetched_soon_is_refreshed_after_kustomers_cache_expires(error: CardError | None) -> None:
    assert render(None, error=error).refresh_after == REFRESH_SECONDS
    assert REFRESH_SECONDS > 15


@pytest.mark.parametrize("error", [CardError.KEY_REJECTED, CardError.NOT_IN_KUSTOMER])
def test_a_card_that_needs_an_action_first_is_refreshed_rarely(error: CardError) -> None:
    assert render(None, error=error).refresh_after in (None, 60)


def test_a_card_with_data_is_refreshed_while_a_fetch_is_requested() -> None:
    assert render(insight_of_ada(), is_refresh_requested=True).refresh_after == REFRESH_SECONDS


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (CardError.RATE_LIMITED, "limit is used up"),
        (CardError.KLAVIYO_UNAVAILABLE, "does not answer"),
        (CardError.KEY_REJECTED, "rejects the integration's key"),
        (CardError.MISSING_SCOPE, "lacks the scope lists:read"),
    ],
)
def test_older_data_is_shown_with_a_note_that_names_the_error(error: CardError, text: str) -> None:
    insight = insight_of_ada(lists=(NamedRef("L1", "Newsletter"),), errors={"lists": error})
    card = render(insight, error=error)
    assert (card.status, [group.name for group in card.lists or ()]) == (CardStatus.OK, ["Newsletter"])
    [note] = card.notes
    assert text in note


def test_the_same_error_of_several_parts_gives_one_note() -> None:
    errors = {
        "lists": CardError.KLAVIYO_UNAVAILABLE,
        "segments": CardError.KLAVIYO_UNAVAILABLE,
        "messages": CardError.RATE_LIMITED,
    }
    assert len(render(insight_of_ada(errors=errors)).notes) == 2


def test_the_age_of_a_card_is_that_of_its_oldest_part() -> None:
    assert render(insight_of_ada()).fetched_at == NOW
    parts = {"lists_at": EARLIER, "segments_at": LONG_AGO, "messages_at": NOW}
    assert render(insight_of_ada(**parts)).fetched_at == LONG_AGO


@pytest.mark.parametrize(
    ("name", "site_id", "account"),
    [
        ("Lantern Post", "SiteId", "Lantern Post (SiteId)"),
        ("Lantern Post", None, "Lantern Post"),
        (None, "SiteId", "SiteId"),
        (None, None, None),
    ],
)
def test_the_account_is_shown_by_name_and_site_id(name: str | None, site_id: str | None, account: str | None) -> None:
    assert render(insight_of_ada(account=name), account=site_id).account == account


def test_other_profiles_are_shown_by_shortened_contacts() -> None:
    second, third = KlaviyoProfile(id="P2", email="lantern@shop.example"), KlaviyoProfile(id="P3", phone="+12025550999")
    card = render(insight_of_ada(other_profiles=(second, third, KlaviyoProfile(id="P4"))))
    assert [other.name for other in card.other_profiles] == ["l...@shop.example", "...999", "P4"]
    links = [f"https://k.example/profile/{profile_id}" for profile_id in ("P2", "P3", "P4")]
    assert [other.link for other in card.other_profiles] == links
    assert "more than one profile" in card.notes[-1]


def test_a_profile_without_a_name_is_shown_by_its_shortened_contact() -> None:
    def name(**attributes: Any) -> str:
        link = render(insight_of_ada(profile=KlaviyoProfile(id="P1", **attributes))).profile
        assert link is not None
        return link.name

    assert name(email="ada@lanternpost.example", phone="+12025550123") == "a...@lanternpost.example"
    assert name(phone="+12025550123") == "...123"
    assert name() == "Profile"


def test_a_campaign_has_the_name_and_the_link_of_the_campaign_in_klaviyo() -> None:
    variation = message(id="MSG", name="Variation B")
    campaigns = {"MSG": NamedRef("C1", "Summer sale")}
    assert campaigns_of(insight_of_ada(messages=(variation,), campaigns=campaigns)) == [
        ("Summer sale", "https://k.example/campaign/C1")
    ]
    assert campaigns_of(insight_of_ada(messages=(variation,))) == [("Variation B", "https://k.example/campaign/MSG")]
    assert campaigns_of(insight_of_ada(messages=(message(),))) == [("A campaign", "https://k.example/campaign/M1")]


@pytest.mark.parametrize(
    ("flow_name", "message_name", "title"),
    [
        ("Welcome", "Hello #1", "Welcome - Hello #1"),
        ("Welcome", None, "Welcome"),
        (None, "Hello #1", "Hello #1"),
        (None, None, "A flow"),
    ],
)
def test_a_flow_message_has_the_names_of_the_flow_and_of_the_message(
    flow_name: str | None, message_name: str | None, title: str
) -> None:
    flows = {} if flow_name is None else {"F1": flow_name}
    card = render(insight_of_ada(messages=(message(flow_id="F1", name=message_name),), flows=flows))
    assert ([row.title for row in card.flows or ()], card.campaigns) == ([title], [])


@given(st.text(max_size=30))
def test_an_id_cannot_change_the_address_of_a_link(message_id: str) -> None:
    [(_, link)] = campaigns_of(insight_of_ada(messages=(message(id=message_id),)))
    assert link is not None
    suffix = link.removeprefix("https://k.example/campaign/")
    assert link.startswith("https://k.example/campaign/")
    assert all(char.isalnum() or char in "-_" for char in suffix)


EMAILS = st.from_regex(r"[a-z]{2,9}[.+]?[a-z]{1,9}@[a-z]{3,9}\.example", fullmatch=True)
PHONES = st.from_regex(r"\+1[2-9][0-9]{9}", fullmatch=True)


@given(st.lists(st.tuples(EMAILS | st.none(), PHONES | st.none()), min_size=1, max_size=4))
def test_a_card_contains_no_complete_email_or_phone_number(contacts: list[tuple[str | None, str | None]]) -> None:
    profiles = [
        KlaviyoProfile(id=f"P{number}", email=email, phone=phone) for number, (email, phone) in enumerate(contacts)
    ]
    card = render(insight_of_ada(profile=profiles[0], other_profiles=tuple(profiles[1:])))
    encoded = msgspec.json.encode(card).decode()
    assert not [contact for pair in contacts for contact in pair if contact is not None and contact in encoded]
