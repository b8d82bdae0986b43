"""Background jobs: bulk imports, merges and deletions."""

import asyncio
from typing import Any

import pytest

JOBS = "/api/profile-bulk-import-jobs"
EMAIL = "ada@lantern.example"
PHONE = "+12025550123"


def profile_data(**attributes: Any) -> dict[str, Any]:
    return {"type": "profile", "attributes": attributes}


async def run_import(call: Any, *entries: dict[str, Any]) -> Any:
    """Run an import to its end, and return the job's attributes with its id."""
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": list(entries)}}}}
    response = await call("POST", JOBS, body)
    assert response.status == 202, response.body
    job = response.body["data"]
    while job["attributes"]["status"] != "complete":
        await asyncio.sleep(0.01)
        job = (await call("GET", f"{JOBS}/{job['id']}")).body["data"]
    return job["attributes"] | {"id": job["id"]}


async def profiles_by_email(call: Any) -> dict[str, Any]:
    profiles = (await call("GET", "/api/profiles")).body["data"]
    return {profile["attributes"]["email"]: profile["attributes"] for profile in profiles}


async def test_an_import_creates_and_updates_but_does_not_clear(call: Any, profile: Any) -> None:
    initial = profile(email=EMAIL, title="Dr", location={"city": "Ulm"}, properties={"tier": "gold", "kept": 1})
    await call("POST", "/api/profiles", initial)
    update = profile_data(
        email=EMAIL, title=None, first_name="Ada", location={"city": None}, properties={"tier": None, "kept": 2}
    )
    job = await run_import(call, update, profile_data(email="bo@lantern.example"))
    assert (job["total_count"], job["completed_count"], job["failed_count"]) == (2, 2, 0)
    ada = (await profiles_by_email(call))[EMAIL]
    assert (ada["title"], ada["first_name"], ada["location"]["city"]) == ("Dr", "Ada", "Ulm")
    assert ada["properties"] == {"tier": "gold", "kept": 2}


@pytest.mark.parametrize(
    ("entry", "pointer"),
    [
        (profile_data(email="nowhere"), "/attributes/email"),
        (profile_data(email="bo@lantern.example", phone_number="12"), "/attributes/phone_number"),
        (profile_data(first_name="Bo"), "/attributes"),
        (profile_data(email="bo@lantern.example", subscriptions={}), "/attributes/subscriptions"),
        (profile_data(email="bo@lantern.example", properties={"a": "x" * 60_000, "b": "x" * 60_000}), ""),
        (profile_data(email=EMAIL, phone_number=PHONE), "/attributes"),
        ({"type": "profile", "id": "01NOBODY", "attributes": {}}, "/id"),
    ],
)
async def test_an_invalid_entry_has_an_error_and_the_others_are_imported(
    call: Any, profile: Any, entry: dict[str, Any], pointer: str
) -> None:
    await call("POST", "/api/profiles", profile(email=EMAIL))
    await call("POST", "/api/profiles", profile(email="cy@lantern.example", phone_number=PHONE))
    job = await run_import(
        call, profile_data(email="dee@lantern.example"), entry, profile_data(email="eve@lantern.example")
    )
    assert (job["completed_count"], job["failed_count"]) == (2, 1)
    [error] = (await call("GET", f"{JOBS}/{job['id']}/import-errors")).body["data"]
    assert error["attributes"]["source"] == {"pointer": f"/data/attributes/profiles/data/1{pointer}"}
    assert error["attributes"]["original_payload"] == entry
    assert {"dee@lantern.example", "eve@lantern.example"} < set(await profiles_by_email(call))


async def test_import_errors_are_paged(call: Any) -> None:
    job = await run_import(call, *(profile_data(email=f"nowhere {number}") for number in range(25)))
    first = (await call("GET", f"{JOBS}/{job['id']}/import-errors")).body
    assert len(first["data"]) == 20
    assert first["links"]["next"] is not None


@pytest.mark.parametrize(
    "entries",
    [[], [{"type": "person"}], ["ada"], [profile_data(email=EMAIL)] * 10_001],
    ids=["none", "type", "text", "many"],
)
async def test_an_invalid_import_request_gets_400(call: Any, entries: list[Any]) -> None:
    body = {"data": {"type": "profile-bulk-import-job", "attributes": {"profiles": {"data": entries}}}}
    assert (await call("POST", JOBS, body)).status == 400
    assert (await call("GET", JOBS)).body["data"] == []


