"""Reading of events, metrics and the account: filters, sorting, pages, includes, sparse fields."""

from typing import Any

import pytest

EVENTS = "/api/events"


@pytest.fixture
async def three_events(call: Any, event: Any) -> None:
    """Create two events of Ada with different metrics, and one of Bo."""
    await call("POST", EVENTS, event(unique_id="a", time="2026-11-01T10:00:00Z"))
    await call("POST", EVENTS, event(unique_id="b", time="2026-11-03T10:00:00Z", name="Rated"))
    await call("POST", EVENTS, event(unique_id="c", time="2026-11-02T10:00:00Z", email="bo@lantern.example"))


async def ids(call: Any, **params: str) -> list[str]:
    """Return the unique ids of the events that match a query."""
    response = await call("GET", EVENTS, params=params)
    assert response.status == 200, response.body
    return [item["attributes"]["event_properties"]["$event_id"] for item in response.body["data"]]


async def id_of(call: Any, path: str, name: str, value: str) -> str:
    """Return the id of the resource with this attribute value."""
    resources = (await call("GET", path)).body["data"]
    return next(str(resource["id"]) for resource in resources if resource["attributes"][name] == value)


@pytest.mark.usefixtures("three_events")
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("datetime", ["a", "c", "b"]),
        ("-datetime", ["b", "c", "a"]),
        ("timestamp", ["a", "c", "b"]),
        ("-timestamp", ["b", "c", "a"]),
    ],
)
async def test_events_are_sorted(call: Any, order: str, expected: list[str]) -> None:
    assert await ids(call, sort=order) == expected


@pytest.mark.usefixtures("three_events")
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("greater-than(datetime,2026-11-02T10:00:00Z)", ["b"]),
        ("greater-or-equal(datetime,2026-11-02T11:00:00+01:00)", ["b", "c"]),
        ("less-than(datetime,2026-11-02T10:00:00Z)", ["a"]),
        ("less-or-equal(datetime,2026-11-02T10:00:00Z)", ["c", "a"]),
        ("greater-than(timestamp,1793613600)", ["b"]),
        ("has(metric),greater-or-equal(datetime,2026-11-02T00:00:00Z),less-than(datetime,2026-11-03T00:00:00Z)", ["c"]),
        ("and(has(metric),has(profile),less-than(datetime,2026-11-02T00:00:00Z))", ["a"]),
        ('equals(profile_id,"unknown")', []),
        ("equals(metric_id,'none')", []),
    ],
)
async def test_events_are_filtered(call: Any, condition: str, expected: list[str]) -> None:
    assert await ids(call, filter=condition) == expected


@pytest.mark.usefixtures("three_events")
async def test_events_are_filtered_by_profile_and_metric(call: Any) -> None:
    ada = await id_of(call, "/api/profiles", "email", "ada@lantern.example")
    placed, rated = [await id_of(call, "/api/metrics", "name", name) for name in ("Placed", "Rated")]
    assert await ids(call, filter=f'equals(profile_id,"{ada}")') == ["b", "a"]
    assert await ids(call, filter=f'equals(profile_id,"{ada}"),equals(metric_id,"{placed}")') == ["a"]
    assert await ids(call, filter=f'equals(metric_id,["{placed}","{rated}"])') == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("path", "condition"),
    [
        (EVENTS, "equals(colour,'red')"),
        (EVENTS, "any(metric_id,['a'])"),
        (EVENTS, "equals(profile_id,['a','b'])"),
        (EVENTS, "equals(metric_id,bare)"),
        (EVENTS, "greater-than(datetime,'2026-11-02T10:00:00Z')"),
        (EVENTS, "greater-than(datetime,2026-11-02T10:00:00)"),
        (EVENTS, "greater-than(datetime,1793613600)"),
        (EVENTS, "greater-than(timestamp,soon)"),
        (EVENTS, "or(has(metric),has(profile))"),
        (EVENTS, "equals(metric_id,'a'"),
        (EVENTS, "equals(metric_id,'a'))"),
        (EVENTS, "equals(metric_id,'a)"),
        (EVENTS, "equals(metric_id)"),
        (EVENTS, "has(metric),"),
        ("/api/metrics", "equals(name,'Placed')"),
        ("/api/profiles", "contains(email,'a')"),
        ("/api/profiles", "any(email,'a@b.example')"),
    ],
)
async def test_an_invalid_filter_gets_400(call: Any, path: str, condition: str) -> None:
    response = await call("GET", path, params={"filter": condition})
    assert (response.status, response.error["code"], response.error["source"]) == (
        400,
        "invalid",
        {"parameter": "filter"},
    )


