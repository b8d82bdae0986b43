"""Cards are fetched from a simulated Klaviyo with its real rate limits, with and without faults."""

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

from kustomer_klaviyo.card.card_build import UNAVAILABLE_RETRY_SECONDS, CardBuild, Insight
from kustomer_klaviyo.card.card_fetch import HISTORY, CardFetch
from kustomer_klaviyo.card.card_status import CardError, CardStatus
from kustomer_klaviyo.card.name_cache import NameCache
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_view import RECEIVED, Prediction
from kustomer_klaviyo.klaviyo.reader import MAX_PROFILES_PER_REQUEST, KlaviyoReader
from kustomer_klaviyo.sandbox import klaviyo
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo.api.account_state import ACCOUNT
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.records import Audience, Event, Profile, no_predictions
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileInput
from kustomer_klaviyo.store.customers import CustomerIdentity
from kustomer_klaviyo.store.database import Database
from support.sample_ids import ADA, BO
from support.temporary_database import temporary_database

SEEDED_EMAIL = "cleo@lanternpost.example"
"""The email of a profile with a long marketing history in the simulated account."""

MANY_LISTS = 40
"""With this many lists, reading the lists of one profile costs less than reading the members of all lists."""


@dataclass
class CardAccount:
    """A simulated Klaviyo account and a fetcher of cards from it."""

    app: web.Application
    url: str
    session: aiohttp.ClientSession
    reader: KlaviyoReader
    fetcher: CardFetch

    def create_profile(self, email: str | None = SEEDED_EMAIL, **attributes: Any) -> Profile:
        """Create a profile with a seeded history."""
        values = {"email": email} | attributes
        return self.state.profiles.create(
            ProfileInput(attributes={name: value for name, value in values.items() if value is not None})
        )

    @property
    def state(self) -> Account:
        """The data of the simulated account."""
        return self.app[ACCOUNT]

    def create_empty_lists(self, number: int) -> None:
        """Add lists without members."""
        now = datetime.now(UTC)
        lists = [Audience(f"More{index:02}", f"List {index}", now) for index in range(number)]
        self.state.marketing.lists |= {audience.id: audience for audience in lists}

    def group_names_of(self, profile: Profile) -> tuple[list[str], list[str]]:
        """Return the names of a profile's lists and segments in the simulated account."""
        marketing = self.state.marketing
        groups = (marketing.lists_of(profile), marketing.segments_of(profile))
        lists, segments = (sorted((audience.name for audience in audiences), key=str.lower) for audiences in groups)
        return lists, segments

    def received_by(self, profile: Profile) -> list[Event]:
        """Return all receipts of messages of a profile in the simulated account."""
        return [event for event in self.state.events_by_profile[profile.id] if event.metric.name in RECEIVED]

    async def fetch(self, email: str | None = SEEDED_EMAIL, **arguments: Any) -> CardBuild:
        """Fetch the card of one customer."""
        build = card_build(email, **arguments)
        await self.fetcher.fetch([build])
        return build

    async def fetch_complete(self, email: str | None = SEEDED_EMAIL, **arguments: Any) -> Insight:
        """Fetch a card and check that no part failed."""
        build = await self.fetch(email, **arguments)
        assert (build.insight.errors, build.retry_seconds) == ({}, None)
        return build.insight

    async def request_counts(self) -> dict[str, int]:
        """Return the number of requests by operation."""
        return await self._counts("requests")

    async def response_counts(self) -> dict[str, int]:
        """Return the number of responses by status code."""
        return await self._counts("responses")

    async def _counts(self, name: str) -> dict[str, int]:
        async with self.session.get(f"{self.url}/sandbox/state") as response:
            counts: dict[str, int] = (await response.json())[name]
            return counts

    async def add_fault(self, path: str, kind: str = "status", **attributes: Any) -> None:
        fault = {"kind": kind, "path": path} | attributes
        async with self.session.post(f"{self.url}/sandbox/faults", json=fault) as response:
            assert response.status == 201, await response.text()

    async def clear_faults(self) -> None:
        async with self.session.delete(f"{self.url}/sandbox/faults") as response:
            assert response.status == 204

    async def set_scopes(self, *scopes: str) -> None:
        """Set the scopes of the key. Without scopes the key is invalid."""
        keys = {klaviyo.DEFAULT_KEY: list(scopes)} if scopes else {}
        async with self.session.put(f"{self.url}/sandbox/keys", json=keys) as response:
            assert response.status == 204


