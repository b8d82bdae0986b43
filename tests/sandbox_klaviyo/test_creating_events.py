"""What the simulated Klaviyo takes as events, and what it makes of them."""

from collections.abc import Callable
from typing import Any

import pytest

EVENTS = "/api/events"
BULK = "/api/event-bulk-create-jobs"
AT = "/data/attributes"
PERSON = f"{AT}/profile/data/attributes"


async def stored(call: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await call("GET", "/sandbox/events")).body
    return found


async def state(call: Any) -> dict[str, Any]:
    found: dict[str, Any] = (await call("GET", "/sandbox/state")).body
    return found


def nested(levels: int) -> dict[str, Any]:
    return {"deeper": nested(levels - 1)} if levels > 1 else {"bottom": 1}


async def test_an_event_is_accepted_with_an_empty_body(call: Any, event: Any) -> None:
    answer = await call("POST", EVENTS, event())
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (202, "", "0")
    assert "Content-Type" not in answer.headers


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"colour": "green"}, f"{AT}/colour"),
        ({"properties": None}, f"{AT}/properties"),
        ({"properties": {str(n): n for n in range(401)}}, f"{AT}/properties"),
        ({"properties": {"a": "x" * 100_001}}, f"{AT}/properties/a"),
        ({"properties": {"a": "é" * 50_001}}, f"{AT}/properties/a"),
        ({"properties": {"a": 2**63}}, f"{AT}/properties/a"),
        ({"properties": {"a": [1] * 4001}}, f"{AT}/properties/a"),
        ({"properties": {"a": nested(11)}}, f"{AT}/properties/a"),
        ({"metric": None}, f"{AT}/metric"),
        ({"metric": "Placed"}, f"{AT}/metric"),
        ({"metric": {"data": {"type": "event", "attributes": {"name": "A"}}}}, f"{AT}/metric/data/type"),
        ({"metric": {"data": {"type": "metric", "attributes": {}}}}, f"{AT}/metric/data/attributes/name"),
        ({"metric": {"data": {"type": "metric", "attributes": {"n": 1}}}}, f"{AT}/metric/data/attributes/n"),
        ({"time": "yesterday"}, f"{AT}/time"),
        ({"time": 1793527200}, f"{AT}/time"),
        ({"time": "2026-11-01 10:00:00+00:00"}, f"{AT}/time"),
        ({"time": "2026-02-30T10:00:00Z"}, f"{AT}/time"),
        ({"time": "1989-12-31T23:59:59Z"}, f"{AT}/time"),
        ({"time": "2999-01-01T00:00:00Z"}, f"{AT}/time"),
        ({"unique_id": ""}, f"{AT}/unique_id"),
        ({"unique_id": "x" * 256}, f"{AT}/unique_id"),
        ({"unique_id": 7}, f"{AT}/unique_id"),
        ({"value": "9.99"}, f"{AT}/value"),
        ({"value": True}, f"{AT}/value"),
        ({"value_currency": 978}, f"{AT}/value_currency"),
        ({"backfill": "yes"}, f"{AT}/backfill"),
        ({"profile": None}, f"{AT}/profile"),
    ],
)
async def test_an_event_that_breaks_a_rule_is_refused_with_a_pointer_to_it(
    call: Any, event: Any, wrong: dict[str, Any], pointer: str
) -> None:
    answer = await call("POST", EVENTS, event(**wrong))
    assert (answer.status, answer.error["code"], answer.error["source"]) == (400, "invalid", {"pointer": pointer})
    assert answer.error["id"] == answer.headers["X-Klaviyo-Req-Id"]
    assert await stored(call) == []


