"""Fetching cards from a Klaviyo that keeps its real limits, by person and by group, on good days and bad."""

import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import msgspec
import pytest
from aiohttp import web

from cast import ADA, BO
from kustomer_klaviyo.card.card_build import AWAY_SECONDS, Draft, Insight
from kustomer_klaviyo.card.card_fetch import HISTORY, InsightFetch
from kustomer_klaviyo.card.name_cache import Meanings
from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.klaviyo.profile_view import RECEIVED, Prediction
from kustomer_klaviyo.klaviyo.reader import MOST_ASKED, KlaviyoReader
from kustomer_klaviyo.sandbox import klaviyo
from kustomer_klaviyo.sandbox.klaviyo.api.operation import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience, Event, Profile, nothing_predicted
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileIn
from kustomer_klaviyo.sandbox.serving import serving
from kustomer_klaviyo.store.customers import Reachable
from kustomer_klaviyo.store.database import Database
from stage import own_database

KNOWN = "cleo@lanternpost.example"
"""Somebody to whom the simulated shop's marketing wrote a lot."""

MANY = 40
"""So many lists that it costs less to ask one person for theirs."""


@dataclass
class Shop:
    """A Klaviyo account, and what fetches cards from it."""

    app: web.Application
    url: str
    session: aiohttp.ClientSession
    reader: KlaviyoReader
    fetcher: InsightFetch

    def join(self, email: str | None = KNOWN, **attributes: Any) -> Profile:
        """Let somebody become a profile, with a past."""
        held = {"email": email} | attributes
        return self.app[ACCOUNT].people.create(
            ProfileIn(attributes={name: value for name, value in held.items() if value is not None})
        )

    def open_lists(self, number: int) -> None:
        """Have so many more lists, with nobody on them."""
        now = datetime.now(UTC)
        lists = (Audience(f"More{one:02}", f"List {one}", now) for one in range(number))
        self.app[ACCOUNT].marketing.lists |= {one.id: one for one in lists}

    def names_of(self, profile: Profile) -> tuple[list[str], list[str]]:
        """Return the lists somebody is on and the segments they are in, as the account has them."""
        marketing = self.app[ACCOUNT].marketing
        found = (marketing.lists_of(profile), marketing.segments_of(profile))
        lists, segments = (sorted((one.name for one in some), key=str.lower) for some in found)
        return lists, segments

    def received_by(self, profile: Profile) -> list[Event]:
        """Return the messages somebody was sent, as the account has them, however long ago."""
        return [one for one in self.app[ACCOUNT].events_by_profile[profile.id] if one.metric.name in RECEIVED]

    async def fetch(self, email: str | None = KNOWN, **given: Any) -> Draft:
        """Fetch the card of one customer."""
        draft = customer(email, **given)
        await self.fetcher.fetch([draft])
        return draft

    async def card(self, email: str | None = KNOWN, **given: Any) -> Insight:
        """Fetch a card that must come without trouble."""
        draft = await self.fetch(email, **given)
        assert (draft.insight.troubles, draft.again_in) == ({}, None)
        return draft.insight

    async def requests(self) -> dict[str, int]:
        """Return what Klaviyo was asked, and how often."""
        return await self._state("requests")

    async def answers(self) -> dict[str, int]:
        """Return how often Klaviyo answered with which status."""
        return await self._state("answers")

    async def _state(self, part: str) -> dict[str, int]:
        async with self.session.get(f"{self.url}/sandbox/state") as response:
            found: dict[str, int] = (await response.json())[part]
            return found

    async def misbehave(self, path: str, kind: str = "status", **more: Any) -> None:
        fault = {"kind": kind, "path": path} | more
        async with self.session.post(f"{self.url}/sandbox/faults", json=fault) as response:
            assert response.status == 201, await response.text()

    async def behave(self) -> None:
        async with self.session.delete(f"{self.url}/sandbox/faults") as response:
            assert response.status == 204

    async def allow(self, *scopes: str) -> None:
        """Let the key have these scopes only; without any it is no key."""
        keys = {klaviyo.DEFAULT_KEY: list(scopes)} if scopes else {}
        async with self.session.put(f"{self.url}/sandbox/keys", json=keys) as response:
            assert response.status == 204