@pytest.mark.usefixtures("three_events")
async def test_a_full_last_page_has_no_next_link(call: Any) -> None:
    links = (await call("GET", EVENTS, params={"page[size]": "3"})).body["links"]
    assert (links["next"], links["prev"]) == (None, None)


@pytest.mark.usefixtures("three_events")
async def test_next_links_lead_through_every_page_and_end_with_null(call: Any, base: str) -> None:
    event_ids: list[str] = []
    path, params = EVENTS, {"page[size]": "2", "sort": "datetime"}
    while path:
        response = await call("GET", path, params=params)
        event_ids += [item["attributes"]["event_properties"]["$event_id"] for item in response.body["data"]]
        path, params = (response.body["links"]["next"] or "").removeprefix(base), {}
    assert event_ids == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("path", "parameter", "value"),
    [
        (EVENTS, "page[size]", "1001"),
        (EVENTS, "page[size]", "0"),
        (EVENTS, "page[size]", "ten"),
        (EVENTS, "page[cursor]", "nonsense"),
        (EVENTS, "sort", "colour"),
        (EVENTS, "include", "lists"),
        (EVENTS, "fields[event]", "colour"),
        (EVENTS, "fields[profile]", "email,colour"),
        ("/api/profiles", "page[size]", "101"),
        ("/api/accounts", "fields[account]", "colour"),
    ],
)
async def test_an_invalid_parameter_value_gets_400(call: Any, path: str, parameter: str, value: str) -> None:
    response = await call("GET", path, params={parameter: value})
    assert (response.status, response.error["source"]) == (400, {"parameter": parameter})


@pytest.mark.usefixtures("three_events")
async def test_included_resources_are_unique_and_have_sparse_fields(call: Any) -> None:
    params = {
        "include": "metric,profile,attributions",
        "fields[event]": "datetime",
        "fields[metric]": "name",
        "fields[profile]": "email,location.city",
    }
    body = (await call("GET", EVENTS, params=params)).body
    assert [set(item["attributes"]) for item in body["data"]] == [{"datetime"}] * 3
    kinds = sorted((item["type"], sorted(item["attributes"])) for item in body["included"])
    assert kinds == [("metric", ["name"])] * 2 + [("profile", ["email", "location"])] * 2
    assert {str(item["attributes"].get("location")) for item in body["included"]} == {"None", "{'city': None}"}


@pytest.mark.usefixtures("three_events")
async def test_an_event_is_read_with_its_profile_and_metric(call: Any) -> None:
    first = (await call("GET", EVENTS, params={"sort": "datetime"})).body["data"][0]
    by_id = (await call("GET", f"{EVENTS}/{first['id']}", params={"include": "metric"})).body
    assert by_id["data"] == first
    for name in ("profile", "metric"):
        related = (await call("GET", f"{EVENTS}/{first['id']}/{name}")).body["data"]
        assert {"type": related["type"], "id": related["id"]} == first["relationships"][name]["data"]
    assert first["attributes"]["timestamp"] == 1793527200
    assert first["attributes"]["datetime"] == "2026-11-01T10:00:00+00:00"


@pytest.mark.usefixtures("three_events")
async def test_metrics_are_filtered_by_integration(call: Any) -> None:
    async def names(condition: str) -> set[str]:
        metrics = (await call("GET", "/api/metrics", params={"filter": condition})).body["data"]
        return {metric["attributes"]["name"] for metric in metrics}

    assert await names('equals(integration.name,"API")') == {"Placed", "Rated"}
    assert await names('equals(integration.name,"Klaviyo")') == set()
    assert await names('equals(integration.category,"API")') == {"Placed", "Rated"}
    rated = await id_of(call, "/api/metrics", "name", "Rated")
    assert (await call("GET", f"/api/metrics/{rated}")).body["data"]["attributes"]["name"] == "Rated"


async def test_the_account_has_its_site_id_as_id_and_public_key(call: Any) -> None:
    response = await call("GET", "/api/accounts", params={"fields[account]": "public_api_key,timezone"})
    [account] = response.body["data"]
    assert account["id"] == account["attributes"]["public_api_key"] == response.headers["Cid"] == "SbxKlv"
    assert set(account["attributes"]) == {"public_api_key", "timezone"}


@pytest.mark.parametrize(
    "path", ["/api/events/x", "/api/events/x/profile", "/api/metrics/x", "/api/profiles/x", "/api/x"]
)
async def test_a_missing_resource_gets_404(call: Any, path: str) -> None:
    response = await call("GET", path)
    assert (response.status, response.error["code"]) == (404, "not_found")
    assert response.headers["X-Klaviyo-Req-Id"] == response.error["id"]
