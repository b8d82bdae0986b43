"""Customers become profiles, with the running service between both simulated vendors."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from support.e2e_environment import E2EEnvironment, kill, run_environment

ADA_EMAIL, PHONE = "ada@lanternpost.example", "+447911123456"
OPEN_PROPERTY = "Kustomer Open Conversations"
HEADERS = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url) as environment:
        await environment.serve()
        await environment.connect()
        yield environment


async def test_a_customer_becomes_a_profile_and_a_change_updates_it(environment: E2EEnvironment) -> None:
    ada = await environment.create_customer(email=ADA_EMAIL, phone=PHONE, firstName="Ada", lastName="Byron")
    profile = await environment.wait_for_profile(ADA_EMAIL, first_name="Ada", last_name="Byron", phone_number=PHONE)
    assert profile["properties"]["Kustomer Customer ID"] == ada
    assert profile["properties"][OPEN_PROPERTY] == 0
    await environment.update_customer(ada, lastName="Lovelace")
    await environment.wait_for_profile(ADA_EMAIL, first_name="Ada", last_name="Lovelace")


async def test_a_changed_email_updates_the_same_profile(environment: E2EEnvironment) -> None:
    ada = await environment.create_customer(email=ADA_EMAIL, firstName="Ada")
    before = await environment.wait_for_profile(ADA_EMAIL, first_name="Ada")
    profile_id = before["id"]
    await environment.update_customer(ada, emails=[{"email": "ada@marigold.example", "type": "home"}])
    after = await environment.wait_for_profile("ada@marigold.example", first_name="Ada")
    assert after["id"] == profile_id
    assert len(await environment.klaviyo_profiles()) == 1


async def test_a_phone_number_of_another_profile_becomes_a_property_and_is_noted(environment: E2EEnvironment) -> None:
    for attributes in ({"email": "other@lanternpost.example", "phone_number": PHONE}, {"email": ADA_EMAIL}):
        body = {"data": {"type": "profile", "attributes": attributes}}
        url = f"{environment.klaviyo}/api/profiles"
        async with environment.session.post(url, json=body, headers=HEADERS) as response:
            assert response.status == 201
    await environment.create_customer(email=ADA_EMAIL, phone=PHONE, firstName="Ada")
    profile = await environment.wait_for_profile(ADA_EMAIL, first_name="Ada", **{"Kustomer Phone": PHONE})
    assert profile["phone_number"] is None
    deliveries = await environment.deliveries("--email", ADA_EMAIL)
    assert "number belongs to another" in deliveries[0]["reason"]
    assert (await environment.klaviyo_profiles())["other@lanternpost.example"]["phone_number"] == PHONE


async def test_the_profile_has_the_support_state_before_the_event_arrives(environment: E2EEnvironment) -> None:
    ada = await environment.create_customer(email=ADA_EMAIL, firstName="Ada")
    first = await environment.create_conversation(ada)
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 1})
    second = await environment.create_conversation(ada)
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 2})
    for conversation in (first, second):
        await environment.act(conversation, "done")
    profile = await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 0})
    assert profile["properties"]["Kustomer Last Conversation Done"]
    await environment.act(first, "reopen")
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 1})
    await environment.act(second, "rate", rating=5)
    await environment.wait_for_profile(ADA_EMAIL, **{"Kustomer Last CSAT Rating": 5, "Kustomer Last CSAT Score": 1})


async def test_bulk_imports_survive_kills_of_the_service(environment: E2EEnvironment) -> None:
    await environment.start_simulation(customers=400, conversations=30, rate=0)

    async def is_importing() -> bool:
        state = await environment.get(f"{environment.klaviyo}/sandbox/state")
        return "bulk_import_profiles" in state["requests"]

    for _ in range(2):
        await environment.wait_until(is_importing, "a bulk import was submitted")
        kill(environment.processes[-1])
        await environment.serve()
    await environment.assert_every_event_arrives_once()
    requests = (await environment.get(f"{environment.klaviyo}/sandbox/state"))["requests"]
    assert requests["bulk_import_profiles"] < 40
    deliveries = await environment.deliveries("--limit", "2000")
    assert any(row["reason_code"] == "bulk_imported" for row in deliveries)