def customer(
    email: str | None = KNOWN,
    *,
    also: Sequence[str] = (),
    phone: str | None = None,
    klaviyo_id: str | None = None,
    before: Insight | None = None,
    customer_id: str = ADA,
) -> Draft:
    """A customer whose card is to be fetched; ``also`` are further addresses."""
    contacts = {"emails": [{"value": one} for one in (email, *also) if one is not None]}
    return Draft(Reachable(customer_id, email, phone, contacts, (), False, klaviyo_id), before, ())


Open = Callable[..., Awaitable[Shop]]


@pytest.fixture(scope="module")
async def database(postgres_url: str) -> AsyncIterator[Database]:
    with own_database(postgres_url) as url:
        opened = Database(url)
        await opened.open()
        yield opened
        await opened.close()


@pytest.fixture
async def open_shop(database: Database) -> AsyncIterator[Open]:
    async with AsyncExitStack() as stack:

        async def open_one(**options: Any) -> Shop:
            app = klaviyo.create_app(klaviyo.KlaviyoOptions(marketing=True, **options))
            url = await stack.enter_async_context(serving(app))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            reader = KlaviyoReader(KlaviyoClient(session, base_url=url, key=klaviyo.DEFAULT_KEY))
            # Under a name of its own, since what ids stand for is remembered by connection.
            meanings = Meanings(database, uuid.uuid4().hex, Keys([reader]))
            return Shop(app, url, session, reader, InsightFetch(Keys([reader]), meanings))

        yield open_one


@pytest.fixture
async def shop(open_shop: Open) -> Shop:
    return await open_shop()


def named(card: Insight) -> tuple[list[str], list[str]]:
    return [one.name for one in card.lists or ()], [one.name for one in card.segments or ()]


async def test_somebody_known_is_fetched_with_all_parts(shop: Shop) -> None:
    profile = shop.join(first_name="Cleo", last_name="Lantern", phone_number="+12025550123")
    card = await shop.card()
    assert (card.status, card.account, card.currency) == ("known", "Sandbox Shop", "USD")
    assert card.who is not None
    assert (card.who.id, card.who.name, card.who.email) == (profile.id, "Cleo Lantern", KNOWN)
    assert ("email", "subscribed") in [(one.channel, one.state) for one in card.who.consents]
    assert card.who.prediction is not None
    assert named(card) == shop.names_of(profile)
    assert card.messages
    assert None not in (card.who_at, card.lists_at, card.segments_at, card.messages_at)


async def test_one_person_of_an_account_with_many_lists_is_asked_about(shop: Shop) -> None:
    shop.open_lists(MANY)
    profile = shop.join()
    assert named(await shop.card()) == shop.names_of(profile)
    requests = await shop.requests()
    assert requests["get_lists_for_profile"] == 1
    assert "get_profile_ids_for_list" not in requests
    assert requests["get_profile_ids_for_segment"] == len(shop.app[ACCOUNT].marketing.segments)
    assert "get_segments_for_profile" not in requests


async def test_lists_are_asked_about_many_people(shop: Shop) -> None:
    shop.open_lists(MANY)
    people = [shop.join(f"person{number}@lanternpost.example") for number in range(12)]
    drafts = [customer(one.attributes["email"], customer_id=one.id) for one in people]
    await shop.fetcher.fetch(drafts)
    assert [named(draft.insight) for draft in drafts] == list(map(shop.names_of, people))
    requests = await shop.requests()
    assert requests["get_profile_ids_for_list"] == len(shop.app[ACCOUNT].marketing.lists)
    assert "get_lists_for_profile" not in requests
    assert requests["get_profiles"] == 1


async def test_more_people_than_one_request_tells_of_get_each_their_own_and_no_limit_is_met(shop: Shop) -> None:
    people = [shop.join(f"person{number}@lanternpost.example") for number in range(MOST_ASKED + 10)]
    drafts = [customer(one.attributes["email"], customer_id=one.id) for one in people]
    await shop.fetcher.fetch(drafts)
    since = datetime.now(UTC) - HISTORY
    for profile, draft in zip(people, drafts, strict=True):
        card = draft.insight
        assert (card.troubles, card.who and card.who.id) == ({}, profile.id)
        assert named(card) == shop.names_of(profile)
        received = {one.properties["$message"] for one in shop.received_by(profile) if one.time > since}
        assert {one.id for one in card.messages or ()} == received
    assert "429" not in await shop.answers()