def card_build(
    email: str | None = SEEDED_EMAIL,
    *,
    other_emails: Sequence[str] = (),
    phone: str | None = None,
    profile_id: str | None = None,
    before: Insight | None = None,
    customer_id: str = ADA,
) -> CardBuild:
    """Return the build of a customer's card. ``other_emails`` are the customer's further addresses."""
    contacts = {"emails": [{"value": address} for address in (email, *other_emails) if address is not None]}
    return CardBuild(CustomerIdentity(customer_id, email, phone, contacts, (), False, profile_id), before, ())


OpenAccount = Callable[..., Awaitable[CardAccount]]


@pytest.fixture(scope="module")
async def database(postgres_url: str) -> AsyncIterator[Database]:
    with temporary_database(postgres_url) as url:
        db = Database(url)
        await db.open()
        yield db
        await db.close()


@pytest.fixture
async def open_account(database: Database) -> AsyncIterator[OpenAccount]:
    async with AsyncExitStack() as stack:

        async def open_new(**options: Any) -> CardAccount:
            app = klaviyo.create_app(klaviyo.KlaviyoOptions(marketing=True, **options))
            url = await stack.enter_async_context(run_server(app))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            reader = KlaviyoReader(KlaviyoClient(session, base_url=url, key=klaviyo.DEFAULT_KEY))
            # Each account has its own connection id, since names are cached by connection.
            names = NameCache(database, uuid.uuid4().hex, ApiKeyRing([reader]))
            return CardAccount(app, url, session, reader, CardFetch(ApiKeyRing([reader]), names))

        yield open_new


@pytest.fixture
async def account(open_account: OpenAccount) -> CardAccount:
    return await open_account()


def group_names(insight: Insight) -> tuple[list[str], list[str]]:
    """Return the names of the lists and segments on a card."""
    return [group.name for group in insight.lists or ()], [group.name for group in insight.segments or ()]


async def test_a_card_is_fetched_with_all_parts(account: CardAccount) -> None:
    profile = account.create_profile(first_name="Cleo", last_name="Lantern", phone_number="+12025550123")
    card = await account.fetch_complete()
    assert (card.status, card.account, card.currency) == (CardStatus.OK, "Sandbox Shop", "USD")
    assert card.profile is not None
    assert (card.profile.id, card.profile.name, card.profile.email) == (profile.id, "Cleo Lantern", SEEDED_EMAIL)
    assert ("email", "subscribed") in [(consent.channel, consent.state) for consent in card.profile.consents]
    assert card.profile.prediction is not None
    assert group_names(card) == account.group_names_of(profile)
    assert card.messages
    assert None not in (card.profile_at, card.lists_at, card.segments_at, card.messages_at)


async def test_the_lists_of_one_profile_are_read_by_profile_if_the_account_has_many_lists(account: CardAccount) -> None:
    account.create_empty_lists(MANY_LISTS)
    profile = account.create_profile()
    assert group_names(await account.fetch_complete()) == account.group_names_of(profile)
    requests = await account.request_counts()
    assert requests["get_lists_for_profile"] == 1
    assert "get_profile_ids_for_list" not in requests
    assert requests["get_profile_ids_for_segment"] == len(account.state.marketing.segments)
    assert "get_segments_for_profile" not in requests


