"""Creation of events: validation, deduplication, stored values, profiles."""

from collections.abc import Callable
from typing import Any

import pytest

EVENTS = "/api/events"
BULK = "/api/event-bulk-create-jobs"
ATTRIBUTES = "/data/attributes"
PROFILE_ATTRIBUTES = f"{ATTRIBUTES}/profile/data/attributes"


async def stored_events(call: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await call("GET", "/sandbox/events")).body
    return rows


async def get_state(call: Any) -> dict[str, Any]:
    state: dict[str, Any] = (await call("GET", "/sandbox/state")).body
    return state


def nested(levels: int) -> dict[str, Any]:
    return {"deeper": nested(levels - 1)} if levels > 1 else {"bottom": 1}


async def test_an_event_is_accepted_with_an_empty_body(call: Any, event: Any) -> None:
    response = await call("POST", EVENTS, event())
    assert (response.status, response.body, response.headers["Content-Length"]) == (202, "", "0")
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({"colour": "green"}, f"{ATTRIBUTES}/colour"),
        ({"properties": None}, f"{ATTRIBUTES}/properties"),
        ({"properties": {str(n): n for n in range(401)}}, f"{ATTRIBUTES}/properties"),
        ({"properties": {"a": "x" * 100_001}}, f"{ATTRIBUTES}/properties/a"),
        ({"properties": {"a": "é" * 50_001}}, f"{ATTRIBUTES}/properties/a"),
        ({"properties": {"a": 2**63}}, f"{ATTRIBUTES}/properties/a"),
        ({"properties": {"a": [1] * 4001}}, f"{ATTRIBUTES}/properties/a"),
        ({"properties": {"a": nested(11)}}, f"{ATTRIBUTES}/properties/a"),
        ({"metric": None}, f"{ATTRIBUTES}/metric"),
        ({"metric": "Placed"}, f"{ATTRIBUTES}/metric"),
        ({"metric": {"data": {"type": "event", "attributes": {"name": "A"}}}}, f"{ATTRIBUTES}/metric/data/type"),
        ({"metric": {"data": {"type": "metric", "attributes": {}}}}, f"{ATTRIBUTES}/metric/data/attributes/name"),
        ({"metric": {"data": {"type": "metric", "attributes": {"n": 1}}}}, f"{ATTRIBUTES}/metric/data/attributes/n"),
        ({"time": "yesterday"}, f"{ATTRIBUTES}/time"),
        ({"time": 1793527200}, f"{ATTRIBUTES}/time"),
        ({"time": "2026-11-01 10:00:00+00:00"}, f"{ATTRIBUTES}/time"),
        ({"time": "2026-02-30T10:00:00Z"}, f"{ATTRIBUTES}/time"),
        ({"time": "1989-12-31T23:59:59Z"}, f"{ATTRIBUTES}/time"),
        ({"time": "2999-01-01T00:00:00Z"}, f"{ATTRIBUTES}/time"),
        ({"unique_id": ""}, f"{ATTRIBUTES}/unique_id"),
        ({"unique_id": "x" * 256}, f"{ATTRIBUTES}/unique_id"),
        ({"unique_id": 7}, f"{ATTRIBUTES}/unique_id"),
        ({"value": "9.99"}, f"{ATTRIBUTES}/value"),
        ({"value": True}, f"{ATTRIBUTES}/value"),
        ({"value_currency": 978}, f"{ATTRIBUTES}/value_currency"),
        ({"backfill": "yes"}, f"{ATTRIBUTES}/backfill"),
        ({"profile": None}, f"{ATTRIBUTES}/profile"),
    ],
)
async def test_an_invalid_event_gets_an_error_with_a_pointer(
    call: Any, event: Any, attributes: dict[str, Any], pointer: str
) -> None:
    response = await call("POST", EVENTS, event(**attributes))
    assert (response.status, response.error["code"], response.error["source"]) == (400, "invalid", {"pointer": pointer})
    assert response.error["id"] == response.headers["X-Klaviyo-Req-Id"]
    assert await stored_events(call) == []


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({}, PROFILE_ATTRIBUTES),
        ({"first_name": "Ada"}, PROFILE_ATTRIBUTES),
        ({"external_id": 7}, PROFILE_ATTRIBUTES),
        ({"email": "ada"}, f"{PROFILE_ATTRIBUTES}/email"),
        ({"email": "ada@@lantern.example"}, f"{PROFILE_ATTRIBUTES}/email"),
        ({"email": "ada..b@lantern.example"}, f"{PROFILE_ATTRIBUTES}/email"),
        ({"email": "a" * 84 + "@lantern.example"}, f"{PROFILE_ATTRIBUTES}/email"),
        ({"phone_number": "202 555 0123"}, f"{PROFILE_ATTRIBUTES}/phone_number"),
        ({"phone_number": "+1 202 555 0123"}, f"{PROFILE_ATTRIBUTES}/phone_number"),
        ({"phone_number": "+12"}, f"{PROFILE_ATTRIBUTES}/phone_number"),
        ({"external_id": "x" * 256}, f"{PROFILE_ATTRIBUTES}/external_id"),
        ({"external_id": True}, f"{PROFILE_ATTRIBUTES}/external_id"),
        ({"email": "a@b.example", "first_name": 1}, f"{PROFILE_ATTRIBUTES}/first_name"),
        ({"email": "a@b.example", "nickname": "A"}, f"{PROFILE_ATTRIBUTES}/nickname"),
        ({"email": "a@b.example", "location": {"planet": "Mars"}}, f"{PROFILE_ATTRIBUTES}/location/planet"),
        ({"email": "a@b.example", "location": {"city": []}}, f"{PROFILE_ATTRIBUTES}/location/city"),
        ({"email": "a@b.example", "properties": []}, f"{PROFILE_ATTRIBUTES}/properties"),
        ({"email": "a@b.example", "meta": {"unknown": 1}}, f"{PROFILE_ATTRIBUTES}/meta/unknown"),
    ],
)
async def test_an_invalid_profile_of_an_event_gets_an_error_with_a_pointer(
    call: Any, event: Any, attributes: dict[str, Any], pointer: str
) -> None:
    response = await call("POST", EVENTS, event(profile={"data": {"type": "profile", "attributes": attributes}}))
    assert (response.status, response.error["source"]) == (400, {"pointer": pointer})


