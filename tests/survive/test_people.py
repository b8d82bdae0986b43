"""Whose profile is written, and what becomes of it when people merge, leave, or are masked."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from stage import Stage, staged

ADA, BO = "ada@lanternpost.example", "bo@lanternpost.example"
SOON = "sweep_minutes=0.005"
HEADERS = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url) as ready:
        await ready.serve()
        yield ready


async def profiles(stage: Stage, url: str | None = None) -> dict[str, dict[str, Any]]:
    """Return every profile of an account by its email."""
    found = await stage.get(f"{url or stage.klaviyo}/sandbox/profiles")
    return {one["email"]: one for one in found}


async def connect(stage: Stage, *options: str, name: str = "sandbox", klaviyo: str | None = None) -> None:
    urls = ("--public-url", stage.service, "--kustomer-url", stage.kustomer, "--klaviyo-url", klaviyo or stage.klaviyo)
    wished = (part for option in options for part in ("--option", option))
    await stage.run("connect", "sandbox", "--connection", name, *urls, *wished)


async def customer(stage: Stage, **given: Any) -> str:
    one: str = (await stage.send(f"{stage.kustomer}/sandbox/customers", given))["id"]
    return one


async def converse(stage: Stage, one: str, **given: Any) -> str:
    begun = {"customer": one, "subject": "Hi", "channel": "email"} | given
    conversation: str = (await stage.send(f"{stage.kustomer}/sandbox/conversations", begun))["id"]
    return conversation


async def told(stage: Stage, *arguments: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(await stage.run("events", "--json", *arguments))
    return found


async def until_profile(stage: Stage, email: str, /, at: Any = None, **wanted: Any) -> dict[str, Any]:
    """Wait until a profile has the properties wanted."""
    held: dict[str, Any] = {}

    async def is_so() -> bool:
        held.clear()
        held.update((await profiles(stage, at)).get(email, {"properties": {}, "id": None}))
        is_there = held["id"] is not None
        return is_there and all(held["properties"].get(name) == value for name, value in wanted.items())

    await stage.until(is_so, f"{email} has {wanted}")
    return held


async def test_a_merged_customers_later_events_and_open_conversations_go_to_the_surviving_one(stage: Stage) -> None:
    await connect(stage, SOON)
    ada = await customer(stage, email=ADA, firstName="Ada")
    other = await customer(stage, email=BO, firstName="A.")
    conversation = await converse(stage, other)
    await until_profile(stage, BO, **{"Kustomer Open Conversations": 1})
    await until_profile(stage, ADA, **{"Kustomer Open Conversations": 0})
    await stage.send(f"{stage.kustomer}/sandbox/customers/{other}/merge", {"into": ada})
    await until_profile(stage, ADA, **{"Kustomer Open Conversations": 1})
    # Under the address that nobody is told of any more, the conversation does not stay open for ever.
    await until_profile(stage, BO, **{"Kustomer Open Conversations": None})
    await stage.send(f"{stage.kustomer}/sandbox/conversations/{conversation}/done")

    async def is_told() -> bool:
        emails = [(event["metric"], event["email"]) for event in await stage.arrived()]
        return emails == [("Kustomer Conversation Create", BO), ("Kustomer Conversation Done", ADA)]

    await stage.until(is_told, "the closing was told of the surviving customer")
    lines = await told(stage, "--customer", other)
    assert any("became part of" in note for line in lines for note in line["notes"] or [])


@pytest.mark.parametrize("wish", ["nothing", "clear", "erase"])
async def test_a_deleted_customers_profile_is_left_cleared_or_erased_with_a_line_that_says_so(
    stage: Stage, wish: str
) -> None:
    await connect(stage, SOON, f"on_deletion={wish}")
    ada = await customer(stage, email=ADA, firstName="Ada", custom={"loyaltyTierStr": "gold"})
    await until_profile(stage, ADA, **{"Kustomer Customer ID": ada})
    async with stage.session.delete(f"{stage.kustomer}/sandbox/customers/{ada}") as response:
        assert response.status == 204

    async def is_settled() -> bool:
        lines = await told(stage, "--customer", ada)
        said = [note for line in lines for note in line["notes"] or []]
        return lines[0]["state"] != "waiting" and any(f"on_deletion={wish}" in note for note in said)

    await stage.until(is_settled, "the deletion was acted on")
    if wish == "erase":

        async def is_erased() -> bool:
            return ADA not in await profiles(stage)

        await stage.until(is_erased, "Klaviyo erased the person")
        return
    held = (await profiles(stage))[ADA]
    assert (held["first_name"], held["properties"].get("Kustomer Customer ID")) == (
        ("Ada", ada) if wish == "nothing" else (None, None)
    )


async def test_with_update_only_nobody_becomes_a_profile_who_was_none(stage: Stage) -> None:
    body = {"data": {"type": "profile", "attributes": {"email": ADA}}}
    async with stage.session.post(f"{stage.klaviyo}/api/profiles", json=body, headers=HEADERS) as response:
        assert response.status == 201
    await connect(stage, "update_only=true")
    known, stranger = await customer(stage, email=ADA, firstName="Ada"), await customer(stage, email=BO)
    for one in (known, stranger):
        await converse(stage, one)

    async def is_settled() -> bool:
        lines = await told(stage)
        return len(lines) >= 4 and all(line["state"] in ("delivered", "skipped") for line in lines)

    await stage.until(is_settled, "everything was decided")
    assert list(await profiles(stage)) == [ADA]
    assert [event["email"] for event in await stage.arrived()] == [ADA]
    lines = await told(stage, "--customer", stranger)
    assert {(line["state"], "update_only" in line["reason"]) for line in lines} == {("skipped", True)}
    await until_profile(stage, ADA, **{"Kustomer Open Conversations": 1})


async def test_only_the_customers_whom_the_filters_let_through_are_told_of(stage: Stage) -> None:
    await connect(stage, "only_attributes=custom.vipBool=true")
    vip = await customer(stage, email=ADA, custom={"vipBool": True})
    other = await customer(stage, email=BO, custom={"vipBool": False})
    for one in (vip, other):
        await converse(stage, one)
    await until_profile(stage, ADA, **{"Kustomer Open Conversations": 1})

    async def is_settled() -> bool:
        return [line["state"] for line in await told(stage, "--customer", other)] == ["skipped"]

    await stage.until(is_settled, "the other's event was set aside")
    assert list(await profiles(stage)) == [ADA]
    assert "only_attributes" in (await told(stage, "--customer", other))[0]["reason"]
    await stage.send(f"{stage.kustomer}/sandbox/customers/{other}", {"custom": {"vipBool": True}}, method="PUT")
    await until_profile(stage, BO)


async def test_what_the_key_may_not_read_is_not_sent_and_status_names_the_permission(
    data_directory: Path, database_url: str
) -> None:
    async with staged(data_directory, database_url=database_url, masked=True) as stage:
        await stage.serve()
        ada = await customer(stage, email=ADA, firstName="Ada", lastName="Byron")
        await connect(stage)
        await converse(stage, ada)

        async def is_known() -> bool:
            [standing] = msgspec.json.decode(await stage.run("status", "--json"))
            return {"email", "first_name", "last_name"} <= set(standing["masked"])

        await stage.until(is_known, "status tells what is masked")
        assert "Read Sensitive" in await stage.run("status")
        assert await profiles(stage) == {}
        assert "********" not in await stage.run("events", "--json")


async def test_a_mapping_is_tried_on_a_real_customer_put_in_force_and_kept_when_the_next_one_is_wrong(
    stage: Stage, tmp_path: Path
) -> None:
    await connect(stage)
    ada = await customer(stage, email=ADA, name="Ada Byron", custom={"loyaltyTierStr": "gold", "loyaltyPointsNum": 7})
    await until_profile(stage, ADA, **{"Kustomer Customer ID": ada})
    file = tmp_path / "mapping.yaml"
    file.write_text("properties:\n  Tier: custom.loyaltyTierStr\n  Points: custom.loyaltyPointsNum\n")
    shown = msgspec.json.decode(await stage.run("mapping", "preview", "--customer", ada, "--file", str(file), "--json"))
    assert shown["would_send"]["attributes"]["properties"] == {"Tier": "gold", "Points": 7}
    assert (await profiles(stage))[ADA]["properties"].get("Tier") is None
    await stage.run("mapping", "set", str(file))
    file.write_text("properties:\n  Tier: custom.loyaltyTierStr\n  Points: points\n")
    await stage.run("mapping", "set", str(file), expect=2)
    assert "Tier: custom.loyaltyTierStr" in await stage.run("mapping", "show")
    assert "custom.shoeSizeNum (Shoe size)" in await stage.run("mapping", "show", "--available")
    await stage.send(f"{stage.kustomer}/sandbox/customers/{ada}", {"companyName": "Lantern Post"}, method="PUT")
    held = await until_profile(stage, ADA, Tier="gold", Points=7)
    assert (held["first_name"], held["last_name"], held["organization"]) == ("Ada", "Byron", "Lantern Post")
