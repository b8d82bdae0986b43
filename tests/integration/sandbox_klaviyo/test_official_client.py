"""The simulated Klaviyo tested with Klaviyo's official client."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
from klaviyo_api import KlaviyoAPI
from openapi_client.api_arg_options import USE_DICTIONARY_FOR_RESPONSE_DATA
from openapi_client.exceptions import ApiException

from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, KlaviyoOptions, create_app

READER = "pk_reader"


@pytest.fixture
async def base() -> AsyncIterator[str]:
    keys = {DEFAULT_KEY: KlaviyoOptions().keys[DEFAULT_KEY], READER: frozenset({"events:read"})}
    async with run_server(create_app(KlaviyoOptions(keys=keys))) as url:
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


async def test_a_created_event_is_read_with_its_metric_and_profile(base: str) -> None:
    api = client(base)
    await asyncio.to_thread(api.Events.create_event, event("one"))
    await asyncio.to_thread(api.Events.create_event, event("one"))
    events = await asyncio.to_thread(lambda: api.Events.get_events(include=["metric", "profile"], sort="-datetime"))
    assert [item["attributes"]["event_properties"]["colour"] for item in events["data"]] == ["green"]
    assert "zero" not in events["data"][0]["attributes"]["event_properties"]
    assert {item["type"] for item in events["included"]} == {"metric", "profile"}
    assert events["links"]["next"] is None


async def test_events_are_filtered_and_paged_by_cursor(base: str) -> None:
    api = client(base)
    for number in range(5):
        await asyncio.to_thread(api.Events.create_event, event(f"e{number}", metric=f"M{number % 2}"))
    metrics = (await asyncio.to_thread(api.Metrics.get_metrics))["data"]
    even = next(metric["id"] for metric in metrics if metric["attributes"]["name"] == "M0")
    condition = f'equals(metric_id,"{even}"),greater-or-equal(datetime,2026-01-01T00:00:00Z)'
    first = await asyncio.to_thread(lambda: api.Events.get_events(filter=condition, page_size=2))
    cursor = parse_qs(urlsplit(first["links"]["next"]).query)["page[cursor]"][0]
    rest = await asyncio.to_thread(lambda: api.Events.get_events(filter=condition, page_size=2, page_cursor=cursor))
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
    events = await asyncio.to_thread(api.Events.get_events)
    assert len(events["data"]) == 3


async def test_a_second_profile_is_rejected_as_a_duplicate(base: str) -> None:
    api = client(base)
    body = {"data": {"type": "profile", "attributes": {"email": "bo@lanternpost.example", "first_name": "Bo"}}}
    created = await asyncio.to_thread(api.Profiles.create_profile, body)
    with pytest.raises(ApiException) as caught:
        await asyncio.to_thread(api.Profiles.create_profile, body)
    assert caught.value.status == 409
    assert created["data"]["id"] in str(caught.value.body)
    updated = await asyncio.to_thread(api.Profiles.create_or_update_profile, body)
    assert updated["data"]["id"] == created["data"]["id"]


async def test_profiles_are_imported_and_errors_are_listed(base: str) -> None:
    api = client(base)
    emails = ("bo@lantern.example", "nowhere")
    profiles = [{"type": "profile", "attributes": {"email": email}} for email in emails]
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": profiles}}}}
    job = (await asyncio.to_thread(api.Profiles.bulk_import_profiles, body))["data"]
    assert (job["attributes"]["status"], job["attributes"]["total_count"]) == ("queued", 2)
    while job["attributes"]["status"] != "complete":
        job = (await asyncio.to_thread(api.Profiles.get_bulk_import_profiles_job, job["id"]))["data"]
        await asyncio.sleep(0.1)
    assert (job["attributes"]["completed_count"], job["attributes"]["failed_count"]) == (1, 1)
    errors = await asyncio.to_thread(api.Profiles.get_errors_for_bulk_import_profiles_job, job["id"])
    assert errors["data"][0]["attributes"]["original_payload"]["attributes"] == {"email": "nowhere"}
    imported = await asyncio.to_thread(api.Profiles.get_profiles_for_bulk_import_profiles_job, job["id"])
    assert [profile["attributes"]["email"] for profile in imported["data"]] == ["bo@lantern.example"]


async def test_profiles_are_merged_read_with_consent_and_deleted(base: str) -> None:
    api = client(base)
    ids = []
    for email in ("bo@lantern.example", "bo@marigold.example"):
        body = {"data": {"type": "profile", "attributes": {"email": email}}}
        ids.append((await asyncio.to_thread(api.Profiles.create_profile, body))["data"]["id"])
    sources = {"profiles": {"data": [{"type": "profile", "id": ids[1]}]}}
    merge = {"data": {"type": "profile-merge", "id": ids[0], "relationships": sources}}
    assert (await asyncio.to_thread(api.Profiles.merge_profiles, merge))["data"]["id"] == ids[0]
    profiles = await wait_for_profiles(api, 1)
    assert profiles[0]["attributes"]["subscriptions"]["email"]["marketing"]["consent"] == "NEVER_SUBSCRIBED"
    profile = {"data": {"type": "profile", "attributes": {"email": "bo@marigold.example"}}}
    deletion = {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}}
    await asyncio.to_thread(api.Data_Privacy.request_profile_deletion, deletion)
    assert await wait_for_profiles(api, 0) == []


async def wait_for_profiles(api: Any, count: int) -> Any:
    """Read all profiles until there are this many; merges and deletions run in the background."""
    while True:
        fields = {"additional_fields_profile": ["subscriptions", "predictive_analytics"]}
        profiles = (await asyncio.to_thread(api.Profiles.get_profiles, **fields))["data"]
        if len(profiles) == count:
            return profiles
        await asyncio.sleep(0.1)


async def test_the_account_has_its_site_id(base: str) -> None:
    accounts = await asyncio.to_thread(client(base).Accounts.get_accounts)
    assert accounts["data"][0]["id"] == accounts["data"][0]["attributes"]["public_api_key"] == "SbxKlv"


@pytest.mark.parametrize(("key", "status"), [("pk_unknown", 401), (READER, 403)])
async def test_an_unknown_key_and_a_missing_scope_are_rejected(base: str, key: str, status: int) -> None:
    with pytest.raises(ApiException) as caught:
        await asyncio.to_thread(client(base, key).Events.create_event, event("x"))
    assert caught.value.status == status


async def test_a_request_beyond_the_limit_is_throttled() -> None:
    async with run_server(create_app(KlaviyoOptions(clock=lambda: 1_800_000_000.0))) as base:
        api = client(base)
        await asyncio.to_thread(api.Accounts.get_accounts)
        with pytest.raises(ApiException) as caught:
            await asyncio.to_thread(api.Accounts.get_accounts)
    assert caught.value.status == 429
    assert "throttled" in str(caught.value.body)


async def test_the_resources_of_a_card_are_read(base: str) -> None:
    api = client(base)
    for number in range(12):
        profile = {"type": "profile", "attributes": {"email": f"p{number}@lanternpost.example"}}
        await asyncio.to_thread(api.Profiles.create_profile, {"data": profile})
    async with aiohttp.ClientSession() as session:
        await (await session.post(f"{base}/sandbox/seed-history")).release()
    profiles = (await asyncio.to_thread(api.Profiles.get_profiles))["data"]
    lists = await asyncio.to_thread(api.Profiles.get_lists_for_profile, profiles[0]["id"])
    segments = await asyncio.to_thread(api.Profiles.get_segments_for_profile, profiles[0]["id"])
    assert {group["type"] for group in lists["data"] + segments["data"]} <= {"list", "segment"}
    newsletter = (await asyncio.to_thread(api.Lists.get_lists))["data"][0]["id"]
    emails = 'any(email,["p1@lanternpost.example","p2@lanternpost.example"])'
    members = await asyncio.to_thread(lambda: api.Lists.get_profile_ids_for_list(newsletter, filter=emails))
    assert len(members["data"]) <= 2
    segment = (await asyncio.to_thread(api.Segments.get_segments))["data"][0]["id"]
    in_segment = await asyncio.to_thread(lambda: api.Segments.get_profiles_for_segment(segment, page_size=100))
    assert all(member["attributes"]["joined_group_at"] for member in in_segment["data"])
    detail = await asyncio.to_thread(
        lambda: api.Profiles.get_profile(
            profiles[0]["id"], include=["lists"], additional_fields_profile=["subscriptions", "predictive_analytics"]
        )
    )
    assert detail["data"]["attributes"]["subscriptions"]["email"]["marketing"]["consent"]
    campaigns = (await asyncio.to_thread(api.Campaigns.get_campaigns))["data"]
    assert campaigns[0]["attributes"]["definition"]["name"]
    assert len((await asyncio.to_thread(api.Flows.get_flows))["data"]) == 2


async def test_every_resource_fits_the_strict_models(base: str) -> None:
    """The client's models of 2026-10-15 reject missing attributes, wrong types and unknown enum values."""
    dict_api = client(base)
    for number in range(10):
        attributes = {"email": f"p{number}@lanternpost.example", "phone_number": f"+120255501{40 + number}"}
        await asyncio.to_thread(
            dict_api.Profiles.create_profile, {"data": {"type": "profile", "attributes": attributes}}
        )
    async with aiohttp.ClientSession() as session:
        await (await session.post(f"{base}/sandbox/seed-history")).release()
    api = KlaviyoAPI(DEFAULT_KEY, max_delay=1, max_retries=3, test_host=base)

    async def read(call: Any, *args: Any, **options: Any) -> list[Any]:
        response = await asyncio.to_thread(lambda: call(*args, **options))
        return response.data if isinstance(response.data, list) else [response.data]

    fields = {"additional_fields_profile": ["subscriptions", "predictive_analytics"]}
    profile, *_ = await read(api.Profiles.get_profiles, **fields)
    await read(api.Profiles.get_profile, profile.id, include=["lists", "segments"], **fields)
    for group_reads, count in (
        ((api.Lists.get_lists, api.Lists.get_list, api.Lists.get_profiles_for_list), "additional_fields_list"),
        (
            (api.Segments.get_segments, api.Segments.get_segment, api.Segments.get_profiles_for_segment),
            "additional_fields_segment",
        ),
    ):
        group, *_ = await read(group_reads[0])
        await read(group_reads[1], group.id, **{count: ["profile_count"]})
        await read(group_reads[2], group.id, **fields)
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


async def test_profiles_are_filtered_by_suppression_reason(base: str) -> None:
    condition = "equals(subscriptions.email.marketing.suppression.reason,'HARD_BOUNCE')"
    assert (await asyncio.to_thread(client(base).Profiles.get_profiles, filter=condition))["data"] == []