@pytest.mark.parametrize(
    "attributes",
    [
        {"metric": {"data": {"type": "metric", "attributes": {"name": "m" * 127, "service": "api"}}}},
        {"properties": {str(n): n for n in range(400)}},
        {"properties": {"a": nested(10), "b": "x" * 100_000, "c": -(2**63)}},
        {"properties": {}},
        {"unique_id": "x" * 255},
        {"time": "1990-01-01T00:00:01Z", "value": 9.99, "value_currency": "EUR", "backfill": True},
        {"time": None, "value": None, "unique_id": None, "backfill": None},
    ],
)
async def test_an_event_at_the_limits_is_accepted(call: Any, event: Any, attributes: dict[str, Any]) -> None:
    assert (await call("POST", EVENTS, event(**attributes))).status == 202
    assert len(await stored_events(call)) == 1


async def test_a_metric_name_of_128_characters_is_rejected(call: Any, event: Any) -> None:
    response = await call("POST", EVENTS, event(name="m" * 128))
    assert response.error["source"] == {"pointer": f"{ATTRIBUTES}/metric/data/attributes/name"}


async def test_an_unknown_attribute_has_the_vendors_error_message(call: Any, event: Any) -> None:
    response = await call("POST", EVENTS, event(x=1))
    assert response.error["detail"] == "'x' is not a valid field for the resource 'event'."


async def test_an_invalid_phone_with_an_email_is_dropped_with_a_header(call: Any, event: Any) -> None:
    profile_data = {"data": {"type": "profile", "attributes": {"email": "ada@lantern.example", "phone_number": "0815"}}}
    response = await call("POST", EVENTS, event(profile=profile_data))
    assert (response.status, response.headers["X-Klaviyo-Partial-Failure"]) == (202, "phone_number")
    assert [row["phone_number"] for row in await stored_events(call)] == [None]


async def test_the_time_is_truncated_to_seconds_in_utc(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event(time="2026-11-01T12:00:00.999+02:00"))
    assert [row["datetime"] for row in await stored_events(call)] == ["2026-11-01T10:00:00Z"]


async def test_the_first_event_of_a_unique_id_profile_and_metric_is_kept(call: Any, event: Any) -> None:
    for colour in ("green", "red"):
        await call("POST", EVENTS, event(unique_id="u", properties={"colour": colour}))
    await call("POST", EVENTS, event(unique_id="u", name="Other"))
    await call("POST", EVENTS, event(unique_id="u", email="bo@lantern.example"))
    rows = await stored_events(call)
    assert [row["properties"]["colour"] for row in rows] == ["green"] * 3
    assert (await get_state(call))["dropped_duplicates"] == 1


async def test_without_a_unique_id_one_event_a_second_is_kept(call: Any, event: Any) -> None:
    for time in ("2026-11-01T10:00:00.1Z", "2026-11-01T10:00:00.9Z", "2026-11-01T10:00:01Z"):
        await call("POST", EVENTS, event(time=time))
    assert len(await stored_events(call)) == 2