async def test_people_known_by_their_number_only_are_told_from_one_another(shop: Shop) -> None:
    numbers = [f"+120255501{number}" for number in range(10, 16)]
    people = [shop.join(None, phone_number=one) for one in numbers]
    drafts = [customer(None, phone=one, customer_id=one) for one in numbers]
    await shop.fetcher.fetch(drafts)
    assert [draft.profile.id for draft in drafts] == [one.id for one in people]
    assert [named(draft.insight) for draft in drafts] == list(map(shop.names_of, people))


async def test_messages_are_the_same_whether_or_not_several_metrics_can_be_asked_for_at_once(open_shop: Open) -> None:
    now = time.time()
    read, requests = [], []
    for metric_lists in (True, False):
        shop = await open_shop(metric_lists=metric_lists, clock=lambda: now)
        shop.join(phone_number="+12025550123")
        read.append((await shop.card()).messages)
        requests.append((await shop.requests())["get_events"])
        again = await shop.card()
        assert again.messages == read[-1]
        requests.append((await shop.requests())["get_events"] - requests[-1])
    assert read[0] == read[1]
    assert {one.channel for one in read[0] or ()} == {"email", "sms"}
    # That they cannot is found out once.
    one_by_one = len(shop.app[ACCOUNT].metrics)
    assert requests == [1, 1, 1 + one_by_one, one_by_one]


@pytest.mark.parametrize("text_metrics", ["old", "new", "both"])
async def test_texts_are_shown_whatever_the_account_calls_their_metrics(open_shop: Open, text_metrics: str) -> None:
    shop = await open_shop(text_metrics=text_metrics)
    number = "+12025550143"
    profile = shop.join(None, phone_number=number)
    card = await shop.card(None, phone=number)
    metrics = {one.metric.name for one in shop.received_by(profile)}
    assert len(metrics) == (2 if text_metrics == "both" else 1)
    texts = [card.campaigns[one.id].name for one in card.messages or () if one.channel == "sms"]
    assert texts == ["Weekend text", "End of summer text"]


