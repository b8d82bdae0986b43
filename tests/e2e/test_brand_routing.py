"""One organisation with several Klaviyo accounts: each conversation goes to the account of its brand."""

from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from kustomer_klaviyo.sandbox import klaviyo
from kustomer_klaviyo.sandbox.http_server import run_server
from support.e2e_environment import E2EEnvironment, run_environment

ADA_EMAIL, BO_EMAIL = "ada@lanternpost.example", "bo@lanternpost.example"


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url) as environment:
        await environment.serve()
        yield environment


@pytest.fixture
async def kids() -> AsyncIterator[str]:
    """The second Klaviyo account."""
    async with run_server(klaviyo.create_app(klaviyo.KlaviyoOptions(site_id="KidsAc"))) as url:
        yield url


async def test_conversations_and_profiles_go_to_the_account_of_their_brand(
    environment: E2EEnvironment, kids: str
) -> None:
    first = await environment.create_customer(email="first@lanternpost.example")
    await environment.create_conversation(first, brand="Kids")
    await environment.connect(profiles="conversations")
    await environment.connect("kids", klaviyo=kids, profiles="conversations")
    await environment.run("routes", "set", "sandbox", "Kids=kids", "--default", "sandbox")
    table = msgspec.json.decode(await environment.run("routes", "show", "--json"))
    assert [(route["name"], route["to"]) for route in table["routes"]] == [("Kids", "kids")]
    assert table["default"] == "sandbox"
    ada, bo = await environment.create_customer(email=ADA_EMAIL), await environment.create_customer(email=BO_EMAIL)
    await environment.create_conversation(ada, brand="Kids")
    await environment.create_conversation(bo)
    await environment.wait_for_profile(ADA_EMAIL, kids, **{"Kustomer Open Conversations": 1})
    await environment.wait_for_profile(BO_EMAIL, **{"Kustomer Open Conversations": 1})

    async def is_delivered() -> bool:
        main_events = [event["email"] for event in await environment.klaviyo_events()]
        kids_events = [event["email"] for event in await environment.get(f"{kids}/sandbox/events")]
        return (main_events, kids_events) == ([BO_EMAIL], [ADA_EMAIL])

    await environment.wait_until(is_delivered, "each account has its own event")
    assert list(await environment.klaviyo_profiles()) == [BO_EMAIL]
    assert ADA_EMAIL in await environment.klaviyo_profiles(kids)
    [skipped] = await environment.deliveries("--connection", "sandbox", "--customer", ada)
    assert (skipped["state"], skipped["reason_code"]) == ("skipped", "not_routed_here")
    assert "brand Kids go to kids" in "; ".join(skipped["notes"])


async def test_a_route_must_name_an_existing_brand_and_connection(environment: E2EEnvironment) -> None:
    await environment.connect()
    for routes in (["Pro=sandbox"], ["sandbox=elsewhere"], ["sandbox"], ["--default", "elsewhere"]):
        await environment.run("routes", "set", "sandbox", *routes, expect=2)
    await environment.run("routes", "set", "another", expect=2)
    table = msgspec.json.decode(await environment.run("routes", "show", "sandbox", "--json"))
    assert (table["routes"], table["default"]) == ([], None)
