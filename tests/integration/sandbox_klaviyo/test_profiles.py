"""Profiles: create, update, import, filter."""

from typing import Any

import pytest

PROFILES = "/api/profiles"
IMPORT = "/api/profile-import"
EMAIL = "ada@lantern.example"
PHONE = "+12025550123"


async def test_a_new_profile_is_returned_with_all_attributes(call: Any, profile: Any) -> None:
    response = await call("POST", PROFILES, profile(email=EMAIL, location={"city": "Ulm"}, properties={"tier": 0}))
    assert response.status == 201
    data = response.body["data"]
    assert (len(data["id"]), data["attributes"]["email"], data["attributes"]["first_name"]) == (26, EMAIL, None)
    assert data["attributes"]["location"]["city"] == "Ulm"
    assert data["attributes"]["location"]["zip"] is None
    assert data["attributes"]["properties"] == {"tier": 0}
    assert set(data["relationships"]) == {"lists", "segments", "push-tokens"}
    read = (await call("GET", f"{PROFILES}/{data['id']}")).body["data"]
    assert set(read.pop("relationships")) == {"lists", "segments", "push-tokens", "conversations"}
    assert read == {name: value for name, value in data.items() if name != "relationships"}


@pytest.mark.parametrize("taken", [{"email": EMAIL.upper()}, {"phone_number": PHONE}, {"external_id": "7"}])
async def test_a_duplicate_identifier_gets_409_with_the_existing_profile(
    call: Any, profile: Any, taken: dict[str, str]
) -> None:
    created = await call("POST", PROFILES, profile(email=EMAIL, phone_number=PHONE, external_id="7"))
    response = await call("POST", PROFILES, profile(**taken))
    assert (response.status, response.error["code"]) == (409, "duplicate_profile")
    assert response.error["meta"] == {"duplicate_profile_id": created.body["data"]["id"]}
    assert response.error["source"] == {"pointer": "/data/attributes"}


async def test_a_profile_at_a_test_address_is_created_normally(call: Any, profile: Any) -> None:
    assert (await call("POST", PROFILES, profile(email="guest@example.com"))).status == 201


async def test_an_import_creates_and_then_updates(call: Any, profile: Any) -> None:
    first = await call("POST", IMPORT, profile(email=EMAIL, first_name="Ada", last_name="L", title="Dr"))
    second = await call("POST", IMPORT, profile(email=EMAIL, first_name=None, last_name="Lovelace"))
    assert (first.status, second.status) == (201, 200)
    attributes = second.body["data"]["attributes"]
    assert second.body["data"]["id"] == first.body["data"]["id"]
    assert (attributes["first_name"], attributes["last_name"], attributes["title"]) == (None, "Lovelace", "Dr")


async def test_an_import_clears_properties_by_null_and_leaves_absent_ones(call: Any, profile: Any) -> None:
    await call("POST", IMPORT, profile(email=EMAIL, properties={"a": 1, "b": 2}, location={"city": "Ulm", "zip": "1"}))
    response = await call("POST", IMPORT, profile(email=EMAIL, properties={"a": None}, location={"zip": None}))
    assert response.body["data"]["attributes"]["properties"] == {"b": 2}
    assert response.body["data"]["attributes"]["location"]["city"] == "Ulm"
    assert response.body["data"]["attributes"]["location"]["zip"] is None


async def test_an_import_whose_identifiers_sit_on_two_profiles_is_a_conflict(call: Any, profile: Any) -> None:
    await call("POST", PROFILES, profile(email=EMAIL))
    other = await call("POST", PROFILES, profile(phone_number=PHONE))
    response = await call("POST", IMPORT, profile(email=EMAIL, phone_number=PHONE))
    assert response.status == 409
    assert response.error["meta"] == {"duplicate_profile_id": other.body["data"]["id"]}


async def test_a_number_does_not_make_somebody_with_another_address_the_one_meant(
    call: Any, profile: Any, event: Any
) -> None:
    bo = (await call("POST", PROFILES, profile(email="bo@lantern.example", phone_number=PHONE))).body["data"]["id"]
    response = await call("POST", IMPORT, profile(email=EMAIL, phone_number=PHONE))
    assert (response.status, response.error["meta"]) == (409, {"duplicate_profile_id": bo})
    person = {"data": {"type": "profile", "attributes": {"email": EMAIL, "phone_number": PHONE}}}
    assert (await call("POST", "/api/events", event(profile=person))).status == 202
    profiles = {item["attributes"]["email"]: item for item in (await call("GET", PROFILES)).body["data"]}
    assert profiles[EMAIL]["attributes"]["phone_number"] is None
    assert (profiles["bo@lantern.example"]["id"], profiles["bo@lantern.example"]["attributes"]["phone_number"]) == (
        bo,
        PHONE,
    )


async def test_an_import_patches_properties(call: Any, profile: Any) -> None:
    await call("POST", IMPORT, profile(email=EMAIL, properties={"skus": ["1", "2"], "old": 1, "older": 2}))
    patch = {"append": {"skus": ["3"]}, "unappend": {"skus": "1"}, "unset": ["old", "older"]}
    response = await call("POST", IMPORT, profile(email=EMAIL, meta={"patch_properties": patch}))
    assert response.body["data"]["attributes"]["properties"] == {"skus": ["2", "3"]}


