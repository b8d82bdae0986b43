"""What the simulated shop markets with, and what each person got of it."""

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
async def people(call: Any, profile: Any) -> list[str]:
    """Many people, so that every course of a life is among them."""
    made = []
    for number in range(120):
        body = profile(email=f"person{number}@lantern.example", phone_number=f"+1202555{number:04}")
        made.append((await call("POST", "/api/profiles", body)).body["data"]["id"])
    return made


async def of_everyone(call: Any, people: list[str], path: str) -> list[Any]:
    return [one for who in people for one in (await call("GET", f"/api/profiles/{who}/{path}")).body["data"]]


async def events(call: Any, metric: str) -> list[dict[str, Any]]:
    metrics = (await call("GET", "/api/metrics")).body["data"]
    wanted = next(one["id"] for one in metrics if one["attributes"]["name"] == metric)
    params = {"filter": f'equals(metric_id,"{wanted}")', "page[size]": "1000"}
    found: list[dict[str, Any]] = (await call("GET", "/api/events", params=params)).body["data"]
    return found


async def test_people_are_on_lists_and_in_segments(call: Any, people: list[str]) -> None:
    lists = {one["attributes"]["name"] for one in await of_everyone(call, people, "lists")}
    assert lists == {"Newsletter", "SMS Club", "Lantern Circle"}
    segments = await of_everyone(call, people, "segments")
    assert {"Email subscribers", "Worth keeping", "Likely to leave"} == {one["attributes"]["name"] for one in segments}
    assert all(one["type"] == "segment" and one["attributes"]["is_active"] for one in segments)
    ids = {one["id"] for one in await of_everyone(call, people, "relationships/segments")}
    assert ids == {one["id"] for one in segments}


async def test_a_segment_follows_the_state_of_support(call: Any, profile: Any, people: list[str]) -> None:
    async def has_it() -> bool:
        found = (await call("GET", f"/api/profiles/{people[0]}/segments")).body["data"]
        return any(one["attributes"]["name"] == "People with an open conversation" for one in found)

    assert not await has_it()
    opened = profile(people[0], properties={"Kustomer Open Conversations": 1})
    await call("PATCH", f"/api/profiles/{people[0]}", opened)
    assert await has_it()
    await call("PATCH", f"/api/profiles/{people[0]}", profile(people[0], properties={"Kustomer Open Conversations": 0}))
    assert not await has_it()


@pytest.mark.parametrize("kind", ["list", "segment"])
async def test_members_are_those_who_say_so_of_themselves(call: Any, people: list[str], kind: str) -> None:
    of_one = {who: await of_everyone(call, [who], f"{kind}s") for who in people}
    for group in (await call("GET", f"/api/{kind}s")).body["data"]:
        wanted = {who for who, groups in of_one.items() if group["id"] in {one["id"] for one in groups}}
        path = f"/api/{kind}s/{group['id']}"
        ids = (await call("GET", f"{path}/relationships/profiles", params={"page[size]": "100"})).body["data"]
        assert {one["id"] for one in ids} <= wanted
        assert len(ids) == min(100, len(wanted))
        emails = [f"person{number}@lantern.example" for number in range(50)]
        asked = {"filter": "any(email,[" + ",".join(f'"{one}"' for one in emails) + "])", "page[size]": "100"}
        some = (await call("GET", f"{path}/profiles", params=asked)).body["data"]
        assert {one["id"] for one in some} == wanted & set(people[:50])
        assert all(one["attributes"]["joined_group_at"] for one in some)


async def test_members_are_asked_for_by_what_the_group_can_be_asked_by(call: Any, people: list[str]) -> None:
    by_id = {"filter": f'any(profile_id,["{people[0]}"])'}
    for kind, status in (("list", 400), ("segment", 200)):
        group = (await call("GET", f"/api/{kind}s")).body["data"][0]["id"]
        assert (await call("GET", f"/api/{kind}s/{group}/relationships/profiles", params=by_id)).status == status
        assert (await call("GET", f"/api/{kind}s/nothing/profiles")).status == 404


