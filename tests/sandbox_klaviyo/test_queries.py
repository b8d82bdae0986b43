"""Strict queries: each operation has its parameters, and refuses any other; every filter it has works."""

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
async def people(call: Any, profile: Any) -> None:
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
async def test_a_parameter_that_the_operation_lacks_is_refused_by_its_name(
    call: Any, path: str, parameter: str, value: str
) -> None:
    answer = await call("GET", path, params={parameter: value})
    assert (answer.status, answer.error["code"], answer.error["source"]) == (400, "invalid", {"parameter": parameter})


@pytest.mark.parametrize("path", ["/api/events", "/api/event-bulk-create-jobs", "/api/data-privacy-deletion-jobs"])
async def test_a_write_has_no_parameters(call: Any, path: str) -> None:
    answer = await call("POST", path, {}, params={"fields[event]": "datetime"})
    assert (answer.status, answer.error["source"]) == (400, {"parameter": "fields[event]"})


async def test_a_written_profile_is_shown_as_asked_for(call: Any, profile: Any) -> None:
    params = {"fields[profile]": "email,subscriptions", "additional-fields[profile]": "subscriptions"}
    made = await call("POST", "/api/profile-import", profile(email="ada@lantern.example"), params=params)
    assert set(made.body["data"]["attributes"]) == {"email", "subscriptions"}


@pytest.mark.parametrize("revision", ["2026-07-15", "2026-10-15"])
async def test_every_parameter_that_an_operation_has_is_taken(call: Any, revision: str) -> None:
    queries = {**QUERIES, **(OMNI_QUERIES if revision >= "2026-10-15" else {})}
    for method, path, operation, _ in OPERATIONS:
        known = queries.get(operation.name)
        if method != "GET" or known is None:
            continue
        listed = {name: ",".join(names) for name, names in known.parameters() if names is not None}
        whole = listed | ({"filter": "equals(messages.channel,'sms')"} if known.is_filter_needed else {})
        answer = await call("GET", path.replace("{id}", "nothing"), params=whole, headers={"revision": revision})
        assert answer.status == (404 if "{id}" in path else 200), (path, answer.body)


def test_every_operation_that_reads_says_which_parameters_it_has() -> None:
    reading = {operation.name for method, path, operation, _ in OPERATIONS if method == "GET"}
    without = {"get_list_ids_for_profile", "get_segment_ids_for_profile"}
    assert reading - without == (QUERIES.keys() | OMNI_QUERIES.keys()) & reading


async def found(call: Any, path: str, wanted: str, **headers: str) -> list[Any]:
    answer = await call("GET", path, params={"filter": wanted}, headers=headers)
    assert answer.status == 200, answer.body
    result: list[Any] = answer.body["data"]
    return result


def names(resources: list[Any]) -> list[str]:
    return sorted(one["attributes"]["name"] for one in resources)


LONG_AGO, LATER = "2020-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
BOTH = ["Abandoned cart", "Welcome series"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (f"greater-than(updated,{LONG_AGO})", BOTH),
        (f"less-or-equal(updated,{LONG_AGO})", []),
        (f"equals(created,{LONG_AGO})", []),
        (f"greater-or-equal(created,{LONG_AGO}),less-than(created,{LATER})", BOTH),
        ("equals(archived,false)", BOTH),
        ("equals(archived,true)", []),
        ("equals(status,'live')", BOTH),
        ("equals(status,'draft')", []),
        ("equals(trigger_type,'Metric')", ["Abandoned cart"]),
        ("contains(name,'come')", ["Welcome series"]),
        ("starts-with(name,'Ab')", ["Abandoned cart"]),
        ("ends-with(name,'series')", ["Welcome series"]),
        ("equals(name,'Welcome series')", ["Welcome series"]),
    ],
)
async def test_flows_are_filtered(call: Any, wanted: str, expected: list[str]) -> None:
    assert names(await found(call, "/api/flows", wanted)) == expected


TEXTS = ["End of summer text", "Weekend text"]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("equals(archived,false)", TEXTS),
        ("equals(archived,true)", []),
        ("contains(name,'end t')", ["Weekend text"]),
        ("equals(status,'Sent')", TEXTS),
        ("any(status,['Draft','Cancelled'])", []),
        ("equals(status,['Draft','Sent'])", TEXTS),
        (f"greater-than(scheduled_at,{LONG_AGO}),less-than(updated_at,{LATER})", TEXTS),
        (f"greater-or-equal(created_at,{LATER})", []),
    ],
)
async def test_campaigns_are_filtered(call: Any, wanted: str, expected: list[str]) -> None:
    by_channel = f"equals(messages.channel,'sms'),{wanted}"
    assert names(await found(call, "/api/campaigns", by_channel, **OLDER)) == expected


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("equals(archived,false)", 7),
        ("equals(builder,'wizard')", 7),
        ("contains(name,'summer')", 3),
        ("any(id,['x'])", 0),
    ],
)
async def test_campaigns_are_filtered_since_they_are_another_resource(call: Any, wanted: str, number: int) -> None:
    assert len(await found(call, "/api/campaigns", wanted)) == number