@pytest.mark.parametrize(
    ("attributes", "pointer"),
    [
        ({}, PERSON),
        ({"first_name": "Ada"}, PERSON),
        ({"external_id": 7}, PERSON),
        ({"email": "ada"}, f"{PERSON}/email"),
        ({"email": "ada@@lantern.example"}, f"{PERSON}/email"),
        ({"email": "ada..b@lantern.example"}, f"{PERSON}/email"),
        ({"email": "a" * 84 + "@lantern.example"}, f"{PERSON}/email"),
        ({"phone_number": "202 555 0123"}, f"{PERSON}/phone_number"),
        ({"phone_number": "+1 202 555 0123"}, f"{PERSON}/phone_number"),
        ({"phone_number": "+12"}, f"{PERSON}/phone_number"),
        ({"external_id": "x" * 256}, f"{PERSON}/external_id"),
        ({"external_id": True}, f"{PERSON}/external_id"),
        ({"email": "a@b.example", "first_name": 1}, f"{PERSON}/first_name"),
        ({"email": "a@b.example", "nickname": "A"}, f"{PERSON}/nickname"),
        ({"email": "a@b.example", "location": {"planet": "Mars"}}, f"{PERSON}/location/planet"),
        ({"email": "a@b.example", "location": {"city": []}}, f"{PERSON}/location/city"),
        ({"email": "a@b.example", "properties": []}, f"{PERSON}/properties"),
        ({"email": "a@b.example", "meta": {"wish": 1}}, f"{PERSON}/meta/wish"),
    ],
)
async def test_an_events_profile_that_breaks_a_rule_is_refused_with_a_pointer_to_it(
    call: Any, event: Any, attributes: dict[str, Any], pointer: str
) -> None:
    answer = await call("POST", EVENTS, event(person={"data": {"type": "profile", "attributes": attributes}}))
    assert (answer.status, answer.error["source"]) == (400, {"pointer": pointer})