@pytest.mark.usefixtures("people")
async def test_a_campaign_is_told_from_a_flow_by_the_events_properties(call: Any) -> None:
    received = [one["attributes"]["event_properties"] for one in await events(call, "Received Email")]
    flows = {one["id"] for one in (await call("GET", "/api/flows")).body["data"]}
    assert {one["$flow"] for one in received if "$flow" in one} <= flows
    sent_once = [one for one in received if "$flow" not in one]
    campaigns = (await call("GET", "/api/campaigns")).body["data"]
    known = {one["id"]: one["attributes"]["definition"]["name"] for one in campaigns}
    by_id = [one for one in sent_once if one["$message"] in known]
    assert by_id
    assert all(known[one["$message"]] == one["Campaign Name"] for one in by_id)
    of_variations = next(one for one in sent_once if one["$message"] not in known)
    path = f"/api/campaign-messages/{of_variations['$message']}"
    assert (await call("GET", f"{path}/campaign")).body["data"]["id"] in known
    before = (await call("GET", path, headers=OLDER)).body["data"]["attributes"]["definition"]
    assert before["content"]["subject"] == of_variations["Subject"]
    [variation] = (await call("GET", f"{path}/campaign-variations")).body["data"]
    assert variation["attributes"]["definition"]["details"]["subject"] == of_variations["Subject"]