@pytest.mark.parametrize(
    ("wanted", "number"),
    [
        ("equals(status,'sent')", 8),
        ("equals(status,'draft')", 0),
        ("contains(name,'paper')", 2),
        (f"greater-than(created,{LONG_AGO}),less-than(updated,{LATER})", 8),
        ("equals(campaign_id,'x')", 0),
    ],
)
async def test_messages_of_campaigns_are_filtered(call: Any, wanted: str, number: int) -> None:
    assert len(await found(call, "/api/campaign-messages", wanted)) == number


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize(
    ("wanted", "are_any"),
    [
        (f"equals({SUPPRESSION}.reason,'UNSUBSCRIBE')", True),
        (f"equals({SUPPRESSION}.reason,'HARD_BOUNCE')", False),
        (f"greater-than({SUPPRESSION}.timestamp,{LONG_AGO})", True),
        (f"greater-than({SUPPRESSION}.timestamp,{LATER})", False),
        (f"equals({LIST_SUPPRESSION}.list_id,'L')", False),
        (f"equals({LIST_SUPPRESSION}.reason,'USER_SUPPRESSED')", True),
        (f"less-or-equal({LIST_SUPPRESSION}.timestamp,{LATER})", True),
        (f"less-than({LIST_SUPPRESSION}.timestamp,{LONG_AGO})", False),
    ],
)
async def test_profiles_are_filtered_by_why_nothing_is_sent(call: Any, wanted: str, *, are_any: bool) -> None:
    everybody = len((await call("GET", "/api/profiles", params={"page[size]": "100"})).body["data"])
    assert (0 < len(await found(call, "/api/profiles", wanted)) < everybody) == are_any


@pytest.mark.usefixtures("people")
async def test_profiles_come_in_the_order_of_when_they_were_suppressed(call: Any) -> None:
    params = {"additional-fields[profile]": "subscriptions", "page[size]": "100"}
    for order in ("", "-"):
        answer = await call("GET", "/api/profiles", params=params | {"sort": f"{order}{SUPPRESSION}.timestamp"})
        people = [one["attributes"]["subscriptions"]["email"]["marketing"] for one in answer.body["data"]]
        moments = [one["suppression"][0]["timestamp"] for one in people if one["suppression"]]
        assert len(moments) > 1
        assert moments == sorted(moments, reverse=order == "-")
        assert all(one["suppression"] for one in people[: len(moments)]), "who was never suppressed comes last"


@pytest.mark.parametrize(
    ("path", "wanted", "number"),
    [
        ("/api/segments", "equals(is_active,true)", 4),
        ("/api/segments", "any(is_active,[false])", 0),
        ("/api/segments", "equals(is_starred,true)", 0),
        ("/api/lists", "any(name,['Newsletter','nothing'])", 1),
        ("/api/profile-bulk-import-jobs", "equals(status,['queued','complete'])", 0),
    ],
)
async def test_groups_and_jobs_are_filtered(call: Any, path: str, wanted: str, number: int) -> None:
    assert len(await found(call, path, wanted)) == number


@pytest.mark.parametrize(
    ("path", "wanted"),
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
        ("/api/campaigns", f"greater-than(scheduled_at,{LONG_AGO})"),
        ("/api/profile-bulk-import-jobs", "equals(status,'cancelled')"),
        ("/api/profiles", f"any({SUPPRESSION}.reason,['UNSUBSCRIBE'])"),
        ("/api/profiles", f"greater-or-equal(created,{LONG_AGO})"),
    ],
)
async def test_what_cannot_be_filtered_on_is_refused(call: Any, path: str, wanted: str) -> None:
    answer = await call("GET", path, params={"filter": wanted})
    assert (answer.status, answer.error["source"]) == (400, {"parameter": "filter"})


@pytest.mark.parametrize("wanted", ["push_token", "_kx"])
async def test_members_are_filtered_by_every_field_they_have(call: Any, wanted: str) -> None:
    group = (await call("GET", "/api/segments")).body["data"][0]["id"]
    condition = f"equals({wanted},'x')" if wanted == "_kx" else f"any({wanted},['x'])"
    for path in ("profiles", "relationships/profiles"):
        assert await found(call, f"/api/segments/{group}/{path}", condition) == []


@pytest.mark.parametrize("path", ["/api/flows", "/api/lists", "/api/segments", "/api/campaigns"])
async def test_lists_come_in_the_order_asked_for(call: Any, path: str) -> None:
    forward, back = [(await call("GET", path, params={"sort": order})).body["data"] for order in ("id", "-id")]
    assert [one["id"] for one in forward] == sorted(one["id"] for one in forward)
    assert forward == back[::-1]


async def test_neighbours_the_account_has_none_of_are_included_as_none(call: Any) -> None:
    for path, include in (
        ("/api/flows", "tags,flow-actions"),
        ("/api/lists", "tags"),
        ("/api/profiles", "push-tokens"),
    ):
        assert (await call("GET", path, params={"include": include})).body["included"] == []


async def test_the_members_of_a_group_are_counted_when_asked_for(call: Any) -> None:
    for kind in ("list", "segment"):
        one = (await call("GET", f"/api/{kind}s")).body["data"][0]["id"]
        params = {f"additional-fields[{kind}]": "profile_count", f"fields[{kind}]": "name,profile_count"}
        shown = (await call("GET", f"/api/{kind}s/{one}", params=params)).body["data"]["attributes"]
        assert (set(shown), shown["profile_count"]) == ({"name", "profile_count"}, 0)


async def test_times_of_groups_metrics_and_memberships_are_whole_seconds(call: Any, profile: Any) -> None:
    await call("POST", "/api/profiles", profile(email="ada@lantern.example"))
    groups = [one for kind in ("lists", "segments") for one in (await call("GET", f"/api/{kind}")).body["data"]]
    joined = [
        member["attributes"]["joined_group_at"]
        for one in groups
        for member in (await call("GET", f"/api/{one['type']}s/{one['id']}/profiles")).body["data"]
    ]
    metrics = (await call("GET", "/api/metrics")).body["data"]
    times = [one["attributes"][name] for one in groups + metrics for name in ("created", "updated")] + joined
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", one) for one in times), times