async def test_the_lists_of_many_profiles_are_read_by_list(account: CardAccount) -> None:
    account.create_empty_lists(MANY_LISTS)
    profiles = [account.create_profile(f"person{number}@lanternpost.example") for number in range(12)]
    builds = [card_build(profile.attributes["email"], customer_id=profile.id) for profile in profiles]
    await account.fetcher.fetch(builds)
    assert [group_names(build.insight) for build in builds] == list(map(account.group_names_of, profiles))
    requests = await account.request_counts()
    assert requests["get_profile_ids_for_list"] == len(account.state.marketing.lists)
    assert "get_lists_for_profile" not in requests
    assert requests["get_profiles"] == 1


async def test_more_profiles_than_fit_into_one_request_get_their_own_data_without_a_429(account: CardAccount) -> None:
    profiles = [
        account.create_profile(f"person{number}@lanternpost.example") for number in range(MAX_PROFILES_PER_REQUEST + 10)
    ]
    builds = [card_build(profile.attributes["email"], customer_id=profile.id) for profile in profiles]
    await account.fetcher.fetch(builds)
    since = datetime.now(UTC) - HISTORY
    for profile, build in zip(profiles, builds, strict=True):
        card = build.insight
        assert (card.errors, card.profile and card.profile.id) == ({}, profile.id)
        assert group_names(card) == account.group_names_of(profile)
        received = {event.properties["$message"] for event in account.received_by(profile) if event.time > since}
        assert {message.id for message in card.messages or ()} == received
    assert "429" not in await account.response_counts()


async def test_profiles_with_only_a_phone_number_get_their_own_data(account: CardAccount) -> None:
    phones = [f"+120255501{number}" for number in range(10, 16)]
    profiles = [account.create_profile(None, phone_number=phone) for phone in phones]
    builds = [card_build(None, phone=phone, customer_id=phone) for phone in phones]
    await account.fetcher.fetch(builds)
    assert [build.profile.id for build in builds] == [profile.id for profile in profiles]
    assert [group_names(build.insight) for build in builds] == list(map(account.group_names_of, profiles))


async def test_messages_are_the_same_with_and_without_support_for_metric_lists(open_account: OpenAccount) -> None:
    now = time.time()
    messages, requests = [], []
    for metric_lists in (True, False):
        account = await open_account(metric_lists=metric_lists, clock=lambda: now)
        account.create_profile(phone_number="+12025550123")
        messages.append((await account.fetch_complete()).messages)
        requests.append((await account.request_counts())["get_events"])
        assert (await account.fetch_complete()).messages == messages[-1]
        requests.append((await account.request_counts())["get_events"] - requests[-1])
    assert messages[0] == messages[1]
    assert {message.channel for message in messages[0] or ()} == {"email", "sms"}
    # A list of metrics is tried only once.
    metric_count = len(account.state.metrics)
    assert requests == [1, 1, 1 + metric_count, metric_count]


@pytest.mark.parametrize("text_metrics", ["old", "new", "both"])
async def test_text_messages_are_shown_under_each_set_of_metrics(open_account: OpenAccount, text_metrics: str) -> None:
    account = await open_account(text_metrics=text_metrics)
    phone = "+12025550143"
    profile = account.create_profile(None, phone_number=phone)
    card = await account.fetch_complete(None, phone=phone)
    metrics = {event.metric.name for event in account.received_by(profile)}
    assert len(metrics) == (2 if text_metrics == "both" else 1)
    texts = [card.campaigns[message.id].name for message in card.messages or () if message.channel == "sms"]
    assert texts == ["Weekend text", "End of summer text"]