async def test_a_second_email_identifies_the_profile_until_it_is_removed(call: Any, profile: Any) -> None:
    created = await call(
        "POST", IMPORT, profile(email=EMAIL, meta={"patch_identifiers": {"append": {"email": ["a@b.example"]}}})
    )
    updated = await call("POST", IMPORT, profile(created.body["data"]["id"], first_name="Ada"))
    assert updated.body["data"]["attributes"]["email"] == EMAIL
    assert (await call("POST", PROFILES, profile(email="a@b.example"))).status == 409
    await call("POST", IMPORT, profile(email=EMAIL, meta={"patch_identifiers": {"unappend": {"email": "a@b.example"}}}))
    assert (await call("POST", PROFILES, profile(email="a@b.example"))).status == 201


async def test_an_import_for_an_unknown_id_gets_404(call: Any, profile: Any) -> None:
    response = await call("POST", IMPORT, profile("01NOBODY", first_name="Ada"))
    assert (response.status, response.error["code"]) == (404, "not_found")


async def test_an_update_replaces_the_identifier(call: Any, profile: Any) -> None:
    profile_id = (await call("POST", PROFILES, profile(email=EMAIL))).body["data"]["id"]
    response = await call("PATCH", f"{PROFILES}/{profile_id}/", profile(profile_id, email="new@lantern.example"))
    assert (response.status, response.body["data"]["attributes"]["email"]) == (200, "new@lantern.example")
    assert (await call("POST", PROFILES, profile(email=EMAIL))).status == 201
    assert (await call("POST", PROFILES, profile(email="new@lantern.example"))).status == 409


async def test_an_update_needs_the_id_of_its_path(call: Any, profile: Any) -> None:
    profile_id = (await call("POST", PROFILES, profile(email=EMAIL))).body["data"]["id"]
    response = await call("PATCH", f"{PROFILES}/{profile_id}", profile("another", first_name="Ada"))
    assert (response.status, response.error["source"]) == (400, {"pointer": "/data/id"})


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"email": "invalid-email"}, "/data/attributes/email"),
        ({"phone_number": "0815"}, "/data/attributes/phone_number"),
        ({"first_name": "Ada"}, "/data/attributes"),
        ({"email": EMAIL, "subscriptions": {}}, "/data/attributes/subscriptions"),
        ({"email": EMAIL, "mood": {}}, "/data/attributes/mood"),
        ({"email": EMAIL, "anonymous_id": "a"}, "/data/attributes/anonymous_id"),
    ],
)
@pytest.mark.parametrize("path", [PROFILES, IMPORT])
async def test_an_invalid_profile_gets_an_error_with_a_pointer(
    call: Any, profile: Any, path: str, body: dict[str, Any], pointer: str
) -> None:
    response = await call("POST", path, profile(**body))
    assert (response.status, response.error["code"], response.error["source"]) == (400, "invalid", {"pointer": pointer})


async def test_patches_inside_the_attributes_are_rejected_outside_events(call: Any) -> None:
    body = {"data": {"type": "profile", "attributes": {"email": EMAIL, "meta": {}}}}
    response = await call("POST", IMPORT, body)
    assert (response.status, response.error["source"]) == (400, {"pointer": "/data/attributes/meta"})


async def test_an_older_revision_accepts_an_anonymous_id(call: Any, profile: Any) -> None:
    body = profile(email=EMAIL, anonymous_id=None)
    assert (await call("POST", PROFILES, body, headers={"revision": "2025-04-15"})).status == 201


async def test_a_numeric_external_id_is_accepted_but_identifies_no_profile(call: Any, profile: Any) -> None:
    assert (await call("POST", PROFILES, profile(email=EMAIL, external_id=1))).status == 201
    assert (await call("POST", PROFILES, profile(email="bo@lantern.example", external_id=1))).status == 201


async def test_an_invalid_phone_with_an_email_is_dropped_with_a_header(call: Any, profile: Any) -> None:
    response = await call("POST", IMPORT, profile(email=EMAIL, phone_number="0815"))
    assert (response.status, response.headers["X-Klaviyo-Partial-Failure"]) == (201, "phone_number")
    assert response.body["data"]["attributes"]["phone_number"] is None


async def test_a_profile_over_100_kb_gets_413(call: Any, profile: Any) -> None:
    stories = {"one": "x" * 60_000, "two": "x" * 60_000}
    assert (await call("POST", IMPORT, profile(email=EMAIL, properties=stories))).status == 413


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (f'equals(email,"{EMAIL}")', [EMAIL]),
        (f'equals(email,"{EMAIL.upper()}")', []),
        (f'any(email,["{EMAIL}","bo@lantern.example","x"])', [EMAIL, "bo@lantern.example"]),
        (f'equals(phone_number,"{PHONE}")', ["bo@lantern.example"]),
        ('equals(external_id,["7"])', [EMAIL]),
        ("greater-than(created,2020-01-01T00:00:00Z),less-than(updated,2020-01-01T00:00:00Z)", []),
    ],
)
async def test_profiles_are_filtered(call: Any, profile: Any, condition: str, expected: list[str]) -> None:
    await call("POST", PROFILES, profile(email=EMAIL, external_id="7"))
    await call("POST", PROFILES, profile(email="bo@lantern.example", phone_number=PHONE))
    profiles = (await call("GET", PROFILES, params={"filter": condition, "sort": "email"})).body["data"]
    assert [item["attributes"]["email"] for item in profiles] == expected


async def test_profiles_are_paged_by_20(call: Any, profile: Any) -> None:
    for number in range(21):
        await call("POST", PROFILES, profile(email=f"p{number}@lantern.example"))
    first = (await call("GET", PROFILES)).body
    assert (len(first["data"]), first["links"]["prev"]) == (20, None)
    assert "page%5Bcursor%5D=" in first["links"]["next"]
