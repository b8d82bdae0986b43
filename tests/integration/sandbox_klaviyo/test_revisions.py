"""API revisions: retirement, and resources whose format changed."""

from typing import Any

import pytest

from kustomer_klaviyo.sandbox.klaviyo import KlaviyoOptions

OMNI, BEFORE = {"revision": "2026-10-15"}, {"revision": "2026-07-15"}
SERVED_BY = "X-Klaviyo-Api-Revision"


@pytest.fixture
def options() -> KlaviyoOptions:
    return KlaviyoOptions(rate_limits=False, marketing=True)


async def test_a_retired_revision_falls_forward_silently_to_the_oldest(call: Any) -> None:
    for retired in ("2022-10-17", "2024-10-15"):
        response = await call("GET", "/api/lists", headers={"revision": retired})
        assert (response.status, response.headers[SERVED_BY]) == (200, "2025-01-15")


async def test_a_retired_revision_with_opt_out_gets_410(call: Any) -> None:
    opted_out = {"X-Klaviyo-Revision-Fall-Forward-Opt-Out": "1"}
    response = await call("GET", "/api/lists", headers={"revision": "2024-10-15"} | opted_out)
    assert (response.status, response.error["code"]) == (410, "gone")
    assert (await call("GET", "/api/lists", headers=OMNI | opted_out)).status == 200


async def test_a_deprecated_revision_has_a_retirement_date(call: Any) -> None:
    deprecated = (await call("GET", "/api/lists", headers={"revision": "2025-04-15"})).headers
    assert (deprecated[SERVED_BY], deprecated["X-Klaviyo-Api-Retirement-Date"]) == ("2025-04-15", "2027-04-15")
    assert "X-Klaviyo-Api-Retirement-Date" not in (await call("GET", "/api/lists", headers=BEFORE)).headers


class TestWithoutFallingForward:
    """An account without fall-forward, whose oldest revision is newer."""

    @pytest.fixture
    def options(self) -> KlaviyoOptions:
        return KlaviyoOptions(oldest_revision="2026-10-15", falls_forward=False)

    async def test_a_retired_revision_gets_410(self, call: Any) -> None:
        assert (await call("GET", "/api/lists", headers=BEFORE)).status == 410
        assert (await call("GET", "/api/lists", headers=OMNI)).status == 200


@pytest.mark.parametrize(
    ("revision", "has_anonymous_id"), [("2025-10-15", True), ("2026-01-15", False), ("2026-10-15", False)]
)
async def test_a_profile_has_an_anonymous_id_in_older_revisions_only(
    call: Any, profile: Any, event: Any, revision: str, *, has_anonymous_id: bool
) -> None:
    profile_id = (await call("POST", "/api/profiles", profile(email="ada@lantern.example"))).body["data"]["id"]
    await call("POST", "/api/events", event())
    headers = {"revision": revision}
    profiles = [
        (await call("GET", f"/api/profiles/{profile_id}", headers=headers)).body["data"],
        *(await call("GET", "/api/profiles", headers=headers)).body["data"],
        *(await call("GET", "/api/events", headers=headers, params={"include": "profile"})).body["included"],
    ]
    assert ["anonymous_id" in item["attributes"] for item in profiles] == [has_anonymous_id] * 3


async def first_campaign(call: Any, headers: dict[str, str]) -> dict[str, Any]:
    params = {} if headers == OMNI else {"filter": "equals(messages.channel,'email')"}
    campaign: dict[str, Any] = (await call("GET", "/api/campaigns", headers=headers, params=params)).body["data"][0]
    return campaign


async def test_audiences_are_separate_resources_since_omni_campaigns(call: Any) -> None:
    before, since = await first_campaign(call, BEFORE), await first_campaign(call, OMNI)
    assert before["id"] == since["id"]
    assert set(since["attributes"]) == {"created_at", "updated_at", "definition"}
    assert since["attributes"]["definition"]["name"] == before["attributes"]["name"]
    assert "campaign-audiences" not in before["relationships"]
    [reference] = since["relationships"]["campaign-audiences"]["data"]
    audience = (await call("GET", f"/api/campaign-audiences/{reference['id']}")).body["data"]
    assert audience["attributes"]["definition"]["included"] == before["attributes"]["audiences"]["included"]
    assert (await call("GET", f"/api/campaigns/{since['id']}/campaign-audiences")).body["data"] == [audience]
    assert (await call("GET", f"/api/campaign-audiences/{reference['id']}/campaign")).body["data"] == since
    for path in (f"campaign-audiences/{reference['id']}", f"campaigns/{since['id']}/campaign-audiences"):
        assert (await call("GET", f"/api/{path}", headers=BEFORE)).status == 404


async def test_the_content_of_a_message_is_in_its_variation_since_omni_campaigns(call: Any) -> None:
    campaign = await first_campaign(call, OMNI)
    path = f"/api/campaigns/{campaign['id']}/campaign-messages"
    [before] = (await call("GET", path, headers=BEFORE)).body["data"]
    [since] = (await call("GET", path)).body["data"]
    assert {"created_at", "updated_at", "send_times"} < set(before["attributes"])
    assert set(since["attributes"]) == {"created", "updated", "definition"}
    assert set(since["attributes"]["definition"]) == {"name", "status", "tracking_options", "send_options", "ab_test"}
    [reference] = since["relationships"]["campaign-variations"]["data"]
    variation = (await call("GET", f"/api/campaign-variations/{reference['id']}")).body["data"]
    content = before["attributes"]["definition"]["content"]["subject"]
    assert variation["attributes"]["definition"]["details"]["subject"] == content


async def test_related_resources_of_a_campaign_are_included(call: Any) -> None:
    campaign = await first_campaign(call, OMNI)
    params = {"include": "campaign-audiences,campaign-messages"}
    resources = (await call("GET", f"/api/campaigns/{campaign['id']}", params=params)).body["included"]
    assert [resource["type"] for resource in resources] == ["campaign-audience", "campaign-message"]
    message = resources[1]["id"]
    params = {"include": "campaign,campaign-variations"}
    resources = (await call("GET", f"/api/campaign-messages/{message}", params=params)).body["included"]
    assert [resource["type"] for resource in resources] == ["campaign", "campaign-variation"]