async def test_a_new_metric_is_found_later_and_a_metric_of_another_integration_is_ignored(
    open_account: OpenAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = await open_account(text_metrics="old")
    profile = account.create_profile()
    before = await account.fetch_complete()
    now = datetime.now(UTC)
    account.state.record_internal_event("Received Text Message", profile, now, {"$message": "later"})
    account.state.record_internal_event("Received Push", profile, now, {"$message": "not klaviyo's"}, integration="API")
    assert (await account.fetch_complete()).messages == before.messages, "the metrics are cached for an hour"
    monkeypatch.setattr("kustomer_klaviyo.card.name_cache.MISSING_METRICS_MAX_AGE", timedelta(0))
    message_ids = [message.id for message in (await account.fetch_complete()).messages or ()]
    assert "later" in message_ids
    assert "not klaviyo's" not in message_ids


async def test_a_withdrawn_prediction_is_removed(account: CardAccount) -> None:
    profile = account.create_profile()
    before = await account.fetch_complete()
    assert before.profile is not None
    assert before.profile.prediction is not None
    assert before.profile.prediction.lifetime_value is not None
    profile.predictive_analytics = no_predictions()
    after = await account.fetch_complete(before=before)
    assert after.profile is not None
    assert after.profile.prediction == Prediction()


async def test_campaigns_and_flows_have_their_names(account: CardAccount) -> None:
    account.create_profile()
    card = await account.fetch_complete()
    campaigns = [message for message in card.messages or () if message.flow_id is None]
    flow_ids = [message.flow_id for message in card.messages or () if message.flow_id is not None]
    marketing = account.state.marketing
    assert {card.campaigns[message.id].id for message in campaigns} <= set(marketing.campaigns)
    assert {card.campaigns[message.id].name for message in campaigns} >= {"Autumn Lights 2026", "New: paper lanterns"}
    assert {flow_id: card.flows[flow_id] for flow_id in flow_ids} == {
        flow.id: flow.name for flow in marketing.flows.values() if flow.name == "Welcome series"
    }


async def test_messages_older_than_the_history_are_left_out(account: CardAccount) -> None:
    profile, now = account.create_profile(), datetime.now(UTC)
    for name, days in (("too old", 1), ("recent", -1)):
        at = now - HISTORY - timedelta(days=days)
        account.state.record_internal_event("Received Email", profile, at, {"$message": name})
    sent = {message.id for message in (await account.fetch_complete()).messages or ()}
    assert "recent" in sent
    assert "too old" not in sent


async def test_an_unknown_customer_in_a_batch_does_not_affect_the_others(account: CardAccount) -> None:
    account.create_profile()
    builds = [card_build("nobody@lanternpost.example", customer_id=BO), card_build()]
    await account.fetcher.fetch(builds)
    assert [build.insight.status for build in builds] == [CardStatus.CUSTOMER_UNKNOWN, CardStatus.OK]
    assert (builds[0].insight.profile, builds[0].insight.messages, builds[0].insight.errors) == (None, None, {})
    assert builds[0].insight.profile_at is not None


async def test_no_data_of_a_deleted_profile_is_kept(account: CardAccount) -> None:
    profile = account.create_profile()
    before = await account.fetch_complete()
    account.state.erase(profile)
    card = await account.fetch_complete(before=before, profile_id=profile.id)
    assert (card.status, card.profile, card.lists, card.segments, card.messages) == (
        CardStatus.CUSTOMER_UNKNOWN,
        None,
        None,
        None,
        None,
    )


async def test_a_profile_whose_email_was_changed_in_klaviyo_is_found_by_its_id(account: CardAccount) -> None:
    profile = account.create_profile("new@lanternpost.example")
    card = await account.fetch_complete("old@lanternpost.example", profile_id=profile.id)
    assert (card.status, card.profile and card.profile.id) == (CardStatus.OK, profile.id)


async def test_the_case_of_an_email_does_not_matter(account: CardAccount) -> None:
    account.create_profile()
    assert (await account.fetch_complete(SEEDED_EMAIL.upper())).status is CardStatus.OK


async def test_the_profile_is_that_of_the_stored_id_or_of_the_first_email(
    account: CardAccount,
) -> None:
    first, second = account.create_profile(), account.create_profile("second@lanternpost.example")
    for profile_id, order in ((None, [first.id, second.id]), (second.id, [second.id, first.id])):
        card = await account.fetch_complete(other_emails=["second@lanternpost.example"], profile_id=profile_id)
        assert [profile.id for profile in (card.profile, *card.other_profiles) if profile is not None] == order


async def test_no_data_of_the_previous_profile_is_kept_when_the_profile_changes(account: CardAccount) -> None:
    previous, current = account.create_profile(), account.create_profile("second@lanternpost.example")
    before = await account.fetch_complete()
    await account.add_fault("/api/events")
    build = await account.fetch("second@lanternpost.example", before=before)
    assert (before.profile and before.profile.id, build.profile.id) == (previous.id, current.id)
    assert (build.insight.messages, build.insight.errors) == (None, {"messages": CardError.KLAVIYO_UNAVAILABLE})
    assert group_names(build.insight) == account.group_names_of(current)


async def test_a_customer_without_contacts_causes_no_request(account: CardAccount) -> None:
    card = await account.fetch_complete(None)
    assert card.status is CardStatus.NO_CONTACT
    assert "get_profiles" not in await account.request_counts()


async def test_a_rate_limited_part_keeps_its_data_and_the_others_are_fetched(account: CardAccount) -> None:
    account.create_profile()
    before = await account.fetch_complete()
    await account.add_fault("/api/events", "throttle", retry_after=3)
    build = await account.fetch(before=before)
    card = build.insight
    assert (card.errors, build.retry_seconds) == ({"messages": CardError.RATE_LIMITED}, 3.0)
    assert (card.messages, card.messages_at) == (before.messages, before.messages_at)
    for newer, older in ((card.profile_at, before.profile_at), (card.lists_at, before.lists_at)):
        assert newer is not None
        assert older is not None
        assert newer > older


async def test_no_request_is_sent_once_the_share_of_a_limit_is_used_up(account: CardAccount) -> None:
    account.create_profile()
    before = await account.fetch_complete()
    account.reader.limiters.events.block_until(time.monotonic() + 60)
    requests = (await account.request_counts())["get_events"]
    build = await account.fetch(before=before)
    assert build.insight.errors == {"messages": CardError.RATE_LIMITED}
    assert build.insight.messages == before.messages
    assert build.retry_seconds is not None
    assert build.retry_seconds > 1
    assert (await account.request_counts())["get_events"] == requests


@pytest.mark.parametrize("kind", ["status", "drop", "html_403"])
async def test_all_data_is_kept_while_klaviyo_is_unavailable(account: CardAccount, kind: str) -> None:
    account.create_profile()
    before = await account.fetch_complete()
    await account.add_fault("/api/", kind)
    build = await account.fetch(before=before)
    assert build.retry_seconds == UNAVAILABLE_RETRY_SECONDS
    assert set(build.insight.errors.values()) == {CardError.KLAVIYO_UNAVAILABLE}
    assert msgspec.structs.replace(build.insight, errors={}) == before
    await account.clear_faults()
    assert group_names(await account.fetch_complete(before=build.insight)) == group_names(before)


async def test_a_customer_who_was_never_fetched_is_not_unknown_while_klaviyo_is_unavailable(
    account: CardAccount,
) -> None:
    await account.add_fault("/api/profiles")
    build = await account.fetch()
    assert (build.insight.status, build.insight.profile, build.insight.errors) == (
        CardStatus.OK,
        None,
        {"profile": CardError.KLAVIYO_UNAVAILABLE},
    )
    assert not build.is_known


async def test_lists_are_read_by_profile_if_the_lists_of_the_account_cannot_be_read(account: CardAccount) -> None:
    await account.add_fault("/api/lists")
    profile = account.create_profile()
    assert group_names(await account.fetch_complete()) == account.group_names_of(profile)
    assert (await account.request_counts())["get_lists_for_profile"] == 1


async def test_lists_keep_their_old_data_if_the_members_of_one_list_cannot_be_read(account: CardAccount) -> None:
    account.create_profile()
    before = await account.fetch_complete()
    await account.add_fault(f"/api/lists/{next(iter(account.state.marketing.lists))}/")
    build = await account.fetch(before=before)
    assert build.insight.errors == {"lists": CardError.KLAVIYO_UNAVAILABLE}
    assert (build.insight.lists, build.insight.lists_at) == (before.lists, before.lists_at)


async def test_a_deleted_list_that_is_still_cached_is_skipped(account: CardAccount) -> None:
    profile = account.create_profile()
    assert "Newsletter" in group_names(await account.fetch_complete())[0]
    lists = account.state.marketing.lists
    del lists[next(audience.id for audience in lists.values() if audience.name == "Newsletter")]
    assert group_names(await account.fetch_complete()) == account.group_names_of(profile)


@pytest.mark.parametrize(
    ("scope", "part"),
    [("lists:read", "lists"), ("segments:read", "segments"), ("events:read", "messages"), ("metrics:read", "metrics")],
)
async def test_a_missing_scope_leaves_out_its_part_without_a_retry(account: CardAccount, scope: str, part: str) -> None:
    profile = account.create_profile()
    await account.set_scopes(*klaviyo.SCOPES - {scope})
    build = await account.fetch()
    card = build.insight
    assert (card.errors, build.retry_seconds) == ({part: CardError.MISSING_SCOPE}, None)
    assert (card.status, card.profile and card.profile.id) == (CardStatus.OK, profile.id)
    parts = {"lists": card.lists, "segments": card.segments, "messages": card.messages}
    assert [name for name, value in parts.items() if value is None] == ["messages" if part == "metrics" else part]


@pytest.mark.parametrize("scope", ["campaigns:read", "flows:read", "accounts:read"])
async def test_a_missing_scope_for_names_leaves_out_the_names_only(account: CardAccount, scope: str) -> None:
    account.create_profile()
    await account.set_scopes(*klaviyo.SCOPES - {scope})
    card = await account.fetch_complete()
    names = {"campaigns:read": card.campaigns, "flows:read": card.flows, "accounts:read": card.account}
    assert [name_scope for name_scope, value in names.items() if not value] == [scope]
    assert card.messages


async def test_a_rejected_key_is_recorded_without_a_retry(account: CardAccount) -> None:
    account.create_profile()
    await account.set_scopes()
    build = await account.fetch()
    assert (build.insight.errors, build.retry_seconds) == ({"profile": CardError.KEY_REJECTED}, None)


async def test_prefetch_slots_depend_on_the_rate_limits(account: CardAccount) -> None:
    account.create_profile()
    assert await account.fetcher.prefetch_slots() < MAX_PROFILES_PER_REQUEST, "the number of lists is not known yet"
    await account.fetch_complete()
    assert await account.fetcher.prefetch_slots() == MAX_PROFILES_PER_REQUEST
    limiters = account.reader.limiters
    for limiter in (limiters.groups_of_profile["segment"], limiters.group_members["segment"]):
        limiter.block_until(time.monotonic() + 60)
    assert await account.fetcher.prefetch_slots() == 0


async def test_an_email_that_klaviyo_refuses_does_not_affect_other_cards(account: CardAccount) -> None:
    account.create_profile()
    error = {"code": "invalid", "detail": "Invalid filter.", "source": {"parameter": "filter"}}
    await account.add_fault("/api/profiles", "response", status=400, json={"errors": [error]}, times=1)
    builds = [card_build("a#b@lantern.example", customer_id=BO), card_build()]
    await account.fetcher.fetch(builds)
    assert [(build.insight.status, build.insight.errors) for build in builds] == [
        (CardStatus.CUSTOMER_UNKNOWN, {}),
        (CardStatus.OK, {}),
    ]
