"""Marketing resources, and the seeded history of profiles."""

from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY, SCOPES, KlaviyoOptions

EMAIL = "ada@lantern.example"
OLDER = {"revision": "2026-07-15"}


@pytest.fixture
def options() -> KlaviyoOptions:
    return KlaviyoOptions(rate_limits=False, marketing=True)


@pytest.fixture
async def profile_ids(call: Any, profile: Any) -> list[str]:
    """Create enough profiles for every kind of history."""
    ids = []
    for number in range(120):
        body = profile(email=f"person{number}@lantern.example", phone_number=f"+1202555{number:04}")
        ids.append((await call("POST", "/api/profiles", body)).body["data"]["id"])
    return ids


async def related_resources(call: Any, profile_ids: list[str], path: str) -> list[Any]:
    return [
        resource
        for profile_id in profile_ids
        for resource in (await call("GET", f"/api/profiles/{profile_id}/{path}")).body["data"]
    ]


async def events_of_metric(call: Any, metric: str) -> list[dict[str, Any]]:
    metrics = (await call("GET", "/api/metrics")).body["data"]
    metric_id = next(item["id"] for item in metrics if item["attributes"]["name"] == metric)
    params = {"filter": f'equals(metric_id,"{metric_id}")', "page[size]": "1000"}
    resources: list[dict[str, Any]] = (await call("GET", "/api/events", params=params)).body["data"]
    return resources


async def test_profiles_are_on_lists_and_in_segments(call: Any, profile_ids: list[str]) -> None:
    lists = {resource["attributes"]["name"] for resource in await related_resources(call, profile_ids, "lists")}
    assert lists == {"Newsletter", "SMS Club", "Lantern Circle"}
    segments = await related_resources(call, profile_ids, "segments")
    assert {"Email subscribers", "High lifetime value", "Churn risk"} == {
        segment["attributes"]["name"] for segment in segments
    }
    assert all(segment["type"] == "segment" and segment["attributes"]["is_active"] for segment in segments)
    assert _ids(await related_resources(call, profile_ids, "relationships/segments")) == _ids(segments)


async def test_a_segment_depends_on_the_open_conversations_property(
    call: Any, profile: Any, profile_ids: list[str]
) -> None:
    async def is_member() -> bool:
        segments = (await call("GET", f"/api/profiles/{profile_ids[0]}/segments")).body["data"]
        return any(segment["attributes"]["name"] == "People with an open conversation" for segment in segments)

    assert not await is_member()
    update = profile(profile_ids[0], properties={"Kustomer Open Conversations": 1})
    await call("PATCH", f"/api/profiles/{profile_ids[0]}", update)
    assert await is_member()
    await call(
        "PATCH",
        f"/api/profiles/{profile_ids[0]}",
        profile(profile_ids[0], properties={"Kustomer Open Conversations": 0}),
    )
    assert not await is_member()


@pytest.mark.parametrize("kind", ["list", "segment"])
async def test_members_of_a_group_match_the_groups_of_profiles(call: Any, profile_ids: list[str], kind: str) -> None:
    groups_of = {profile_id: await related_resources(call, [profile_id], f"{kind}s") for profile_id in profile_ids}
    for group in (await call("GET", f"/api/{kind}s")).body["data"]:
        expected = {profile_id for profile_id, groups in groups_of.items() if group["id"] in _ids(groups)}
        path = f"/api/{kind}s/{group['id']}"
        ids = (await call("GET", f"{path}/relationships/profiles", params={"page[size]": "100"})).body["data"]
        assert _ids(ids) <= expected
        assert len(ids) == min(100, len(expected))
        emails = [f"person{number}@lantern.example" for number in range(50)]
        params = {"filter": "any(email,[" + ",".join(f'"{email}"' for email in emails) + "])", "page[size]": "100"}
        members = (await call("GET", f"{path}/profiles", params=params)).body["data"]
        assert _ids(members) == expected & set(profile_ids[:50])
        assert all(member["attributes"]["joined_group_at"] for member in members)


def _ids(resources: list[Any]) -> set[str]:
    return {resource["id"] for resource in resources}


async def test_only_members_of_segments_are_filtered_by_profile_id(call: Any, profile_ids: list[str]) -> None:
    by_id = {"filter": f'any(profile_id,["{profile_ids[0]}"])'}
    for kind, status in (("list", 400), ("segment", 200)):
        group = (await call("GET", f"/api/{kind}s")).body["data"][0]["id"]
        assert (await call("GET", f"/api/{kind}s/{group}/relationships/profiles", params=by_id)).status == status
        assert (await call("GET", f"/api/{kind}s/nothing/profiles")).status == 404


