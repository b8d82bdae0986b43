"""The API's revisions: what a retired one is answered, and what changed in shape."""

from typing import Any

import pytest

from kustomer_klaviyo.sandbox.klaviyo import KlaviyoOptions

OMNI, BEFORE = {"revision": "2026-10-15"}, {"revision": "2026-07-15"}
SERVED_BY = "X-Klaviyo-Api-Revision"


@pytest.fixture
def options() -> KlaviyoOptions:
    return KlaviyoOptions(rate_limits=False, marketing=True)


async def test_a_revision_that_is_retired_falls_forward_to_the_oldest_without_a_word(call: Any) -> None:
    for retired in ("2022-10-17", "2024-10-15"):
        answer = await call("GET", "/api/lists", headers={"revision": retired})
        assert (answer.status, answer.headers[SERVED_BY]) == (200, "2025-01-15")


async def test_who_opts_out_of_falling_forward_is_told_that_it_is_gone(call: Any) -> None:
    opted_out = {"X-Klaviyo-Revision-Fall-Forward-Opt-Out": "1"}
    answer = await call("GET", "/api/lists", headers={"revision": "2024-10-15"} | opted_out)
    assert (answer.status, answer.error["code"]) == (410, "gone")
    assert (await call("GET", "/api/lists", headers=OMNI | opted_out)).status == 200


async def test_a_deprecated_revision_says_when_it_retires(call: Any) -> None:
    deprecated = (await call("GET", "/api/lists", headers={"revision": "2025-04-15"})).headers
    assert (deprecated[SERVED_BY], deprecated["X-Klaviyo-Api-Retirement-Date"]) == ("2025-04-15", "2027-04-15")
    assert "X-Klaviyo-Api-Retirement-Date" not in (await call("GET", "/api/lists", headers=BEFORE)).headers


class TestWithoutFallingForward:
    """An account where retired revisions are gone for everybody, and more of them are."""

    @pytest.fixture
    def options(self) -> KlaviyoOptions:
        return KlaviyoOptions(oldest_revision="2026-10-15", falls_forward=False)

    async def test_a_retired_revision_is_gone(self, call: Any) -> None:
        assert (await call("GET", "/api/lists", headers=BEFORE)).status == 410
        assert (await call("GET", "/api/lists", headers=OMNI)).status == 200


@pytest.mark.parametrize(("revision", "shown"), [("2025-10-15", True), ("2026-01-15", False), ("2026-10-15", False)])
async def test_a_profile_shows_its_anonymous_id_in_older_revisions_only(
    call: Any, profile: Any, event: Any, revision: str, *, shown: bool
) -> None:
    made = (await call("POST", "/api/profiles", profile(email="ada@lantern.example"))).body["data"]["id"]
    await call("POST", "/api/events", event())
    headers = {"revision": revision}
    profiles = [
        (await call("GET", f"/api/profiles/{made}", headers=headers)).body["data"],
        *(await call("GET", "/api/profiles", headers=headers)).body["data"],
        *(await call("GET", "/api/events", headers=headers, params={"include": "profile"})).body["included"],
    ]
    assert ["anonymous_id" in one["attributes"] for one in profiles] == [shown] * 3


async def first_campaign(call: Any, headers: dict[str, str]) -> dict[str, Any]:
    params = {} if headers == OMNI else {"filter": "equals(messages.channel,'email')"}
    found: dict[str, Any] = (await call("GET", "/api/campaigns", headers=headers, params=params)).body["data"][0]
    return found


async def test_audiences_moved_off_the_campaign(call: Any) -> None:
    before, since = await first_campaign(call, BEFORE), await first_campaign(call, OMNI)
    assert before["id"] == since["id"]
    assert set(since["attributes"]) == {"created_at", "updated_at", "definition"}
    assert since["attributes"]["definition"]["name"] == before["attributes"]["name"]
    assert "campaign-audiences" not in before["relationships"]
    [named] = since["relationships"]["campaign-audiences"]["data"]
    audience = (await call("GET", f"/api/campaign-audiences/{named['id']}")).body["data"]
    assert audience["attributes"]["definition"]["included"] == before["attributes"]["audiences"]["included"]
    assert (await call("GET", f"/api/campaigns/{since['id']}/campaign-audiences")).body["data"] == [audience]
    assert (await call("GET", f"/api/campaign-audiences/{named['id']}/campaign")).body["data"] == since
    for path in (f"campaign-audiences/{named['id']}", f"campaigns/{since['id']}/campaign-audiences"):
        assert (await call("GET", f"/api/{path}", headers=BEFORE)).status == 404


async def test_a_campaigns_message_has_a_definition_of_its_own_and_says_nothing(call: Any) -> None:
    campaign = await first_campaign(call, OMNI)
    path = f"/api/campaigns/{campaign['id']}/campaign-messages"
    [before] = (await call("GET", path, headers=BEFORE)).body["data"]
    [since] = (await call("GET", path)).body["data"]
    assert {"created_at", "updated_at", "send_times"} < set(before["attributes"])
    assert set(since["attributes"]) == {"created", "updated", "definition"}
    assert set(since["attributes"]["definition"]) == {"name", "status", "tracking_options", "send_options", "ab_test"}
    [named] = since["relationships"]["campaign-variations"]["data"]
    variation = (await call("GET", f"/api/campaign-variations/{named['id']}")).body["data"]
    said = before["attributes"]["definition"]["content"]["subject"]
    assert variation["attributes"]["definition"]["details"]["subject"] == said


async def test_what_stands_beside_a_campaign_is_included(call: Any) -> None:
    campaign = await first_campaign(call, OMNI)
    included = {"include": "campaign-audiences,campaign-messages"}
    shown = (await call("GET", f"/api/campaigns/{campaign['id']}", params=included)).body["included"]
    assert [one["type"] for one in shown] == ["campaign-audience", "campaign-message"]
    message = shown[1]["id"]
    beside = {"include": "campaign,campaign-variations"}
    shown = (await call("GET", f"/api/campaign-messages/{message}", params=beside)).body["included"]
    assert [one["type"] for one in shown] == ["campaign", "campaign-variation"]