async def test_zero_null_and_empty_text_are_dropped_from_properties_but_not_booleans(call: Any, event: Any) -> None:
    properties: dict[str, Any] = {
        "zero": 0,
        "nil": 0.0,
        "null": None,
        "empty": "",
        "no": False,
        "yes": True,
        "text": "0",
        "list": [],
    }
    await call("POST", EVENTS, event(properties=properties))
    assert [row["properties"] for row in await stored_events(call)] == [
        {"no": False, "yes": True, "text": "0", "list": []}
    ]


async def test_once_a_metric_had_a_value_later_events_without_one_get_0(call: Any, event: Any) -> None:
    for unique_id, value in (("a", None), ("b", 5), ("c", None)):
        await call("POST", EVENTS, event(unique_id=unique_id, value=value))
    assert [row["properties"].get("$value") for row in await stored_events(call)] == [None, 5.0, 0]


@pytest.mark.parametrize("domain", ["example.com", "EXAMPLE.org", "example.net", "test.com"])
async def test_an_event_for_a_test_address_is_accepted_and_dropped(call: Any, event: Any, domain: str) -> None:
    assert (await call("POST", EVENTS, event(email=f"ada@{domain}"))).status == 202
    assert await stored_events(call) == []
    assert (await get_state(call))["dropped_test_addresses"] == 1


async def test_an_event_for_an_unknown_profile_id_is_accepted_and_dropped(call: Any, event: Any) -> None:
    profile_data = {"data": {"type": "profile", "id": "01NOBODY", "attributes": {"email": "ada@lantern.example"}}}
    assert (await call("POST", EVENTS, event(profile=profile_data))).status == 202
    assert (await get_state(call))["dropped_unknown_profiles"] == 1
    assert (await get_state(call))["profiles"] == 0


async def test_an_event_updates_its_profile(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event(unique_id="a"))
    profile_resource = {"type": "profile", "attributes": {"email": "ADA@lantern.example", "first_name": "Ada"}}
    await call("POST", EVENTS, event(unique_id="b", profile={"data": profile_resource}))
    [stored_profile] = (await call("GET", "/api/profiles")).body["data"]
    assert stored_profile["attributes"]["first_name"] == "Ada"
    assert stored_profile["attributes"]["last_event_date"] == "2026-11-01T10:00:00+00:00"


async def test_an_event_that_identifies_two_profiles_merges_them(call: Any, event: Any) -> None:
    def profile_data(**attributes: str) -> dict[str, Any]:
        return {"data": {"type": "profile", "attributes": attributes}}

    await call("POST", EVENTS, event(profile=profile_data(phone_number="+12025550123")))
    await call("POST", EVENTS, event())
    await call(
        "POST",
        EVENTS,
        event(unique_id="both", profile=profile_data(email="ada@lantern.example", phone_number="+12025550123")),
    )
    [stored_profile] = (await call("GET", "/api/profiles")).body["data"]
    identifiers = stored_profile["attributes"]["email"], stored_profile["attributes"]["phone_number"]
    assert identifiers == ("ada@lantern.example", "+12025550123")
    events = await call("GET", EVENTS, params={"filter": f'equals(profile_id,"{stored_profile["id"]}")'})
    assert len(events.body["data"]) == 3


async def test_an_event_of_a_merged_profile_is_still_a_duplicate(call: Any, event: Any) -> None:
    def profile_data(**attributes: str) -> dict[str, Any]:
        return {"data": {"type": "profile", "attributes": attributes}}

    both = profile_data(email="ada@lantern.example", phone_number="+12025550123")
    await call("POST", EVENTS, event(unique_id="a", profile=profile_data(phone_number="+12025550123")))
    await call("POST", EVENTS, event(unique_id="b"))
    await call("POST", EVENTS, event(unique_id="c", profile=both))
    await call("POST", EVENTS, event(unique_id="a"))
    assert (await get_state(call))["dropped_duplicates"] == 1


@pytest.mark.parametrize("place", ["attributes", "data"])
async def test_profile_patches_are_accepted_in_both_places(call: Any, event: Any, place: str) -> None:
    meta = {"patch_properties": {"append": {"skus": "7"}}}
    attributes: dict[str, Any] = {"email": "ada@lantern.example"} | ({"meta": meta} if place == "attributes" else {})
    data = {"type": "profile", "attributes": attributes} | ({"meta": meta} if place == "data" else {})
    assert (await call("POST", EVENTS, event(profile={"data": data}))).status == 202
    [stored_profile] = (await call("GET", "/api/profiles")).body["data"]
    assert stored_profile["attributes"]["properties"] == {"skus": ["7"]}


