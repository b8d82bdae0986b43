"""The simulated Klaviyo judged by Klaviyo's own client, which knows nothing of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from klaviyo_api import KlaviyoAPI
from openapi_client.api_arg_options import USE_DICTIONARY_FOR_RESPONSE_DATA
from openapi_client.exceptions import ApiException

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app
from kustomer_klaviyo.sandbox.serving import serving

READER = "pk_reader"


@pytest.fixture
async def base() -> AsyncIterator[str]:
    keys = {DEFAULT_KEY: KlaviyoOptions().keys[DEFAULT_KEY], READER: frozenset({"events:read"})}
    async with serving(create_app(KlaviyoOptions(keys=keys))) as url:
        yield url


def client(base: str, key: str = DEFAULT_KEY) -> Any:
    return KlaviyoAPI(key, max_delay=1, max_retries=1, test_host=base, options={USE_DICTIONARY_FOR_RESPONSE_DATA: True})


def event(unique_id: str, *, email: str = "ada@lanternpost.example", metric: str = "Placed") -> dict[str, Any]:
    profile = {"data": {"type": "profile", "attributes": {"email": email}}}
    return {
        "data": {
            "type": "event",
            "attributes": {
                "properties": {"colour": "green", "zero": 0},
                "metric": {"data": {"type": "metric", "attributes": {"name": metric}}},
                "profile": profile,
                "unique_id": unique_id,
                "time": "2026-11-01T10:00:00+00:00",
            },
        }
    }


async def test_an_event_created_with_it_is_read_back_with_its_metric_and_profile(base: str) -> None:
    api = client(base)
    await asyncio.to_thread(api.Events.create_event, event("one"))
    await asyncio.to_thread(api.Events.create_event, event("one"))
    found = await asyncio.to_thread(lambda: api.Events.get_events(include=["metric", "profile"], sort="-datetime"))
    assert [one["attributes"]["event_properties"]["colour"] for one in found["data"]] == ["green"]
    assert "zero" not in found["data"][0]["attributes"]["event_properties"]
    assert {one["type"] for one in found["included"]} == {"metric", "profile"}
    assert found["links"]["next"] is None


async def test_events_are_filtered_and_paged_by_cursor(base: str) -> None:
    api = client(base)
    for number in range(5):
        await asyncio.to_thread(api.Events.create_event, event(f"e{number}", metric=f"M{number % 2}"))
    metrics = (await asyncio.to_thread(api.Metrics.get_metrics))["data"]
    even = next(metric["id"] for metric in metrics if metric["attributes"]["name"] == "M0")
    wanted = f'equals(metric_id,"{even}"),greater-or-equal(datetime,2026-01-01T00:00:00Z)'
    first = await asyncio.to_thread(lambda: api.Events.get_events(filter=wanted, page_size=2))
    cursor = parse_qs(urlsplit(first["links"]["next"]).query)["page[cursor]"][0]
    rest = await asyncio.to_thread(lambda: api.Events.get_events(filter=wanted, page_size=2, page_cursor=cursor))
    assert (len(first["data"]), len(rest["data"])) == (2, 1)
    assert rest["links"]["next"] is None


async def test_many_events_are_created_in_one_request(base: str) -> None:
    api = client(base)
    entries = []
    for number in range(3):
        attributes = event(f"b{number}")["data"]["attributes"]
        profile = attributes.pop("profile")
        entries.append(
            {
                "type": "event-bulk-create",
                "attributes": {"profile": profile, "events": {"data": [{"type": "event", "attributes": attributes}]}},
            }
        )
    body = {"data": {"type": "event-bulk-create-job", "attributes": {"events-bulk-create": {"data": entries}}}}
    await asyncio.to_thread(api.Events.bulk_create_events, body)
    found = await asyncio.to_thread(api.Events.get_events)
    assert len(found["data"]) == 3


async def test_a_profile_is_created_once_and_the_second_time_named_as_the_duplicate(base: str) -> None:
    api = client(base)
    body = {"data": {"type": "profile", "attributes": {"email": "bo@lanternpost.example", "first_name": "Bo"}}}
    made = await asyncio.to_thread(api.Profiles.create_profile, body)
    with pytest.raises(ApiException) as caught:
        await asyncio.to_thread(api.Profiles.create_profile, body)
    assert caught.value.status == 409
    assert made["data"]["id"] in str(caught.value.body)
    same = await asyncio.to_thread(api.Profiles.create_or_update_profile, body)
    assert same["data"]["id"] == made["data"]["id"]


async def test_many_profiles_are_imported_and_the_failures_are_told(base: str) -> None:
    api = client(base)
    people = [{"type": "profile", "attributes": {"email": one}} for one in ("bo@lantern.example", "nowhere")]
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": people}}}}
    job = (await asyncio.to_thread(api.Profiles.bulk_import_profiles, body))["data"]
    assert (job["attributes"]["status"], job["attributes"]["total_count"]) == ("queued", 2)
    while job["attributes"]["status"] != "complete":
        job = (await asyncio.to_thread(api.Profiles.get_bulk_import_profiles_job, job["id"]))["data"]
        await asyncio.sleep(0.1)
    assert (job["attributes"]["completed_count"], job["attributes"]["failed_count"]) == (1, 1)
    told = await asyncio.to_thread(api.Profiles.get_errors_for_bulk_import_profiles_job, job["id"])
    assert told["data"][0]["attributes"]["original_payload"]["attributes"] == {"email": "nowhere"}
    held = await asyncio.to_thread(api.Profiles.get_profiles_for_bulk_import_profiles_job, job["id"])
    assert [one["attributes"]["email"] for one in held["data"]] == ["bo@lantern.example"]


async def test_profiles_are_merged_read_with_their_consent_and_forgotten(base: str) -> None:
    api = client(base)
    made = []
    for email in ("bo@lantern.example", "bo@marigold.example"):
        body = {"data": {"type": "profile", "attributes": {"email": email}}}
        made.append((await asyncio.to_thread(api.Profiles.create_profile, body))["data"]["id"])
    sources = {"profiles": {"data": [{"type": "profile", "id": made[1]}]}}
    merge = {"data": {"type": "profile-merge", "id": made[0], "relationships": sources}}
    assert (await asyncio.to_thread(api.Profiles.merge_profiles, merge))["data"]["id"] == made[0]
    found = await everybody(api, 1)
    assert found[0]["attributes"]["subscriptions"]["email"]["marketing"]["consent"] == "NEVER_SUBSCRIBED"
    person = {"data": {"type": "profile", "attributes": {"email": "bo@marigold.example"}}}
    deletion = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": person}}}
    await asyncio.to_thread(api.Data_Privacy.request_profile_deletion, deletion)
    assert await everybody(api, 0) == []


async def everybody(api: Any, number: int) -> Any:
    """Read all profiles until there are as many as wanted; merges and deletions take their time."""
    while True:
        wanted = {"additional_fields_profile": ["subscriptions", "predictive_analytics"]}
        found = (await asyncio.to_thread(api.Profiles.get_profiles, **wanted))["data"]
        if len(found) == number:
            return found
        await asyncio.sleep(0.1)


async def test_the_account_is_named_by_its_site_id(base: str) -> None:
    found = await asyncio.to_thread(client(base).Accounts.get_accounts)
    assert found["data"][0]["id"] == found["data"][0]["attributes"]["public_api_key"] == "SbxKlv"


@pytest.mark.parametrize(("key", "status"), [("pk_unknown", 401), (READER, 403)])
async def test_a_key_that_is_unknown_or_lacks_a_scope_is_refused(base: str, key: str, status: int) -> None:
    with pytest.raises(ApiException) as caught:
        await asyncio.to_thread(client(base, key).Events.create_event, event("x"))
    assert caught.value.status == status


async def test_beyond_the_limit_it_is_told_to_come_again() -> None:
    async with serving(create_app(KlaviyoOptions(clock=lambda: 1_800_000_000.0))) as base:
        api = client(base)
        await asyncio.to_thread(api.Accounts.get_accounts)
        with pytest.raises(ApiException) as caught:
            await asyncio.to_thread(api.Accounts.get_accounts)
    assert caught.value.status == 429
    assert "throttled" in str(caught.value.body)


async def test_it_reads_what_a_card_needs(base: str) -> None:
    api = client(base)
    for number in range(12):
        person = {"type": "profile", "attributes": {"email": f"p{number}@lanternpost.example"}}
        await asyncio.to_thread(api.Profiles.create_profile, {"data": person})
    async with aiohttp.ClientSession() as session:
        await (await session.post(f"{base}/sandbox/furnish")).release()
    people = (await asyncio.to_thread(api.Profiles.get_profiles))["data"]
    lists = await asyncio.to_thread(api.Profiles.get_lists_for_profile, people[0]["id"])
    segments = await asyncio.to_thread(api.Profiles.get_segments_for_profile, people[0]["id"])
    assert {one["type"] for one in lists["data"] + segments["data"]} <= {"list", "segment"}
    newsletter = (await asyncio.to_thread(api.Lists.get_lists))["data"][0]["id"]
    emails = 'any(email,["p1@lanternpost.example","p2@lanternpost.example"])'
    members = await asyncio.to_thread(lambda: api.Lists.get_profile_ids_for_list(newsletter, filter=emails))
    assert len(members["data"]) <= 2
    segment = (await asyncio.to_thread(api.Segments.get_segments))["data"][0]["id"]
    inside = await asyncio.to_thread(lambda: api.Segments.get_profiles_for_segment(segment, page_size=100))
    assert all(one["attributes"]["joined_group_at"] for one in inside["data"])
    shown = await asyncio.to_thread(
        lambda: api.Profiles.get_profile(
            people[0]["id"], include=["lists"], additional_fields_profile=["subscriptions", "predictive_analytics"]
        )
    )
    assert shown["data"]["attributes"]["subscriptions"]["email"]["marketing"]["consent"]
    campaigns = (await asyncio.to_thread(api.Campaigns.get_campaigns))["data"]
    assert campaigns[0]["attributes"]["definition"]["name"]
    assert len((await asyncio.to_thread(api.Flows.get_flows))["data"]) == 2


async def test_every_resource_fits_its_models_which_are_strict(base: str) -> None:
    """Klaviyo's own models of 2026-10-15 refuse an attribute of another type, a missing one, a value out of a set."""
    sent = client(base)
    for number in range(10):
        attributes = {"email": f"p{number}@lanternpost.example", "phone_number": f"+120255501{40 + number}"}
        await asyncio.to_thread(sent.Profiles.create_profile, {"data": {"type": "profile", "attributes": attributes}})
    async with aiohttp.ClientSession() as session:
        await (await session.post(f"{base}/sandbox/furnish")).release()
    api = KlaviyoAPI(DEFAULT_KEY, max_delay=1, max_retries=3, test_host=base)

    async def read(call: Any, *given: Any, **more: Any) -> list[Any]:
        answer = await asyncio.to_thread(lambda: call(*given, **more))
        return answer.data if isinstance(answer.data, list) else [answer.data]

    more = {"additional_fields_profile": ["subscriptions", "predictive_analytics"]}
    person, *_ = await read(api.Profiles.get_profiles, **more)
    await read(api.Profiles.get_profile, person.id, include=["lists", "segments"], **more)
    for group_reads, count in (
        ((api.Lists.get_lists, api.Lists.get_list, api.Lists.get_profiles_for_list), "additional_fields_list"),
        (
            (api.Segments.get_segments, api.Segments.get_segment, api.Segments.get_profiles_for_segment),
            "additional_fields_segment",
        ),
    ):
        group, *_ = await read(group_reads[0])
        await read(group_reads[1], group.id, **{count: ["profile_count"]})
        await read(group_reads[2], group.id, **more)
    event, *_ = await read(api.Events.get_events, include=["metric", "profile"])
    await read(api.Events.get_profile_for_event, event.id)
    await read(api.Metrics.get_metrics)
    campaign, *_ = await read(api.Campaigns.get_campaigns, include=["campaign-audiences", "campaign-messages"])
    audience, *_ = await read(api.Campaigns.get_campaign_audiences_for_campaign, campaign.id)
    assert audience.attributes.definition.included
    assert (await read(api.Campaigns.get_campaign_audience, audience.id)) == [audience]
    messages = await read(api.Campaigns.get_campaign_messages, filter=f'equals(campaign_id,"{campaign.id}")')
    assert messages == await read(api.Campaigns.get_messages_for_campaign, campaign.id)
    assert messages[0].attributes.created <= messages[0].attributes.updated
    variation, *_ = await read(api.Campaigns.get_variations_for_campaign_message, messages[0].id)
    assert (await read(api.Campaigns.get_campaign_variation, variation.id)) == [variation]
    flow, *_ = await read(api.Flows.get_flows, filter="greater-than(updated,2020-01-01T00:00:00Z)", sort="-updated")
    await read(api.Flows.get_flow, flow.id)


async def test_it_filters_profiles_by_why_nothing_is_sent(base: str) -> None:
    wanted = "equals(subscriptions.email.marketing.suppression.reason,'HARD_BOUNCE')"
    assert (await asyncio.to_thread(client(base).Profiles.get_profiles, filter=wanted))["data"] == []