@pytest.mark.usefixtures("people")
async def test_what_was_opened_was_received_and_what_was_clicked_was_opened(call: Any) -> None:
    def seen(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
        return {
            (one["relationships"]["profile"]["data"]["id"], one["attributes"]["event_properties"]["$message"])
            for one in found
        }

    received, opened, clicked = [
        seen(await events(call, f"{word} Email")) for word in ("Received", "Opened", "Clicked")
    ]
    assert clicked < opened < received


@pytest.mark.usefixtures("people")
async def test_messages_of_the_accounts_own_are_no_arrivals(base: str) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{base}/sandbox/events") as response:
        assert await response.json() == []


@pytest.mark.usefixtures("people")
async def test_some_may_be_written_to_on_whatsapp_and_in_a_talk_that_ends(call: Any) -> None:
    params = {"additional-fields[profile]": "subscriptions", "page[size]": "100"}
    found = [
        one["attributes"]["subscriptions"] for one in (await call("GET", "/api/profiles", params=params)).body["data"]
    ]
    whatsapp = [one["whatsapp"] for one in found]
    assert {one["marketing"]["consent"] for one in whatsapp} == {"SUBSCRIBED", "NEVER_SUBSCRIBED"}
    talks = [one["conversational"] for one in whatsapp if one["conversational"]["valid_until"]]
    assert talks
    assert all(one["can_receive"] and one["phone_number"] for one in talks)
    assert {tuple(one["sms"]) for one in found} == {("marketing", "transactional")}


@pytest.mark.usefixtures("people")
async def test_consent_and_predictions_are_shown_when_asked_for(call: Any) -> None:
    params = {"additional-fields[profile]": "subscriptions,predictive_analytics", "page[size]": "100"}
    found = [one["attributes"] for one in (await call("GET", "/api/profiles", params=params)).body["data"]]
    consents = {one["subscriptions"]["email"]["marketing"]["consent"] for one in found}
    assert consents == {"SUBSCRIBED", "UNSUBSCRIBED", "NEVER_SUBSCRIBED"}
    predictions = [one["predictive_analytics"] for one in found]
    assert len({tuple(sorted(one)) for one in predictions}) == 1, "what is not predicted is null, and is there"
    predicted = [one for one in predictions if one["total_clv"] is not None]
    assert {name for one in predictions if one not in predicted for name, value in one.items() if value} == set()
    assert 0 < len(predicted) < len(found)
    assert all(0 <= one["churn_probability"] <= 1 for one in predicted)


async def test_a_revision_before_omni_campaigns_demands_the_channel(call: Any) -> None:
    assert (await call("GET", "/api/campaigns", headers=OLDER)).status == 400
    params = {"filter": "equals(messages.channel,'sms')"}
    older = await call("GET", "/api/campaigns", params=params, headers=OLDER)
    assert [one["attributes"]["name"] for one in older.body["data"]] == ["Weekend text", "End of summer text"]
    assert older.body["data"][0]["attributes"]["status"] == "Sent"
    assert (await call("GET", "/api/campaigns", params=params)).error["source"] == {"parameter": "filter"}
    assert (await call("GET", "/api/campaign-messages", headers=OLDER)).status == 404


@pytest.mark.parametrize("what", ["lists", "segments", "campaigns", "flows"])
async def test_each_thing_is_read_alone_too(call: Any, what: str) -> None:
    found = (await call("GET", f"/api/{what}")).body["data"]
    assert (await call("GET", f"/api/{what}/{found[0]['id']}")).body["data"] == found[0]
    assert (await call("GET", f"/api/{what}/nobody")).status == 404


async def test_lists_have_at_most_ten_on_a_page(call: Any) -> None:
    assert (await call("GET", "/api/lists", params={"page[size]": "11"})).error["source"]["parameter"] == "page[size]"
    page = await call("GET", "/api/lists", params={"page[size]": "2", "sort": "name"})
    assert [one["attributes"]["name"] for one in page.body["data"]] == ["Lantern Circle", "Newsletter"]
    assert page.body["links"]["next"]


class TestLimits:
    """The limits that decide how a card can be made."""

    @pytest.fixture
    def options(self) -> KlaviyoOptions:
        return KlaviyoOptions(
            clock=lambda: 1000.0, keys={DEFAULT_KEY: SCOPES, "pk_narrow": frozenset({"profiles:read"})}
        )

    @pytest.fixture
    async def person(self, call: Any, profile: Any) -> str:
        return str((await call("POST", "/api/profiles", profile(email=EMAIL))).body["data"]["id"])

    async def test_lists_of_a_profile_are_three_a_second(self, call: Any, person: str) -> None:
        answers = [(await call("GET", f"/api/profiles/{person}/lists")).status for _ in range(4)]
        assert answers == [200, 200, 200, 429]
        assert (await call("GET", f"/api/profiles/{person}/segments")).headers["RateLimit-Limit"] == "3, 3;w=1, 60;w=60"

    async def test_including_them_is_one_a_second(self, call: Any, person: str) -> None:
        params = {"include": "lists,segments", "fields[list]": "name"}
        first = await call("GET", f"/api/profiles/{person}", params=params)
        assert (first.status, first.body["included"]) == (200, [])
        assert (await call("GET", f"/api/profiles/{person}", params={"include": "lists"})).status == 429
        assert (await call("GET", f"/api/profiles/{person}")).status == 200

    async def test_predictions_are_limited_on_their_own(self, call: Any, person: str) -> None:
        params = {"additional-fields[profile]": "predictive_analytics"}
        answers = [(await call("GET", f"/api/profiles/{person}", params=params)).status for _ in range(11)]
        assert answers == [200] * 10 + [429]

    async def test_what_is_included_needs_its_scope(self, call: Any, person: str) -> None:
        headers = {"Authorization": "Klaviyo-API-Key pk_narrow"}
        path = f"/api/profiles/{person}"
        assert (await call("GET", path, headers=headers)).status == 200
        assert (await call("GET", path, params={"include": "lists"}, headers=headers)).status == 403
        assert (await call("GET", f"{path}/lists", headers=headers)).status == 403


class TestLater:
    """An account whose people have no past until they are given one."""

    @pytest.fixture
    def options(self) -> KlaviyoOptions:
        return KlaviyoOptions(rate_limits=False)

    async def test_someone_is_given_a_past(self, call: Any, base: str, profile: Any) -> None:
        for number in range(9):
            await call("POST", "/api/profiles", profile(email=f"p{number}@lantern.example"))
        assert (await call("GET", "/api/metrics")).body["data"] == []
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{base}/sandbox/furnish?email=nobody@lantern.example") as response:
                assert await response.json() == {"furnished": 0}
            async with session.post(f"{base}/sandbox/furnish") as response:
                assert await response.json() == {"furnished": 9}
        assert "Received Email" in {
            one["attributes"]["name"] for one in (await call("GET", "/api/metrics")).body["data"]
        }
