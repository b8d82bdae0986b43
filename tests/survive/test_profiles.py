"""Customers become profiles: the running service between both simulated vendors."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from stage import Stage, kill, staged

ADA = "ada@lanternpost.example"


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url) as ready:
        await ready.serve()
        yield ready


async def profiles(stage: Stage) -> list[dict[str, Any]]:
    """Return every profile at Klaviyo: its attributes, its id among them."""
    headers = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}
    found: list[dict[str, Any]] = []
    url = f"{stage.klaviyo}/api/profiles?page[size]=100"
    while url:
        async with stage.session.get(url, headers=headers) as response:
            answer = await response.json(content_type=None)
            assert response.status == 200, answer
        found += [one["attributes"] | {"id": one["id"]} for one in answer["data"]]
        url = answer["links"]["next"]
    return found


async def profile(stage: Stage, email: str) -> dict[str, Any]:
    """Return one profile; an empty one while it is not there."""
    return next((one for one in await profiles(stage) if one["email"] == email), {"properties": {}})


async def customer(stage: Stage, **given: Any) -> str:
    made = await stage.send(f"{stage.kustomer}/sandbox/customers", given)
    one: str = made["id"]
    return one


async def change(stage: Stage, one: str, **given: Any) -> None:
    await stage.send(f"{stage.kustomer}/sandbox/customers/{one}", given, method="PUT")


async def writes(stage: Stage) -> int:
    requests = (await stage.get(f"{stage.klaviyo}/sandbox/state"))["requests"]
    return sum(
        requests.get(name, 0)
        for name in ("create_or_update_profile", "update_profile", "bulk_import_profiles", "create_profile")
    )


async def until_equal(stage: Stage, email: str, **wanted: Any) -> dict[str, Any]:
    """Wait until a profile has the properties and attributes wanted."""
    held: dict[str, Any] = {}

    async def is_equal() -> bool:
        held.clear()
        held.update(await profile(stage, email))
        return all(held.get(name, held["properties"].get(name)) == value for name, value in wanted.items())

    try:
        await stage.until(is_equal, f"{email} has {wanted}")
    except AssertionError as late:
        raise AssertionError(f"{held}\n{await stage.run('events', '--json')}") from late
    return held


async def test_a_customer_becomes_a_profile_and_a_change_changes_it(stage: Stage) -> None:
    await stage.connect()
    one = await customer(stage, email=ADA, phone="+447911123456", firstName="Ada", lastName="Byron")
    held = await until_equal(stage, ADA, first_name="Ada", last_name="Byron", phone_number="+447911123456")
    assert held["properties"]["Kustomer Customer ID"] == one
    assert held["properties"]["Kustomer Open Conversations"] == 0
    await change(stage, one, lastName="Lovelace")
    await until_equal(stage, ADA, first_name="Ada", last_name="Lovelace")


async def test_a_changed_address_changes_the_same_profile(stage: Stage) -> None:
    await stage.connect()
    one = await customer(stage, email=ADA, firstName="Ada")
    before = await until_equal(stage, ADA, first_name="Ada")
    await change(stage, one, emails=[{"email": "ada@marigold.example", "type": "home"}])
    after = await until_equal(stage, "ada@marigold.example", first_name="Ada")
    assert after["id"] == before["id"]
    assert len(await profiles(stage)) == 1


async def test_a_number_that_belongs_to_another_profile_becomes_a_property_and_is_noted(stage: Stage) -> None:
    await stage.connect()
    headers = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}
    for attributes in ({"email": "other@lanternpost.example", "phone_number": "+447911123456"}, {"email": ADA}):
        body = {"data": {"type": "profile", "attributes": attributes}}
        async with stage.session.post(f"{stage.klaviyo}/api/profiles", json=body, headers=headers) as response:
            assert response.status == 201
    await customer(stage, email=ADA, phone="+447911123456", firstName="Ada")
    held = await until_equal(stage, ADA, first_name="Ada", **{"Kustomer Phone": "+447911123456"})
    assert held["phone_number"] is None
    rows = msgspec.json.decode(await stage.run("events", "--json", "--email", ADA))
    assert "number belongs to another" in rows[0]["reason"]
    assert (await profile(stage, "other@lanternpost.example"))["phone_number"] == "+447911123456"


async def test_the_state_of_support_is_kept_on_the_profile_and_the_profile_comes_before_the_event(stage: Stage) -> None:
    await stage.connect()
    one = await customer(stage, email=ADA, firstName="Ada")
    begun = {"customer": one, "subject": "Hi", "channel": "email"}
    first = await stage.send(f"{stage.kustomer}/sandbox/conversations", begun)
    await until_equal(stage, ADA, **{"Kustomer Open Conversations": 1})
    second = await stage.send(f"{stage.kustomer}/sandbox/conversations", begun)
    await until_equal(stage, ADA, **{"Kustomer Open Conversations": 2})
    for conversation in (first, second):
        await stage.send(f"{stage.kustomer}/sandbox/conversations/{conversation['id']}/done")
    held = await until_equal(stage, ADA, **{"Kustomer Open Conversations": 0})
    assert held["properties"]["Kustomer Last Conversation Done"]
    await stage.send(f"{stage.kustomer}/sandbox/conversations/{first['id']}/reopen")
    await until_equal(stage, ADA, **{"Kustomer Open Conversations": 1})
    await stage.send(f"{stage.kustomer}/sandbox/conversations/{second['id']}/rate", {"rating": 5})
    await until_equal(stage, ADA, **{"Kustomer Last CSAT Rating": 5, "Kustomer Last CSAT Score": 1})


async def test_many_customers_at_once_go_through_imports_and_a_kill_in_their_middle_costs_nothing(stage: Stage) -> None:
    await stage.connect()
    await stage.play(customers=400, conversations=30, rate=0)

    async def is_importing() -> bool:
        state = await stage.get(f"{stage.klaviyo}/sandbox/state")
        return "bulk_import_profiles" in state["requests"]

    for _ in range(2):
        await stage.until(is_importing, "an import was begun")
        kill(stage.processes[-1])
        await stage.serve()
    await stage.assert_every_event_arrives_once()
    requests = (await stage.get(f"{stage.klaviyo}/sandbox/state"))["requests"]
    assert requests["bulk_import_profiles"] < 40
    rows = msgspec.json.decode(await stage.run("events", "--json", "--limit", "2000"))
    assert any(row["reason"] == "imported in bulk" for row in rows)
