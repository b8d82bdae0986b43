"""One organisation, several Klaviyo accounts: each conversation goes where its brand does."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kustomer_klaviyo.sandbox import klaviyo
from kustomer_klaviyo.sandbox.serving import serving
from stage import Stage, staged
from survive.test_people import ADA, BO, connect, converse, customer, profiles, told, until_profile


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url) as ready:
        await ready.serve()
        yield ready


@pytest.fixture
async def kids() -> AsyncIterator[str]:
    """The second Klaviyo account."""
    async with serving(klaviyo.create_app(klaviyo.KlaviyoOptions(site_id="KidsAc"))) as url:
        yield url


async def test_conversations_and_profiles_go_to_the_account_of_their_brand(stage: Stage, kids: str) -> None:
    await converse(stage, await customer(stage, email="first@lanternpost.example"), brand="Kids")
    await connect(stage, "profiles=conversations")
    await connect(stage, "profiles=conversations", name="kids", klaviyo=kids)
    await stage.run("routes", "set", "sandbox", "Kids=kids", "--default", "sandbox")
    shown = msgspec.json.decode(await stage.run("routes", "show", "--json"))
    assert [(one["name"], one["to"]) for one in shown["rules"]] == [("Kids", "kids")]
    assert shown["default"] == "sandbox"
    ada, bo = await customer(stage, email=ADA), await customer(stage, email=BO)
    await converse(stage, ada, brand="Kids")
    await converse(stage, bo)
    await until_profile(stage, ADA, kids, **{"Kustomer Open Conversations": 1})
    await until_profile(stage, BO, **{"Kustomer Open Conversations": 1})

    async def is_told() -> bool:
        here = [event["email"] for event in await stage.arrived()]
        there = [event["email"] for event in await stage.get(f"{kids}/sandbox/events")]
        return (here, there) == ([BO], [ADA])

    await stage.until(is_told, "each account has its own event")
    assert list(await profiles(stage)) == [BO]
    assert ADA in await profiles(stage, kids)
    [line] = await told(stage, "--connection", "sandbox", "--customer", ada)
    assert (line["state"], "brand Kids go to kids" in line["reason"]) == ("skipped", True)


async def test_a_rule_must_name_a_brand_and_a_connection_that_there_are(stage: Stage) -> None:
    await connect(stage)
    for rules in (["Pro=sandbox"], ["sandbox=elsewhere"], ["sandbox"], ["--default", "elsewhere"]):
        await stage.run("routes", "set", "sandbox", *rules, expect=2)
    await stage.run("routes", "set", "another", expect=2)
    shown = msgspec.json.decode(await stage.run("routes", "show", "sandbox", "--json"))
    assert (shown["rules"], shown["default"]) == ([], None)