@pytest.mark.usefixtures("profile_ids")
async def test_event_properties_distinguish_campaigns_from_flows(call: Any) -> None:
    received = [event["attributes"]["event_properties"] for event in await events_of_metric(call, "Received Email")]
    flows = _ids((await call("GET", "/api/flows")).body["data"])
    assert {properties["$flow"] for properties in received if "$flow" in properties} <= flows
    of_campaigns = [properties for properties in received if "$flow" not in properties]
    campaigns = (await call("GET", "/api/campaigns")).body["data"]
    names = {campaign["id"]: campaign["attributes"]["definition"]["name"] for campaign in campaigns}
    with_campaign_id = [properties for properties in of_campaigns if properties["$message"] in names]
    assert with_campaign_id
    assert all(names[properties["$message"]] == properties["Campaign Name"] for properties in with_campaign_id)
    of_variation = next(properties for properties in of_campaigns if properties["$message"] not in names)
    path = f"/api/campaign-messages/{of_variation['$message']}"
    assert (await call("GET", f"{path}/campaign")).body["data"]["id"] in names
    before = (await call("GET", path, headers=OLDER)).body["data"]["attributes"]["definition"]
    assert before["content"]["subject"] == of_variation["Subject"]
    [variation] = (await call("GET", f"{path}/campaign-variations")).body["data"]
    assert variation["attributes"]["definition"]["details"]["subject"] == of_variation["Subject"]


