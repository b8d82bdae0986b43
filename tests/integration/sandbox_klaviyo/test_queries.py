"""Strict queries: each operation accepts exactly its parameters; every filter works."""

import re
from typing import Any

import pytest

from kustomer_klaviyo.sandbox.klaviyo import KlaviyoOptions
from kustomer_klaviyo.sandbox.klaviyo.api.operation_table import OPERATIONS
from kustomer_klaviyo.sandbox.klaviyo.api.query_table import OMNI_QUERIES, QUERIES

OLDER = {"revision": "2026-07-15"}
SUPPRESSION, LIST_SUPPRESSION = (
    f"subscriptions.email.marketing.{kind}" for kind in ("suppression", "list_suppressions")
)


@pytest.fixture
def options() -> KlaviyoOptions:
    return KlaviyoOptions(rate_limits=False, marketing=True)


@pytest.fixture
async def profiles(call: Any, profile: Any) -> None:
    for number in range(12):
        await call("POST", "/api/profiles", profile(email=f"person{number}@lantern.example"))


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        ("/api/metrics", "page[size]", "10"),
        ("/api/metrics", "sort", "name"),
        ("/api/metrics", "page[number]", "2"),
        ("/api/metrics", "fields[profile]", "email"),
        ("/api/metrics/M", "filter", 'equals(integration.name,"API")'),
        ("/api/profiles", "include", "lists"),
        ("/api/profiles", "fields[list]", "name"),
        ("/api/profiles", "additional-fields[profile]", "lists"),
        ("/api/profiles", "additional_fields[profile]", "subscriptions"),
        ("/api/profiles", "fields[profile]", "email,anonymous_id"),
        ("/api/profiles", "fields[profile]", "location.planet"),
        ("/api/profiles", "fields[profile]", "subscriptions.email.marketing.colour"),
        ("/api/profiles", "sort", "external_id"),
        ("/api/profiles/P", "filter", 'equals(email,"a@b.co")'),
        ("/api/profiles/P/lists", "page[size]", "10"),
        ("/api/profiles/P/segments", "include", "tags"),
        ("/api/profiles/P/relationships/lists", "fields[list]", "name"),
        ("/api/events", "additional-fields[profile]", "subscriptions"),
        ("/api/events", "fields[profile]", "subscriptions"),
        ("/api/events", "fields[event]", "event_properties.Subject"),
        ("/api/events", "fields[]", "datetime"),
        ("/api/lists", "fields[list]", "profile_count"),
        ("/api/lists", "additional-fields[list]", "profile_count"),
        ("/api/lists/L/relationships/profiles", "fields[profile]", "email"),
        ("/api/lists/L/relationships/profiles", "additional-fields[profile]", "subscriptions"),
        ("/api/campaigns/C", "fields[campaign]", "name"),
        ("/api/campaigns/C/campaign-audiences", "page[cursor]", "x"),
        ("/api/flows", "additional-fields[flow]", "definition"),
        ("/api/flows", "fields[flow]", "definition"),
        ("/api/accounts", "page[size]", "1"),
        ("/api/profile-bulk-import-jobs/J/import-errors", "filter", "equals(code,'x')"),
        ("/api/profile-bulk-import-jobs", "include", "lists"),
    ],
)
async def test_an_unsupported_parameter_is_rejected_by_name(call: Any, path: str, parameter: str, value: str) -> None:
    response = await call("GET", path, params={parameter: value})
    assert (response.status, response.error["code"], response.error["source"]) == (
        400,
        "invalid",
        {"parameter": parameter},
    )


@pytest.mark.parametrize("path", ["/api/events", "/api/event-bulk-create-jobs", "/api/data-privacy-deletion-jobs"])
async def test_a_write_has_no_parameters(call: Any, path: str) -> None:
    response = await call("POST", path, {}, params={"fields[event]": "datetime"})
    assert (response.status, response.error["source"]) == (400, {"parameter": "fields[event]"})


async def test_a_written_profile_is_returned_with_the_requested_fields(call: Any, profile: Any) -> None:
    params = {"fields[profile]": "email,subscriptions", "additional-fields[profile]": "subscriptions"}
    created = await call("POST", "/api/profile-import", profile(email="ada@lantern.example"), params=params)
    assert set(created.body["data"]["attributes"]) == {"email", "subscriptions"}


@pytest.mark.parametrize("revision", ["2026-07-15", "2026-10-15"])
async def test_every_parameter_of_an_operation_is_accepted(call: Any, revision: str) -> None:
    queries = {**QUERIES, **(OMNI_QUERIES if revision >= "2026-10-15" else {})}
    for method, path, operation, _ in OPERATIONS:
        query = queries.get(operation.name)
        if method != "GET" or query is None:
            continue
        params = {name: ",".join(names) for name, names in query.parameters() if names is not None}
        params |= {"filter": "equals(messages.channel,'sms')"} if query.requires_filter else {}
        response = await call("GET", path.replace("{id}", "nothing"), params=params, headers={"revision": revision})
        assert response.status == (404 if "{id}" in path else 200), (path, response.body)