async def test_imports_are_filtered_by_status(call: Any) -> None:
    job = await run_import(call, profile_data(email=EMAIL))
    jobs = await call("GET", JOBS, params={"filter": 'equals(status,"complete")', "sort": "-created_at"})
    assert [item["id"] for item in jobs.body["data"]] == [job["id"]]
    assert (await call("GET", JOBS, params={"filter": 'any(status,["queued"])'})).body["data"] == []
    assert (await call("GET", f"{JOBS}/01NOTHING")).status == 404


def merge_body(target: str, *sources: str) -> dict[str, Any]:
    source_data = [{"type": "profile", "id": source} for source in sources]
    return {"data": {"type": "profile-merge", "id": target, "relationships": {"profiles": {"data": source_data}}}}


async def create_profile(call: Any, profile: Any, **attributes: Any) -> str:
    profile_id: str = (await call("POST", "/api/profiles", profile(**attributes))).body["data"]["id"]
    return profile_id


async def wait_until_deleted(call: Any, profile_id: str) -> None:
    while (await call("GET", f"/api/profiles/{profile_id}")).status != 404:
        await asyncio.sleep(0.01)


async def test_a_merge_fills_missing_values_moves_events_and_deletes_the_source(
    call: Any, profile: Any, event: Any
) -> None:
    target = await create_profile(call, profile, email=EMAIL, first_name="Ada", properties={"a": 1})
    source = await create_profile(
        call, profile, phone_number=PHONE, first_name="A.", title="Dr", properties={"a": 2, "b": 2}
    )
    by_phone = {"data": {"type": "profile", "attributes": {"phone_number": PHONE}}}
    await call("POST", "/api/events", event(profile=by_phone))
    assert (await call("POST", "/api/profile-merge", merge_body(target, source))).status == 201
    await wait_until_deleted(call, source)
    merged = (await profiles_by_email(call))[EMAIL]
    assert (merged["first_name"], merged["title"], merged["phone_number"]) == ("Ada", "Dr", PHONE)
    assert merged["properties"] == {"a": 1, "b": 2}
    events = await call("GET", "/api/events", params={"filter": f'equals(profile_id,"{target}")'})
    assert len(events.body["data"]) == 1
    assert (await call("POST", "/api/profile-import", profile(phone_number=PHONE))).body["data"]["id"] == target


async def test_a_merge_needs_exactly_one_other_existing_profile(call: Any, profile: Any) -> None:
    target, source = (
        await create_profile(call, profile, email=EMAIL),
        await create_profile(call, profile, phone_number=PHONE),
    )
    for body, status in (
        (merge_body(target, target), 400),
        (merge_body(target), 400),
        (merge_body(target, source, "x"), 400),
    ):
        assert (await call("POST", "/api/profile-merge", body)).status == status
    assert (await call("POST", "/api/profile-merge", merge_body(target, "01NOBODY"))).status == 404


def deletion_body(profile_id: str | None = None, **attributes: Any) -> dict[str, Any]:
    data = {"type": "profile", "attributes": attributes} | ({} if profile_id is None else {"id": profile_id})
    return {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": data}}}}


async def test_a_deletion_removes_the_profile_with_its_events(call: Any, profile: Any, event: Any) -> None:
    ada = await create_profile(call, profile, email=EMAIL)
    await call("POST", "/api/events", event())
    await call("POST", "/api/events", event(email="bo@lantern.example"))
    assert (await call("POST", "/api/data-privacy-deletion-jobs", deletion_body(email=EMAIL.upper()))).status == 202
    await wait_until_deleted(call, ada)
    assert list(await profiles_by_email(call)) == ["bo@lantern.example"]
    assert len((await call("GET", "/api/events")).body["data"]) == 1


async def test_a_deletion_needs_one_identifier_that_may_be_unknown(call: Any) -> None:
    path = "/api/data-privacy-deletion-jobs"
    for body in (
        deletion_body(),
        deletion_body(email=EMAIL, phone_number=PHONE),
        deletion_body("x", email=EMAIL),
        deletion_body(title=""),
    ):
        assert (await call("POST", path, body)).status == 400
    assert (await call("POST", path, deletion_body(phone_number=PHONE))).status == 202
