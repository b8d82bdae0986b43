"""Bulk imports, merges and deletions: what the simulated Klaviyo does in its own time."""

import asyncio
from typing import Any

import pytest

JOBS = "/api/profile-bulk-import-jobs"
EMAIL = "ada@lantern.example"
PHONE = "+12025550123"


def person(**attributes: Any) -> dict[str, Any]:
    return {"type": "profile", "attributes": attributes}


async def imported(call: Any, *people: dict[str, Any]) -> Any:
    """Import and wait for the end; returns the job's attributes and its id."""
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": list(people)}}}}
    answer = await call("POST", JOBS, body)
    assert answer.status == 202, answer.body
    job = answer.body["data"]
    while job["attributes"]["status"] != "complete":
        await asyncio.sleep(0.01)
        job = (await call("GET", f"{JOBS}/{job['id']}")).body["data"]
    return job["attributes"] | {"id": job["id"]}


async def profiles(call: Any) -> dict[str, Any]:
    found = (await call("GET", "/api/profiles")).body["data"]
    return {one["attributes"]["email"]: one["attributes"] for one in found}


async def test_an_import_creates_and_updates_and_cannot_clear(call: Any, profile: Any) -> None:
    held = profile(email=EMAIL, title="Dr", location={"city": "Ulm"}, properties={"tier": "gold", "kept": 1})
    await call("POST", "/api/profiles", held)
    news = person(
        email=EMAIL, title=None, first_name="Ada", location={"city": None}, properties={"tier": None, "kept": 2}
    )
    job = await imported(call, news, person(email="bo@lantern.example"))
    assert (job["total_count"], job["completed_count"], job["failed_count"]) == (2, 2, 0)
    ada = (await profiles(call))[EMAIL]
    assert (ada["title"], ada["first_name"], ada["location"]["city"]) == ("Dr", "Ada", "Ulm")
    assert ada["properties"] == {"tier": "gold", "kept": 2}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        (person(email="nowhere"), "/attributes/email"),
        (person(email="bo@lantern.example", phone_number="12"), "/attributes/phone_number"),
        (person(first_name="Bo"), "/attributes"),
        (person(email="bo@lantern.example", subscriptions={}), "/attributes/subscriptions"),
        (person(email="bo@lantern.example", properties={"a": "x" * 60_000, "b": "x" * 60_000}), ""),
        (person(email=EMAIL, phone_number=PHONE), "/attributes"),
        ({"type": "profile", "id": "01NOBODY", "attributes": {}}, "/id"),
    ],
)
async def test_what_cannot_be_imported_is_told_with_what_was_sent_and_the_rest_goes_on(
    call: Any, profile: Any, wrong: dict[str, Any], pointer: str
) -> None:
    await call("POST", "/api/profiles", profile(email=EMAIL))
    await call("POST", "/api/profiles", profile(email="cy@lantern.example", phone_number=PHONE))
    job = await imported(call, person(email="dee@lantern.example"), wrong, person(email="eve@lantern.example"))
    assert (job["completed_count"], job["failed_count"]) == (2, 1)
    [error] = (await call("GET", f"{JOBS}/{job['id']}/import-errors")).body["data"]
    assert error["attributes"]["source"] == {"pointer": f"/data/attributes/profiles/data/1{pointer}"}
    assert error["attributes"]["original_payload"] == wrong
    assert {"dee@lantern.example", "eve@lantern.example"} < set(await profiles(call))


async def test_import_errors_are_paged(call: Any) -> None:
    job = await imported(call, *(person(email=f"nowhere {number}") for number in range(25)))
    first = (await call("GET", f"{JOBS}/{job['id']}/import-errors")).body
    assert len(first["data"]) == 20
    assert first["links"]["next"] is not None


@pytest.mark.parametrize(
    "people", [[], [{"type": "person"}], ["ada"], [person(email=EMAIL)] * 10_001], ids=["none", "type", "text", "many"]
)
async def test_a_request_that_is_no_import_is_refused_at_once(call: Any, people: list[Any]) -> None:
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": people}}}}
    assert (await call("POST", JOBS, body)).status == 400
    assert (await call("GET", JOBS)).body["data"] == []


