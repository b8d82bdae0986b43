"""Profiles of customers who are merged, deleted, masked or filtered out."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from support.e2e_environment import E2EEnvironment, run_environment

ADA_EMAIL, BO_EMAIL = "ada@lanternpost.example", "bo@lanternpost.example"
SWEEP_INTERVAL = "0.005"
"""Minutes between searches for deleted and merged customers."""
OPEN_PROPERTY, ID_PROPERTY = "Kustomer Open Conversations", "Kustomer Customer ID"
HEADERS = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url) as environment:
        await environment.serve()
        yield environment


async def test_events_and_open_conversations_of_a_merged_customer_go_to_the_target(environment: E2EEnvironment) -> None:
    await environment.connect(sweep_interval_minutes=SWEEP_INTERVAL)
    target = await environment.create_customer(email=ADA_EMAIL, firstName="Ada")
    source = await environment.create_customer(email=BO_EMAIL, firstName="A.")
    conversation = await environment.create_conversation(source)
    await environment.wait_for_profile(BO_EMAIL, **{OPEN_PROPERTY: 1})
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 0})
    await environment.send(f"{environment.kustomer}/sandbox/customers/{source}/merge", {"into": target})
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 1})
    # The profile of the source gets no more events, so its count must not stay at 1.
    await environment.wait_for_profile(BO_EMAIL, **{OPEN_PROPERTY: None})
    await environment.act(conversation, "done")

    async def is_delivered() -> bool:
        emails = [(event["metric"], event["email"]) for event in await environment.klaviyo_events()]
        return emails == [("Kustomer Conversation Create", BO_EMAIL), ("Kustomer Conversation Done", ADA_EMAIL)]

    await environment.wait_until(is_delivered, "the done event went to the target")
    deliveries = await environment.deliveries("--customer", source)
    assert any(target in note for delivery in deliveries for note in delivery["notes"])


@pytest.mark.parametrize("on_deletion", ["nothing", "clear", "erase"])
async def test_the_profile_of_a_deleted_customer_is_kept_cleared_or_erased_with_a_note(
    environment: E2EEnvironment, on_deletion: str
) -> None:
    await environment.connect(sweep_interval_minutes=SWEEP_INTERVAL, on_deletion=on_deletion)
    ada = await environment.create_customer(email=ADA_EMAIL, firstName="Ada", custom={"loyaltyTierStr": "gold"})
    await environment.wait_for_profile(ADA_EMAIL, **{ID_PROPERTY: ada})
    async with environment.session.delete(f"{environment.kustomer}/sandbox/customers/{ada}") as response:
        assert response.status == 204

    async def is_completed() -> bool:
        deliveries = await environment.deliveries("--customer", ada)
        texts = [text or "" for delivery in deliveries for text in (delivery["reason"], *delivery["notes"])]
        return deliveries[0]["state"] != "pending" and any(f"on_deletion={on_deletion}" in text for text in texts)

    await environment.wait_until(is_completed, "the deletion was processed")
    if on_deletion == "erase":

        async def is_erased() -> bool:
            return ADA_EMAIL not in await environment.klaviyo_profiles()

        await environment.wait_until(is_erased, "Klaviyo erased the profile")
        return
    profile = (await environment.klaviyo_profiles())[ADA_EMAIL]
    assert (profile["first_name"], profile["properties"].get(ID_PROPERTY)) == (
        ("Ada", ada) if on_deletion == "nothing" else (None, None)
    )


async def test_update_only_creates_no_profile(environment: E2EEnvironment) -> None:
    body = {"data": {"type": "profile", "attributes": {"email": ADA_EMAIL}}}
    async with environment.session.post(f"{environment.klaviyo}/api/profiles", json=body, headers=HEADERS) as response:
        assert response.status == 201
    await environment.connect(update_only="true")
    existing = await environment.create_customer(email=ADA_EMAIL, firstName="Ada")
    new = await environment.create_customer(email=BO_EMAIL)
    for customer in (existing, new):
        await environment.create_conversation(customer)

    async def is_completed() -> bool:
        deliveries = await environment.deliveries()
        return len(deliveries) >= 4 and all(row["state"] in ("delivered", "skipped") for row in deliveries)

    await environment.wait_until(is_completed, "every delivery is completed")
    assert list(await environment.klaviyo_profiles()) == [ADA_EMAIL]
    assert [event["email"] for event in await environment.klaviyo_events()] == [ADA_EMAIL]
    deliveries = await environment.deliveries("--customer", new)
    assert {(row["state"], "update_only" in row["reason"]) for row in deliveries} == {("skipped", True)}
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 1})


async def test_only_customers_that_match_the_filters_are_sent(environment: E2EEnvironment) -> None:
    await environment.connect(only_attributes="custom.vipBool=true")
    vip = await environment.create_customer(email=ADA_EMAIL, custom={"vipBool": True})
    other = await environment.create_customer(email=BO_EMAIL, custom={"vipBool": False})
    for customer in (vip, other):
        await environment.create_conversation(customer)
    await environment.wait_for_profile(ADA_EMAIL, **{OPEN_PROPERTY: 1})

    async def is_skipped() -> bool:
        return [row["state"] for row in await environment.deliveries("--customer", other)] == ["skipped"]

    await environment.wait_until(is_skipped, "the event of the other customer was skipped")
    assert list(await environment.klaviyo_profiles()) == [ADA_EMAIL]
    assert "only_attributes" in (await environment.deliveries("--customer", other))[0]["reason"]
    await environment.update_customer(other, custom={"vipBool": True})
    await environment.wait_for_profile(BO_EMAIL)


async def test_masked_attributes_are_not_sent_and_status_names_the_permission(
    data_directory: Path, database_url: str
) -> None:
    async with run_environment(data_directory, database_url=database_url, masked=True) as environment:
        await environment.serve()
        ada = await environment.create_customer(email=ADA_EMAIL, firstName="Ada", lastName="Byron")
        await environment.connect()
        await environment.create_conversation(ada)

        async def is_reported() -> bool:
            [status] = msgspec.json.decode(await environment.run("status", "--json"))
            return {"email", "first_name", "last_name"} <= set(status["masked"])

        await environment.wait_until(is_reported, "status lists the masked attributes")
        assert "Read Sensitive" in await environment.run("status")
        assert await environment.klaviyo_profiles() == {}
        assert "********" not in await environment.run("events", "--json")


async def test_a_mapping_is_previewed_and_applied_and_kept_when_the_next_one_is_invalid(
    environment: E2EEnvironment, tmp_path: Path
) -> None:
    await environment.connect()
    ada = await environment.create_customer(
        email=ADA_EMAIL, name="Ada Byron", custom={"loyaltyTierStr": "gold", "loyaltyPointsNum": 7}
    )
    await environment.wait_for_profile(ADA_EMAIL, **{ID_PROPERTY: ada})
    file = tmp_path / "mapping.yaml"
    file.write_text("properties:\n  Tier: custom.loyaltyTierStr\n  Points: custom.loyaltyPointsNum\n")
    preview = msgspec.json.decode(
        await environment.run("mapping", "preview", "--customer", ada, "--file", str(file), "--json")
    )
    assert preview["would_send"]["attributes"]["properties"] == {"Tier": "gold", "Points": 7}
    assert (await environment.klaviyo_profiles())[ADA_EMAIL]["properties"].get("Tier") is None
    await environment.run("mapping", "set", str(file))
    file.write_text("properties:\n  Tier: custom.loyaltyTierStr\n  Points: points\n")
    await environment.run("mapping", "set", str(file), expect=2)
    assert "Tier: custom.loyaltyTierStr" in await environment.run("mapping", "show")
    assert "custom.shoeSizeNum (Shoe size)" in await environment.run("mapping", "show", "--available")
    await environment.update_customer(ada, companyName="Lantern Post")
    profile = await environment.wait_for_profile(ADA_EMAIL, Tier="gold", Points=7)
    assert (profile["first_name"], profile["last_name"], profile["organization"]) == ("Ada", "Byron", "Lantern Post")