def test_every_read_operation_has_a_query_definition() -> None:
    read_operations = {operation.name for method, path, operation, _ in OPERATIONS if method == "GET"}
    without = {"get_list_ids_for_profile", "get_segment_ids_for_profile"}
    assert read_operations - without == (QUERIES.keys() | OMNI_QUERIES.keys()) & read_operations


async def filtered(call: Any, path: str, condition: str, **headers: str) -> list[Any]:
    response = await call("GET", path, params={"filter": condition}, headers=headers)
    assert response.status == 200, response.body
    resources: list[Any] = response.body["data"]
    return resources


def names(resources: list[Any]) -> list[str]:
    return sorted(resource["attributes"]["name"] for resource in resources)


PAST, FUTURE = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
FLOW_NAMES = ["Abandoned cart", "Welcome series"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f"greater-than(updated,{PAST})", FLOW_NAMES),
        (f"less-or-equal(updated,{PAST})", []),
        (f"equals(created,{PAST})", []),
        (f"greater-or-equal(created,{PAST}),less-than(created,{FUTURE})", FLOW_NAMES),
        ("equals(archived,false)", FLOW_NAMES),
        ("equals(archived,true)", []),
        ("equals(status,'live')", FLOW_NAMES),
        ("equals(status,'draft')", []),
        ("equals(trigger_type,'Metric')", ["Abandoned cart"]),
        ("contains(name,'come')", ["Welcome series"]),
        ("starts-with(name,'Ab')", ["Abandoned cart"]),
        ("ends-with(name,'series')", ["Welcome series"]),
        ("equals(name,'Welcome series')", ["Welcome series"]),
    ],
)
async def test_flows_are_filtered(call: Any, condition: str, expected: list[str]) -> None:
    assert names(await filtered(call, "/api/flows", condition)) == expected


TEXT_CAMPAIGNS = ["End of summer text", "Weekend text"]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("equals(archived,false)", TEXT_CAMPAIGNS),
        ("equals(archived,true)", []),
        ("contains(name,'end t')", ["Weekend text"]),
        ("equals(status,'Sent')", TEXT_CAMPAIGNS),
        ("any(status,['Draft','Cancelled'])", []),
        ("equals(status,['Draft','Sent'])", TEXT_CAMPAIGNS),
        (f"greater-than(scheduled_at,{PAST}),less-than(updated_at,{FUTURE})", TEXT_CAMPAIGNS),
        (f"greater-or-equal(created_at,{FUTURE})", []),
    ],
)
async def test_campaigns_are_filtered(call: Any, condition: str, expected: list[str]) -> None:
    by_channel = f"equals(messages.channel,'sms'),{condition}"
    assert names(await filtered(call, "/api/campaigns", by_channel, **OLDER)) == expected


@pytest.mark.parametrize(
    ("condition", "number"),
    [
        ("equals(archived,false)", 7),
        ("equals(builder,'wizard')", 7),
        ("contains(name,'summer')", 3),
        ("any(id,['x'])", 0),
    ],
)
async def test_omni_campaigns_are_filtered(call: Any, condition: str, number: int) -> None:
    assert len(await filtered(call, "/api/campaigns", condition)) == number


@pytest.mark.parametrize(
    ("condition", "number"),
    [
        ("equals(status,'sent')", 8),
        ("equals(status,'draft')", 0),
        ("contains(name,'paper')", 2),
        (f"greater-than(created,{PAST}),less-than(updated,{FUTURE})", 8),
        ("equals(campaign_id,'x')", 0),
    ],
)
async def test_campaign_messages_are_filtered(call: Any, condition: str, number: int) -> None:
    assert len(await filtered(call, "/api/campaign-messages", condition)) == number


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("condition", "has_matches"),
    [
        (f"equals({SUPPRESSION}.reason,'UNSUBSCRIBE')", True),
        (f"equals({SUPPRESSION}.reason,'HARD_BOUNCE')", False),
        (f"greater-than({SUPPRESSION}.timestamp,{PAST})", True),
        (f"greater-than({SUPPRESSION}.timestamp,{FUTURE})", False),
        (f"equals({LIST_SUPPRESSION}.list_id,'L')", False),
        (f"equals({LIST_SUPPRESSION}.reason,'USER_SUPPRESSED')", True),
        (f"less-or-equal({LIST_SUPPRESSION}.timestamp,{FUTURE})", True),
        (f"less-than({LIST_SUPPRESSION}.timestamp,{PAST})", False),
    ],
)
async def test_profiles_are_filtered_by_suppression(call: Any, condition: str, *, has_matches: bool) -> None:
    total = len((await call("GET", "/api/profiles", params={"page[size]": "100"})).body["data"])
    assert (0 < len(await filtered(call, "/api/profiles", condition)) < total) == has_matches