async def test_imports_are_listed_by_their_status(call: Any) -> None:
    job = await imported(call, person(email=EMAIL))
    found = await call("GET", JOBS, params={"filter": 'equals(status,"complete")', "sort": "-created_at"})
    assert [one["id"] for one in found.body["data"]] == [job["id"]]
    assert (await call("GET", JOBS, params={"filter": 'any(status,["queued"])'})).body["data"] == []
    assert (await call("GET", f"{JOBS}/01NOTHING")).status == 404


def merge(into: str, *sources: str) -> dict[str, Any]:
    listed = [{"type": "profile", "id": source} for source in sources]
    return {"data": {"type": "profile-merge", "id": into, "relationships": {"profiles": {"data": listed}}}}


async def made(call: Any, profile: Any, **attributes: Any) -> str:
    one: str = (await call("POST", "/api/profiles", profile(**attributes))).body["data"]["id"]
    return one


async def until_gone(call: Any, profile_id: str) -> None:
    while (await call("GET", f"/api/profiles/{profile_id}")).status != 404:
        await asyncio.sleep(0.01)


async def test_merging_fills_what_lacks_moves_the_events_and_deletes_the_source(
    call: Any, profile: Any, event: Any
) -> None:
    into = await made(call, profile, email=EMAIL, first_name="Ada", properties={"a": 1})
    source = await made(call, profile, phone_number=PHONE, first_name="A.", title="Dr", properties={"a": 2, "b": 2})
    by_phone = {"data": {"type": "profile", "attributes": {"phone_number": PHONE}}}
    await call("POST", "/api/events", event(person=by_phone))
    assert (await call("POST", "/api/profile-merge", merge(into, source))).status == 201
    await until_gone(call, source)
    held = (await profiles(call))[EMAIL]
    assert (held["first_name"], held["title"], held["phone_number"]) == ("Ada", "Dr", PHONE)
    assert held["properties"] == {"a": 1, "b": 2}
    events = await call("GET", "/api/events", params={"filter": f'equals(profile_id,"{into}")'})
    assert len(events.body["data"]) == 1
    assert (await call("POST", "/api/profile-import", profile(phone_number=PHONE))).body["data"]["id"] == into


async def test_only_one_other_profile_that_exists_is_merged(call: Any, profile: Any) -> None:
    into, source = await made(call, profile, email=EMAIL), await made(call, profile, phone_number=PHONE)
    for body, status in ((merge(into, into), 400), (merge(into), 400), (merge(into, source, "x"), 400)):
        assert (await call("POST", "/api/profile-merge", body)).status == status
    assert (await call("POST", "/api/profile-merge", merge(into, "01NOBODY"))).status == 404


def deletion(profile_id: str | None = None, **attributes: Any) -> dict[str, Any]:
    data = {"type": "profile", "attributes": attributes} | ({} if profile_id is None else {"id": profile_id})
    return {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": data}}}}


async def test_a_person_is_forgotten_with_all_they_did(call: Any, profile: Any, event: Any) -> None:
    ada = await made(call, profile, email=EMAIL)
    await call("POST", "/api/events", event())
    await call("POST", "/api/events", event(email="bo@lantern.example"))
    assert (await call("POST", "/api/data-privacy-deletion-jobs", deletion(email=EMAIL.upper()))).status == 202
    await until_gone(call, ada)
    assert list(await profiles(call)) == ["bo@lantern.example"]
    assert len((await call("GET", "/api/events")).body["data"]) == 1


async def test_a_deletion_names_one_identifier_and_need_not_meet_anybody(call: Any) -> None:
    path = "/api/data-privacy-deletion-jobs"
    for wrong in (
        deletion(),
        deletion(email=EMAIL, phone_number=PHONE),
        deletion("x", email=EMAIL),
        deletion(title=""),
    ):
        assert (await call("POST", path, wrong)).status == 400
    assert (await call("POST", path, deletion(phone_number=PHONE))).status == 202