@pytest.mark.parametrize(
    "right",
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
async def test_an_event_at_the_edge_of_the_rules_is_taken(call: Any, event: Any, right: dict[str, Any]) -> None:
    assert (await call("POST", EVENTS, event(**right))).status == 202
    assert len(await stored(call)) == 1


async def test_a_metrics_name_of_128_characters_is_refused(call: Any, event: Any) -> None:
    answer = await call("POST", EVENTS, event(name="m" * 128))
    assert answer.error["source"] == {"pointer": f"{AT}/metric/data/attributes/name"}


async def test_an_unknown_attribute_is_named_in_the_vendors_words(call: Any, event: Any) -> None:
    answer = await call("POST", EVENTS, event(x=1))
    assert answer.error["detail"] == "'x' is not a valid field for the resource 'event'."


async def test_an_invalid_phone_beside_an_email_is_left_out_and_said_so(call: Any, event: Any) -> None:
    person = {"data": {"type": "profile", "attributes": {"email": "ada@lantern.example", "phone_number": "0815"}}}
    answer = await call("POST", EVENTS, event(person=person))
    assert (answer.status, answer.headers["X-Klaviyo-Partial-Failure"]) == (202, "phone_number")
    assert [one["phone_number"] for one in await stored(call)] == [None]


async def test_the_time_is_cut_to_the_second_and_told_in_utc(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event(time="2026-11-01T12:00:00.999+02:00"))
    assert [one["datetime"] for one in await stored(call)] == ["2026-11-01T10:00:00Z"]


async def test_the_first_event_of_a_unique_id_profile_and_metric_is_kept(call: Any, event: Any) -> None:
    for colour in ("green", "red"):
        await call("POST", EVENTS, event(unique_id="u", properties={"colour": colour}))
    await call("POST", EVENTS, event(unique_id="u", name="Other"))
    await call("POST", EVENTS, event(unique_id="u", email="bo@lantern.example"))
    found = await stored(call)
    assert [one["properties"]["colour"] for one in found] == ["green"] * 3
    assert (await state(call))["dropped_duplicates"] == 1


async def test_without_a_unique_id_one_event_a_second_is_kept(call: Any, event: Any) -> None:
    for time in ("2026-11-01T10:00:00.1Z", "2026-11-01T10:00:00.9Z", "2026-11-01T10:00:01Z"):
        await call("POST", EVENTS, event(time=time))
    assert len(await stored(call)) == 2


async def test_zero_null_and_empty_text_are_dropped_from_properties_but_no_booleans(call: Any, event: Any) -> None:
    sent: dict[str, Any] = {
        "zero": 0,
        "nil": 0.0,
        "null": None,
        "empty": "",
        "no": False,
        "yes": True,
        "text": "0",
        "list": [],
    }
    await call("POST", EVENTS, event(properties=sent))
    assert [one["properties"] for one in await stored(call)] == [{"no": False, "yes": True, "text": "0", "list": []}]


async def test_once_a_metric_had_a_value_later_events_without_one_get_0(call: Any, event: Any) -> None:
    for unique_id, value in (("a", None), ("b", 5), ("c", None)):
        await call("POST", EVENTS, event(unique_id=unique_id, value=value))
    assert [one["properties"].get("$value") for one in await stored(call)] == [None, 5.0, 0]


@pytest.mark.parametrize("domain", ["example.com", "EXAMPLE.org", "example.net", "test.com"])
async def test_an_event_for_a_test_address_is_accepted_and_lost(call: Any, event: Any, domain: str) -> None:
    assert (await call("POST", EVENTS, event(email=f"ada@{domain}"))).status == 202
    assert await stored(call) == []
    assert (await state(call))["dropped_test_addresses"] == 1


async def test_an_event_for_a_profile_id_that_does_not_exist_is_accepted_and_lost(call: Any, event: Any) -> None:
    person = {"data": {"type": "profile", "id": "01NOBODY", "attributes": {"email": "ada@lantern.example"}}}
    assert (await call("POST", EVENTS, event(person=person))).status == 202
    assert (await state(call))["dropped_unknown_profiles"] == 1
    assert (await state(call))["profiles"] == 0


async def test_an_event_brings_its_profile_up_to_date(call: Any, event: Any) -> None:
    await call("POST", EVENTS, event(unique_id="a"))
    person = {"type": "profile", "attributes": {"email": "ADA@lantern.example", "first_name": "Ada"}}
    await call("POST", EVENTS, event(unique_id="b", person={"data": person}))
    [found] = (await call("GET", "/api/profiles")).body["data"]
    assert found["attributes"]["first_name"] == "Ada"
    assert found["attributes"]["last_event_date"] == "2026-11-01T10:00:00+00:00"


async def test_an_event_that_names_two_profiles_makes_them_one_for_good(call: Any, event: Any) -> None:
    def person(**attributes: str) -> dict[str, Any]:
        return {"data": {"type": "profile", "attributes": attributes}}

    await call("POST", EVENTS, event(person=person(phone_number="+12025550123")))
    await call("POST", EVENTS, event())
    await call(
        "POST", EVENTS, event(unique_id="both", person=person(email="ada@lantern.example", phone_number="+12025550123"))
    )
    [found] = (await call("GET", "/api/profiles")).body["data"]
    identifiers = found["attributes"]["email"], found["attributes"]["phone_number"]
    assert identifiers == ("ada@lantern.example", "+12025550123")
    events = await call("GET", EVENTS, params={"filter": f'equals(profile_id,"{found["id"]}")'})
    assert len(events.body["data"]) == 3


async def test_an_event_told_of_a_merged_person_again_is_still_the_same(call: Any, event: Any) -> None:
    def person(**attributes: str) -> dict[str, Any]:
        return {"data": {"type": "profile", "attributes": attributes}}

    both = person(email="ada@lantern.example", phone_number="+12025550123")
    await call("POST", EVENTS, event(unique_id="a", person=person(phone_number="+12025550123")))
    await call("POST", EVENTS, event(unique_id="b"))
    await call("POST", EVENTS, event(unique_id="c", person=both))
    await call("POST", EVENTS, event(unique_id="a"))
    assert (await state(call))["dropped_duplicates"] == 1


@pytest.mark.parametrize("place", ["attributes", "data"])
async def test_the_patches_of_a_profile_are_taken_in_both_places(call: Any, event: Any, place: str) -> None:
    meta = {"patch_properties": {"append": {"skus": "7"}}}
    attributes: dict[str, Any] = {"email": "ada@lantern.example"} | ({"meta": meta} if place == "attributes" else {})
    data = {"type": "profile", "attributes": attributes} | ({"meta": meta} if place == "data" else {})
    assert (await call("POST", EVENTS, event(person={"data": data}))).status == 202
    [found] = (await call("GET", "/api/profiles")).body["data"]
    assert found["attributes"]["properties"] == {"skus": ["7"]}


async def test_a_profile_of_more_than_95_kb_inside_an_event_is_refused(call: Any, event: Any) -> None:
    attributes = {"email": "ada@lantern.example", "properties": {"story": "x" * 95_000}}
    answer = await call("POST", EVENTS, event(person={"data": {"type": "profile", "attributes": attributes}}))
    assert answer.status == 413


async def test_many_events_are_taken_with_their_backfill_flag(call: Any, event: Any, bulk: Any) -> None:
    body = bulk(event(unique_id="a"), event(unique_id="b", backfill=True), event(unique_id="c"))
    body["data"]["attributes"]["events-bulk-create"]["data"][2]["attributes"]["backfill"] = True
    answer = await call("POST", BULK, body)
    assert (answer.status, answer.body) == (202, "")
    found = await stored(call)
    assert [one["backfill"] for one in found] == [False, True, True]
    assert {one["request"] for one in found} == {"bulk"}


@pytest.mark.parametrize(
    ("spoil", "pointer"),
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
async def test_one_bad_event_fails_the_whole_request_and_is_pointed_at(
    call: Any, event: Any, bulk: Any, spoil: Callable[[Any], None], pointer: str
) -> None:
    body = bulk(event(unique_id="a"), event(unique_id="b", email="bo@lantern.example"))
    spoil(body["data"]["attributes"]["events-bulk-create"]["data"][1]["attributes"])
    answer = await call("POST", BULK, body)
    assert answer.status == 400
    assert answer.error["source"]["pointer"] == f"{AT}/events-bulk-create/data/1{pointer}"
    assert await stored(call) == []


async def test_a_request_takes_1000_events_and_not_one_more(call: Any, event: Any, bulk: Any) -> None:
    many = [event(unique_id=str(number)) for number in range(1001)]
    assert (await call("POST", BULK, bulk(*many))).status == 400
    assert (await call("POST", BULK, bulk(*many[:1000]))).status == 202
    assert len(await stored(call)) == 1000


async def test_a_unique_id_twice_for_one_profile_and_metric_fails_the_request(call: Any, event: Any, bulk: Any) -> None:
    both = {"email": "ADA@lantern.example", "phone_number": "+12025550123"}
    again = event(unique_id="u", person={"data": {"type": "profile", "attributes": both}})
    assert (await call("POST", BULK, bulk(event(unique_id="u"), again))).status == 400
    different = bulk(
        event(unique_id="u"), event(unique_id="u", name="Other"), event(unique_id="u", email="bo@b.example")
    )
    assert (await call("POST", BULK, different)).status == 202


async def test_a_stored_unique_id_in_a_later_request_is_dropped_without_a_word(
    call: Any, event: Any, bulk: Any
) -> None:
    await call("POST", EVENTS, event(unique_id="u"))
    assert (await call("POST", BULK, bulk(event(unique_id="u"), event(unique_id="v")))).status == 202
    assert [one["unique_id"] for one in await stored(call)] == ["u", "v"]


@pytest.mark.parametrize("path", [EVENTS, BULK, f"{EVENTS}/"])
@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"{}", b'{"data": 1}', b'{"data": {"type": "metric"}}'])
async def test_a_body_that_is_no_such_document_is_refused(call: Any, path: str, raw: bytes) -> None:
    answer = await call("POST", path, raw)
    assert (answer.status, answer.error["code"]) == (400, "invalid")


@pytest.mark.parametrize("path", [EVENTS, BULK])
@pytest.mark.parametrize("size", [5_000_100, 5_600_000])
async def test_a_body_of_more_than_5_mb_is_refused(call: Any, path: str, size: int) -> None:
    answer = await call("POST", path, b'{"data": "' + b"x" * size + b'"}')
    assert answer.status == 413
    assert answer.headers["X-Klaviyo-Req-Id"] == answer.error["id"]