@pytest.mark.usefixtures("profile_ids")
async def test_opened_messages_were_received_and_clicked_messages_were_opened(call: Any) -> None:
    def profile_messages(events: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {
            (event["relationships"]["profile"]["data"]["id"], event["attributes"]["event_properties"]["$message"])
            for event in events
        }

    received, opened, clicked = [
        profile_messages(await events_of_metric(call, f"{verb} Email")) for verb in ("Received", "Opened", "Clicked")
    ]
    assert clicked < opened < received


@pytest.mark.usefixtures("profile_ids")
async def test_internal_events_are_not_listed_by_the_control_api(base: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{base}/sandbox/events") as response:
        assert await response.json() == []


@pytest.mark.usefixtures("profile_ids")
async def test_some_profiles_have_whatsapp_consent_with_an_end(call: Any) -> None:
    params = {"additional-fields[profile]": "subscriptions", "page[size]": "100"}
    profiles = (await call("GET", "/api/profiles", params=params)).body["data"]
    subscriptions = [profile["attributes"]["subscriptions"] for profile in profiles]
    whatsapp = [channels["whatsapp"] for channels in subscriptions]
    assert {purposes["marketing"]["consent"] for purposes in whatsapp} == {"SUBSCRIBED", "NEVER_SUBSCRIBED"}
    conversational = [purposes["conversational"] for purposes in whatsapp]
    with_end = [consent for consent in conversational if consent["valid_until"]]
    assert with_end
    assert all(consent["can_receive"] and consent["phone_number"] for consent in with_end)
    assert {tuple(channels["sms"]) for channels in subscriptions} == {("marketing", "transactional")}


@pytest.mark.usefixtures("profile_ids")
async def test_consent_and_predictions_are_additional_fields(call: Any) -> None:
    params = {"additional-fields[profile]": "subscriptions,predictive_analytics", "page[size]": "100"}
    profiles = [profile["attributes"] for profile in (await call("GET", "/api/profiles", params=params)).body["data"]]
    consents = {profile["subscriptions"]["email"]["marketing"]["consent"] for profile in profiles}
    assert consents == {"SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"}
    predictions = [profile["predictive_analytics"] for profile in profiles]
    assert len({tuple(sorted(values)) for values in predictions}) == 1, "a missing prediction is present as null"
    predicted = [values for values in predictions if values["total_clv"] is not None]
    empty = [values for values in predictions if values not in predicted]
    assert {name for values in empty for name, value in values.items() if value} == set()
    assert 0 < len(predicted) < len(profiles)
    assert all(0 <= values["churn_probability"] <= 1 for values in predicted)


async def test_a_revision_before_omni_campaigns_requires_the_channel(call: Any) -> None:
    assert (await call("GET", "/api/campaigns", headers=OLDER)).status == 400
    params = {"filter": "equals(messages.channel,'sms')"}
    older = await call("GET", "/api/campaigns", params=params, headers=OLDER)
    assert [campaign["attributes"]["name"] for campaign in older.body["data"]] == ["Weekend text", "End of summer text"]
    assert older.body["data"][0]["attributes"]["status"] == "Sent"
    assert (await call("GET", "/api/campaigns", params=params)).error["source"] == {"parameter": "filter"}
    assert (await call("GET", "/api/campaign-messages", headers=OLDER)).status == 404


@pytest.mark.parametrize("kind", ["lists", "segments", "campaigns", "flows"])
async def test_each_resource_is_read_by_id(call: Any, kind: str) -> None:
    resources = (await call("GET", f"/api/{kind}")).body["data"]
    assert (await call("GET", f"/api/{kind}/{resources[0]['id']}")).body["data"] == resources[0]
    assert (await call("GET", f"/api/{kind}/unknown")).status == 404


async def test_a_page_has_at_most_ten_lists(call: Any) -> None:
    assert (await call("GET", "/api/lists", params={"page[size]": "11"})).error["source"]["parameter"] == "page[size]"
    page = await call("GET", "/api/lists", params={"page[size]": "2", "sort": "name"})
    assert [item["attributes"]["name"] for item in page.body["data"]] == ["Lantern Circle", "Newsletter"]
    assert page.body["links"]["next"]


class TestLimits:
    """Rate limits that are relevant to the card."""

    @pytest.fixture
    def options(self) -> KlaviyoOptions:
        return KlaviyoOptions(
            clock=lambda: 1000.0, keys={DEFAULT_KEY: SCOPES, "pk_narrow": frozenset({"profiles:read"})}
        )

    @pytest.fixture
    async def profile_id(self, call: Any, profile: Any) -> str:
        return str((await call("POST", "/api/profiles", profile(email=EMAIL))).body["data"]["id"])

    async def test_the_lists_of_a_profile_are_limited_to_three_a_second(self, call: Any, profile_id: str) -> None:
        statuses = [(await call("GET", f"/api/profiles/{profile_id}/lists")).status for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        assert (await call("GET", f"/api/profiles/{profile_id}/segments")).headers[
            "RateLimit-Limit"
        ] == "3, 3;w=1, 60;w=60"

    async def test_included_lists_are_limited_to_one_a_second(self, call: Any, profile_id: str) -> None:
        params = {"include": "lists,segments", "fields[list]": "name"}
        first = await call("GET", f"/api/profiles/{profile_id}", params=params)
        assert (first.status, first.body["included"]) == (200, [])
        assert (await call("GET", f"/api/profiles/{profile_id}", params={"include": "lists"})).status == 429
        assert (await call("GET", f"/api/profiles/{profile_id}")).status == 200

    async def test_predictions_have_a_separate_limit(self, call: Any, profile_id: str) -> None:
        params = {"additional-fields[profile]": "predictive_analytics"}
        statuses = [(await call("GET", f"/api/profiles/{profile_id}", params=params)).status for _ in range(11)]
        assert statuses == [200] * 10 + [429]

    async def test_included_resources_need_their_scope(self, call: Any, profile_id: str) -> None:
        headers = {"Authorization": "Klaviyo-API-Key pk_narrow"}
        path = f"/api/profiles/{profile_id}"
        assert (await call("GET", path, headers=headers)).status == 200
        assert (await call("GET", path, params={"include": "lists"}, headers=headers)).status == 403
        assert (await call("GET", f"{path}/lists", headers=headers)).status == 403


class TestSeedLater:
    """An account whose profiles have no history at first."""

    @pytest.fixture
    def options(self) -> KlaviyoOptions:
        return KlaviyoOptions(rate_limits=False)

    async def test_a_history_is_seeded_later(self, call: Any, base: str, profile: Any) -> None:
        for number in range(9):
            await call("POST", "/api/profiles", profile(email=f"p{number}@lantern.example"))
        assert (await call("GET", "/api/metrics")).body["data"] == []
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{base}/sandbox/seed-history?email=nobody@lantern.example") as response:
                assert await response.json() == {"seeded": 0}
            async with session.post(f"{base}/sandbox/seed-history") as response:
                assert await response.json() == {"seeded": 9}
        assert "Received Email" in {
            metric["attributes"]["name"] for metric in (await call("GET", "/api/metrics")).body["data"]
        }
