"""Reading events, metrics and the account back: filters, order, pages, parts."""

from typing import Any

import pytest

EVENTS = "/api/events"


@pytest.fixture
async def three(call: Any, event: Any) -> None:
    """Three events: of Ada on two metrics, and of Bo."""
    await call("POST", EVENTS, event(unique_id="a", time="2026-11-01T10:00:00Z"))
    await call("POST", EVENTS, event(unique_id="b", time="2026-11-03T10:00:00Z", name="Rated"))
    await call("POST", EVENTS, event(unique_id="c", time="2026-11-02T10:00:00Z", email="bo@lantern.example"))


async def ids(call: Any, **params: str) -> list[str]:
    """The unique ids of the events that a query finds."""
    answer = await call("GET", EVENTS, params=params)
    assert answer.status == 200, answer.body
    return [one["attributes"]["event_properties"]["$event_id"] for one in answer.body["data"]]


async def id_of(call: Any, path: str, name: str, value: str) -> str:
    """The id of the resource with such an attribute."""
    found = (await call("GET", path)).body["data"]
    return next(str(one["id"]) for one in found if one["attributes"][name] == value)


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("datetime", ["a", "c", "b"]),
        ("-datetime", ["b", "c", "a"]),
        ("timestamp", ["a", "c", "b"]),
        ("-timestamp", ["b", "c", "a"]),
    ],
)
async def test_events_come_in_the_order_asked_for(call: Any, order: str, expected: list[str]) -> None:
    assert await ids(call, sort=order) == expected


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("greater-than(datetime,2026-11-02T10:00:00Z)", ["b"]),
        ("greater-or-equal(datetime,2026-11-02T11:00:00+01:00)", ["b", "c"]),
        ("less-than(datetime,2026-11-02T10:00:00Z)", ["a"]),
        ("less-or-equal(datetime,2026-11-02T10:00:00Z)", ["c", "a"]),
        ("greater-than(timestamp,1793613600)", ["b"]),
        ("has(metric),greater-or-equal(datetime,2026-11-02T00:00:00Z),less-than(datetime,2026-11-03T00:00:00Z)", ["c"]),
        ("and(has(metric),has(profile),less-than(datetime,2026-11-02T00:00:00Z))", ["a"]),
        ('equals(profile_id,"nobody")', []),
        ("equals(metric_id,'none')", []),
    ],
)
async def test_events_are_filtered(call: Any, wanted: str, expected: list[str]) -> None:
    assert await ids(call, filter=wanted) == expected


@pytest.mark.usefixtures("three")
async def test_events_are_filtered_by_profile_and_metric(call: Any) -> None:
    ada = await id_of(call, "/api/profiles", "email", "ada@lantern.example")
    placed, rated = [await id_of(call, "/api/metrics", "name", name) for name in ("Placed", "Rated")]
    assert await ids(call, filter=f'equals(profile_id,"{ada}")') == ["b", "a"]
    assert await ids(call, filter=f'equals(profile_id,"{ada}"),equals(metric_id,"{placed}")') == ["a"]
    assert await ids(call, filter=f'equals(metric_id,["{placed}","{rated}"])') == ["b", "c", "a"]


@pytest.mark.parametrize(
    ("path", "wanted"),
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
async def test_a_filter_that_cannot_be_read_is_refused(call: Any, path: str, wanted: str) -> None:
    answer = await call("GET", path, params={"filter": wanted})
    assert (answer.status, answer.error["code"], answer.error["source"]) == (400, "invalid", {"parameter": "filter"})


@pytest.mark.usefixtures("three")
async def test_a_page_that_is_just_full_is_the_last_one(call: Any) -> None:
    links = (await call("GET", EVENTS, params={"page[size]": "3"})).body["links"]
    assert (links["next"], links["prev"]) == (None, None)


@pytest.mark.usefixtures("three")
async def test_next_links_lead_through_every_page_and_end_with_null(call: Any, base: str) -> None:
    found: list[str] = []
    path, params = EVENTS, {"page[size]": "2", "sort": "datetime"}
    while path:
        answer = await call("GET", path, params=params)
        found += [one["attributes"]["event_properties"]["$event_id"] for one in answer.body["data"]]
        path, params = (answer.body["links"]["next"] or "").removeprefix(base), {}
    assert found == ["a", "c", "b"]


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
async def test_a_parameter_out_of_bounds_is_refused(call: Any, path: str, parameter: str, value: str) -> None:
    answer = await call("GET", path, params={parameter: value})
    assert (answer.status, answer.error["source"]) == (400, {"parameter": parameter})


@pytest.mark.usefixtures("three")
async def test_includes_come_once_each_and_fields_thin_out_every_resource(call: Any) -> None:
    params = {
        "include": "metric,profile,attributions",
        "fields[event]": "datetime",
        "fields[metric]": "name",
        "fields[profile]": "email,location.city",
    }
    body = (await call("GET", EVENTS, params=params)).body
    assert [set(one["attributes"]) for one in body["data"]] == [{"datetime"}] * 3
    kinds = sorted((one["type"], sorted(one["attributes"])) for one in body["included"])
    assert kinds == [("metric", ["name"])] * 2 + [("profile", ["email", "location"])] * 2
    assert {str(one["attributes"].get("location")) for one in body["included"]} == {"None", "{'city': None}"}


@pytest.mark.usefixtures("three")
async def test_one_event_is_read_with_its_profile_and_metric(call: Any) -> None:
    first = (await call("GET", EVENTS, params={"sort": "datetime"})).body["data"][0]
    alone = (await call("GET", f"{EVENTS}/{first['id']}", params={"include": "metric"})).body
    assert alone["data"] == first
    for name in ("profile", "metric"):
        related = (await call("GET", f"{EVENTS}/{first['id']}/{name}")).body["data"]
        assert {"type": related["type"], "id": related["id"]} == first["relationships"][name]["data"]
    assert first["attributes"]["timestamp"] == 1793527200
    assert first["attributes"]["datetime"] == "2026-11-01T10:00:00+00:00"


@pytest.mark.usefixtures("three")
async def test_metrics_are_found_by_their_integration(call: Any) -> None:
    async def names(wanted: str) -> set[str]:
        found = (await call("GET", "/api/metrics", params={"filter": wanted})).body["data"]
        return {one["attributes"]["name"] for one in found}

    assert await names('equals(integration.name,"API")') == {"Placed", "Rated"}
    assert await names('equals(integration.name,"Klaviyo")') == set()
    assert await names('equals(integration.category,"API")') == {"Placed", "Rated"}
    rated = await id_of(call, "/api/metrics", "name", "Rated")
    assert (await call("GET", f"/api/metrics/{rated}")).body["data"]["attributes"]["name"] == "Rated"


async def test_the_account_has_its_site_id_as_id_and_public_key(call: Any) -> None:
    answer = await call("GET", "/api/accounts", params={"fields[account]": "public_api_key,timezone"})
    [account] = answer.body["data"]
    assert account["id"] == account["attributes"]["public_api_key"] == answer.headers["Cid"] == "SbxKlv"
    assert set(account["attributes"]) == {"public_api_key", "timezone"}


@pytest.mark.parametrize(
    "path", ["/api/events/x", "/api/events/x/profile", "/api/metrics/x", "/api/profiles/x", "/api/x"]
)
async def test_what_is_not_there_is_not_found(call: Any, path: str) -> None:
    answer = await call("GET", path)
    assert (answer.status, answer.error["code"]) == (404, "not_found")
    assert answer.headers["X-Klaviyo-Req-Id"] == answer.error["id"]