async def test_a_metric_that_begins_to_exist_is_found_later_and_one_of_another_integration_is_not_taken(
    open_shop: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = await open_shop(text_metrics="old")
    profile = shop.join()
    before = await shop.card()
    account = shop.app[ACCOUNT]
    now = datetime.now(UTC)
    account.happen("Received Text Message", profile, now, {"$message": "later"})
    account.happen("Received Push", profile, now, {"$message": "not klaviyo's"}, integration="API")
    assert (await shop.card()).messages == before.messages, "what is known is kept for an hour"
    monkeypatch.setattr("kustomer_klaviyo.card.name_cache.UNKNOWN_METRICS_AGE", timedelta(0))
    found = [one.id for one in (await shop.card()).messages or ()]
    assert "later" in found
    assert "not klaviyo's" not in found


async def test_a_prediction_that_is_no_longer_made_is_no_longer_shown(shop: Shop) -> None:
    profile = shop.join()
    before = await shop.card()
    assert before.who is not None
    assert before.who.prediction is not None
    assert before.who.prediction.lifetime_value is not None
    profile.predictive_analytics = nothing_predicted()
    after = await shop.card(before=before)
    assert after.who is not None
    assert after.who.prediction == Prediction()


async def test_campaigns_and_flows_are_called_by_their_names(shop: Shop) -> None:
    shop.join()
    card = await shop.card()
    campaigns = [one for one in card.messages or () if one.flow is None]
    flows = [one for one in card.messages or () if one.flow is not None]
    marketing = shop.app[ACCOUNT].marketing
    assert {card.campaigns[one.id].id for one in campaigns} <= set(marketing.campaigns)
    assert {card.campaigns[one.id].name for one in campaigns} >= {"Autumn Lights 2026", "New: paper lanterns"}
    assert {one.flow: card.flows[one.flow or ""] for one in flows} == {
        one.id: one.name for one in marketing.flows.values() if one.name == "Welcome series"
    }


async def test_what_was_sent_too_long_ago_is_not_shown(shop: Shop) -> None:
    profile, now = shop.join(), datetime.now(UTC)
    for name, days in (("long ago", 1), ("lately", -1)):
        at = now - HISTORY - timedelta(days=days)
        shop.app[ACCOUNT].happen("Received Email", profile, at, {"$message": name})
    sent = {one.id for one in (await shop.card()).messages or ()}
    assert "lately" in sent
    assert "long ago" not in sent


async def test_somebody_klaviyo_does_not_know_is_unknown_beside_others_who_are(shop: Shop) -> None:
    shop.join()
    drafts = [customer("nobody@lanternpost.example", customer_id=BO), customer()]
    await shop.fetcher.fetch(drafts)
    assert [draft.insight.status for draft in drafts] == ["unknown", "known"]
    assert (drafts[0].insight.who, drafts[0].insight.messages, drafts[0].insight.troubles) == (None, None, {})
    assert drafts[0].insight.who_at is not None


async def test_of_a_profile_that_was_deleted_nothing_stays(shop: Shop) -> None:
    profile = shop.join()
    before = await shop.card()
    shop.app[ACCOUNT].erase(profile)
    card = await shop.card(before=before, klaviyo_id=profile.id)
    assert (card.status, card.who, card.lists, card.segments, card.messages) == ("unknown", None, None, None, None)


async def test_a_profile_whose_address_was_changed_in_klaviyo_is_found_by_its_id(shop: Shop) -> None:
    profile = shop.join("new@lanternpost.example")
    card = await shop.card("old@lanternpost.example", klaviyo_id=profile.id)
    assert (card.status, card.who and card.who.id) == ("known", profile.id)


async def test_an_address_is_the_same_in_whatever_letters(shop: Shop) -> None:
    shop.join()
    assert (await shop.card(KNOWN.upper())).status == "known"


async def test_a_customer_with_several_profiles_is_the_one_of_the_first_address_or_the_one_remembered(
    shop: Shop,
) -> None:
    one, other = shop.join(), shop.join("second@lanternpost.example")
    for klaviyo_id, order in ((None, [one.id, other.id]), (other.id, [other.id, one.id])):
        card = await shop.card(also=["second@lanternpost.example"], klaviyo_id=klaviyo_id)
        assert [who.id for who in (card.who, *card.others) if who is not None] == order


async def test_when_a_customer_turns_out_to_be_another_profile_nothing_of_the_former_stays(shop: Shop) -> None:
    former, current = shop.join(), shop.join("second@lanternpost.example")
    before = await shop.card()
    await shop.misbehave("/api/events")
    draft = await shop.fetch("second@lanternpost.example", before=before)
    assert (before.who and before.who.id, draft.profile.id) == (former.id, current.id)
    assert (draft.insight.messages, draft.insight.troubles) == (None, {"messages": "away"})
    assert named(draft.insight) == shop.names_of(current)


async def test_about_somebody_without_any_address_klaviyo_is_not_asked(shop: Shop) -> None:
    card = await shop.card(None)
    assert card.status == "no_contact"
    assert "get_profiles" not in await shop.requests()


async def test_a_part_that_is_throttled_stays_as_it_was_and_the_others_come(shop: Shop) -> None:
    shop.join()
    before = await shop.card()
    await shop.misbehave("/api/events", "throttle", retry_after=3)
    draft = await shop.fetch(before=before)
    card = draft.insight
    assert (card.troubles, draft.again_in) == ({"messages": "throttled"}, 3.0)
    assert (card.messages, card.messages_at) == (before.messages, before.messages_at)
    for newer, older in ((card.who_at, before.who_at), (card.lists_at, before.lists_at)):
        assert newer is not None
        assert older is not None
        assert newer > older


async def test_where_our_share_of_a_limit_is_used_up_klaviyo_is_not_asked(shop: Shop) -> None:
    shop.join()
    before = await shop.card()
    shop.reader.event_windows.hold(time.monotonic() + 60)
    asked = (await shop.requests())["get_events"]
    draft = await shop.fetch(before=before)
    assert draft.insight.troubles == {"messages": "throttled"}
    assert draft.insight.messages == before.messages
    assert draft.again_in is not None
    assert draft.again_in > 1
    assert (await shop.requests())["get_events"] == asked


@pytest.mark.parametrize("kind", ["status", "drop", "html_403"])
async def test_a_klaviyo_that_is_away_leaves_all_as_it_was(shop: Shop, kind: str) -> None:
    shop.join()
    before = await shop.card()
    await shop.misbehave("/api/", kind)
    draft = await shop.fetch(before=before)
    assert draft.again_in == AWAY_SECONDS
    assert set(draft.insight.troubles.values()) == {"away"}
    assert msgspec.structs.replace(draft.insight, troubles={}) == before
    await shop.behave()
    assert named(await shop.card(before=draft.insight)) == named(before)


async def test_somebody_never_met_before_klaviyo_was_away_is_not_unknown(shop: Shop) -> None:
    await shop.misbehave("/api/profiles")
    draft = await shop.fetch()
    assert (draft.insight.status, draft.insight.who, draft.insight.troubles) == ("known", None, {"profile": "away"})
    assert not draft.is_known


async def test_where_the_lists_of_an_account_cannot_be_read_each_person_is_asked_about(shop: Shop) -> None:
    await shop.misbehave("/api/lists")
    profile = shop.join()
    assert named(await shop.card()) == shop.names_of(profile)
    assert (await shop.requests())["get_lists_for_profile"] == 1


async def test_lists_are_not_told_by_half_when_one_of_them_does_not_answer(shop: Shop) -> None:
    shop.join()
    before = await shop.card()
    await shop.misbehave(f"/api/lists/{next(iter(shop.app[ACCOUNT].marketing.lists))}/")
    draft = await shop.fetch(before=before)
    assert draft.insight.troubles == {"lists": "away"}
    assert (draft.insight.lists, draft.insight.lists_at) == (before.lists, before.lists_at)


async def test_a_list_that_was_deleted_since_it_was_remembered_is_in_nobodys_way(shop: Shop) -> None:
    profile = shop.join()
    assert "Newsletter" in named(await shop.card())[0]
    lists = shop.app[ACCOUNT].marketing.lists
    del lists[next(one.id for one in lists.values() if one.name == "Newsletter")]
    assert named(await shop.card()) == shop.names_of(profile)


@pytest.mark.parametrize(
    ("scope", "part"),
    [("lists:read", "lists"), ("segments:read", "segments"), ("events:read", "messages"), ("metrics:read", "metrics")],
)
async def test_a_missing_scope_costs_its_part_until_somebody_acts(shop: Shop, scope: str, part: str) -> None:
    profile = shop.join()
    await shop.allow(*klaviyo.SCOPES - {scope})
    draft = await shop.fetch()
    card = draft.insight
    assert (card.troubles, draft.again_in) == ({part: f"missing scope {scope}"}, None)
    assert (card.status, card.who and card.who.id) == ("known", profile.id)
    held = {"lists": card.lists, "segments": card.segments, "messages": card.messages}
    assert [name for name, found in held.items() if found is None] == ["messages" if part == "metrics" else part]


@pytest.mark.parametrize("scope", ["campaigns:read", "flows:read", "accounts:read"])
async def test_a_missing_scope_for_mere_names_costs_the_names(shop: Shop, scope: str) -> None:
    shop.join()
    await shop.allow(*klaviyo.SCOPES - {scope})
    card = await shop.card()
    held = {"campaigns:read": card.campaigns, "flows:read": card.flows, "accounts:read": card.account}
    assert [name for name, found in held.items() if not found] == [scope]
    assert card.messages


async def test_a_key_that_is_refused_is_named_and_waits_for_somebody_to_act(shop: Shop) -> None:
    shop.join()
    await shop.allow()
    draft = await shop.fetch()
    assert (draft.insight.troubles, draft.again_in) == ({"profile": "key refused"}, None)


async def test_as_many_cards_are_fetched_ahead_as_the_limits_leave_room_for(shop: Shop) -> None:
    shop.join()
    assert await shop.fetcher.ahead() < MOST_ASKED, "how many lists there are is not known yet"
    await shop.card()
    assert await shop.fetcher.ahead() == MOST_ASKED
    for windows in (shop.reader.single_windows["segment"], shop.reader.member_windows["segment"]):
        windows.hold(time.monotonic() + 60)
    assert await shop.fetcher.ahead() == 0


async def test_an_address_that_klaviyo_does_not_take_costs_nobody_else_their_card(shop: Shop) -> None:
    shop.join()
    error = {"code": "invalid", "detail": "Invalid filter.", "source": {"parameter": "filter"}}
    await shop.misbehave("/api/profiles", "answer", status=400, json={"errors": [error]}, times=1)
    drafts = [customer("a#b@lantern.example", customer_id=BO), customer()]
    await shop.fetcher.fetch(drafts)
    assert [(draft.insight.status, draft.insight.troubles) for draft in drafts] == [("unknown", {}), ("known", {})]