async def test_an_event_profile_over_95_kb_gets_413(call: Any, event: Any) -> None:
    attributes = {"email": "ada@lantern.example", "properties": {"story": "x" * 95_000}}
    response = await call("POST", EVENTS, event(profile={"data": {"type": "profile", "attributes": attributes}}))
    assert response.status == 413


async def test_bulk_events_have_their_backfill_flag(call: Any, event: Any, bulk: Any) -> None:
    body = bulk(event(unique_id="a"), event(unique_id="b", backfill=True), event(unique_id="c"))
    body["data"]["attributes"]["events-bulk-create"]["data"][2]["attributes"]["backfill"] = True
    response = await call("POST", BULK, body)
    assert (response.status, response.body) == (202, "")
    rows = await stored_events(call)
    assert [row["backfill"] for row in rows] == [False, True, True]
    assert {row["request"] for row in rows} == {"bulk"}


@pytest.mark.parametrize(
    ("invalidate", "pointer"),
    [
        (lambda entry: entry["profile"]["data"]["attributes"].update(email="bad"), "/attributes/email"),
        (
            lambda entry: entry["events"]["data"][0]["attributes"].update(value="1"),
            "/attributes/events/data/0/attributes/value",
        ),
        (lambda entry: entry["events"]["data"][0].update(type="metric"), "/attributes/events/data/0/type"),
        (
            lambda entry: entry["events"]["data"][0]["attributes"].update(profile={}),
            "/attributes/events/data/0/attributes/profile",
        ),
        (lambda entry: entry.update(backfill=1), "/attributes/backfill"),
        (lambda entry: entry.update(events={"data": []}), "/attributes/events/data"),
        (lambda entry: entry.update(colour="red"), "/attributes/colour"),
    ],
)
async def test_one_invalid_event_fails_the_request_with_a_pointer(
    call: Any, event: Any, bulk: Any, invalidate: Callable[[Any], None], pointer: str
) -> None:
    body = bulk(event(unique_id="a"), event(unique_id="b", email="bo@lantern.example"))
    invalidate(body["data"]["attributes"]["events-bulk-create"]["data"][1]["attributes"])
    response = await call("POST", BULK, body)
    assert response.status == 400
    assert response.error["source"]["pointer"] == f"{ATTRIBUTES}/events-bulk-create/data/1{pointer}"
    assert await stored_events(call) == []


async def test_a_request_has_at_most_1000_events(call: Any, event: Any, bulk: Any) -> None:
    events = [event(unique_id=str(number)) for number in range(1001)]
    assert (await call("POST", BULK, bulk(*events))).status == 400
    assert (await call("POST", BULK, bulk(*events[:1000]))).status == 202
    assert len(await stored_events(call)) == 1000


async def test_a_duplicate_unique_id_within_a_request_fails_it(call: Any, event: Any, bulk: Any) -> None:
    both = {"email": "ADA@lantern.example", "phone_number": "+12025550123"}
    duplicate = event(unique_id="u", profile={"data": {"type": "profile", "attributes": both}})
    assert (await call("POST", BULK, bulk(event(unique_id="u"), duplicate))).status == 400
    different = bulk(
        event(unique_id="u"), event(unique_id="u", name="Other"), event(unique_id="u", email="bo@b.example")
    )
    assert (await call("POST", BULK, different)).status == 202


async def test_a_stored_unique_id_in_a_later_request_is_dropped_silently(call: Any, event: Any, bulk: Any) -> None:
    await call("POST", EVENTS, event(unique_id="u"))
    assert (await call("POST", BULK, bulk(event(unique_id="u"), event(unique_id="v")))).status == 202
    assert [row["unique_id"] for row in await stored_events(call)] == ["u", "v"]


@pytest.mark.parametrize("path", [EVENTS, BULK, f"{EVENTS}/"])
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"{}", b'{"data": 1}', b'{"data": {"type": "metric"}}'])
async def test_an_invalid_document_gets_400(call: Any, path: str, raw: bytes) -> None:
    response = await call("POST", path, raw)
    assert (response.status, response.error["code"]) == (400, "invalid")


@pytest.mark.parametrize("path", [EVENTS, BULK])
@pytest.mark.parametrize("size", [5_000_100, 5_600_000])
async def test_a_body_over_5_mb_gets_413(call: Any, path: str, size: int) -> None:
    response = await call("POST", path, b'{"data": "' + b"x" * size + b'"}')
    assert response.status == 413
    assert response.headers["X-Klaviyo-Req-Id"] == response.error["id"]