@pytest.mark.usefixtures("profiles")
async def test_profiles_are_sorted_by_suppression_time(call: Any) -> None:
    params = {"additional-fields[profile]": "subscriptions", "page[size]": "100"}
    for order in ("", "-"):
        response = await call("GET", "/api/profiles", params=params | {"sort": f"{order}{SUPPRESSION}.timestamp"})
        profiles = response.body["data"]
        consents = [profile["attributes"]["subscriptions"]["email"]["marketing"] for profile in profiles]
        times = [consent["suppression"][0]["timestamp"] for consent in consents if consent["suppression"]]
        assert len(times) > 1
        assert times == sorted(times, reverse=order == "-")
        assert all(consent["suppression"] for consent in consents[: len(times)]), "profiles without one come last"


@pytest.mark.parametrize(
    ("path", "condition", "number"),
    [
        ("/api/segments", "equals(is_active,true)", 4),
        ("/api/segments", "any(is_active,[false])", 0),
        ("/api/segments", "equals(is_starred,true)", 0),
        ("/api/lists", "any(name,['Newsletter','nothing'])", 1),
        ("/api/profile-bulk-import-jobs", "equals(status,['queued','complete'])", 0),
    ],
)
async def test_groups_and_jobs_are_filtered(call: Any, path: str, condition: str, number: int) -> None:
    assert len(await filtered(call, path, condition)) == number


@pytest.mark.parametrize(
    ("path", "condition"),
    [
        ("/api/lists", "equals(name,'Newsletter')"),
        ("/api/lists", "equals(is_active,true)"),
        ("/api/segments", "equals(is_active,'true')"),
        ("/api/segments", "equals(is_active,maybe)"),
        ("/api/segments", "any(is_starred,[true])"),
        ("/api/flows", "equals(trigger_type,'Full Moon')"),
        ("/api/flows", "any(name,['Welcome series'])"),
        ("/api/campaigns", "equals(messages.channel,'email')"),
        ("/api/campaigns", "equals(status,'Sent')"),
        ("/api/campaigns", f"greater-than(scheduled_at,{PAST})"),
        ("/api/profile-bulk-import-jobs", "equals(status,'cancelled')"),
        ("/api/profiles", f"any({SUPPRESSION}.reason,['UNSUBSCRIBE'])"),
        ("/api/profiles", f"greater-or-equal(created,{PAST})"),
    ],
)
async def test_an_unsupported_filter_is_rejected(call: Any, path: str, condition: str) -> None:
    response = await call("GET", path, params={"filter": condition})
    assert (response.status, response.error["source"]) == (400, {"parameter": "filter"})


@pytest.mark.parametrize("field", ["push_token", "_kx"])
async def test_members_are_filtered_by_every_field(call: Any, field: str) -> None:
    group = (await call("GET", "/api/segments")).body["data"][0]["id"]
    condition = f"equals({field},'x')" if field == "_kx" else f"any({field},['x'])"
    for path in ("profiles", "relationships/profiles"):
        assert await filtered(call, f"/api/segments/{group}/{path}", condition) == []


@pytest.mark.parametrize("path", ["/api/flows", "/api/lists", "/api/segments", "/api/campaigns"])
async def test_lists_are_sorted(call: Any, path: str) -> None:
    ascending, descending = [(await call("GET", path, params={"sort": order})).body["data"] for order in ("id", "-id")]
    ids = [resource["id"] for resource in ascending]
    assert ids == sorted(ids)
    assert ascending == descending[::-1]


async def test_included_types_that_the_account_never_has_are_empty(call: Any) -> None:
    for path, include in (
        ("/api/flows", "tags,flow-actions"),
        ("/api/lists", "tags"),
        ("/api/profiles", "push-tokens"),
    ):
        assert (await call("GET", path, params={"include": include})).body["included"] == []


async def test_the_profile_count_of_a_group_is_an_additional_field(call: Any) -> None:
    for kind in ("list", "segment"):
        group_id = (await call("GET", f"/api/{kind}s")).body["data"][0]["id"]
        params = {f"additional-fields[{kind}]": "profile_count", f"fields[{kind}]": "name,profile_count"}
        attributes = (await call("GET", f"/api/{kind}s/{group_id}", params=params)).body["data"]["attributes"]
        assert (set(attributes), attributes["profile_count"]) == ({"name", "profile_count"}, 0)


async def test_times_of_groups_metrics_and_memberships_are_whole_seconds(call: Any, profile: Any) -> None:
    await call("POST", "/api/profiles", profile(email="ada@lantern.example"))
    groups = [group for kind in ("lists", "segments") for group in (await call("GET", f"/api/{kind}")).body["data"]]
    added = [
        member["attributes"]["joined_group_at"]
        for group in groups
        for member in (await call("GET", f"/api/{group['type']}s/{group['id']}/profiles")).body["data"]
    ]
    metrics = (await call("GET", "/api/metrics")).body["data"]
    resources = groups + metrics
    times = [resource["attributes"][name] for resource in resources for name in ("created", "updated")] + added
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", time) for time in times), times
