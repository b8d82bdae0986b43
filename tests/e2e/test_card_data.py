"""The card's data, from the agent's command to Klaviyo and back."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from support.agent_desktop import create_customer_with_profile
from support.e2e_environment import E2EEnvironment, run_environment


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url, marketing=True) as environment:
        await environment.serve()
        await environment.connect()
        await environment.install_card()
        await environment.wait_until(lambda: accepts_secret(environment), "the service knows the card's secret")
        yield environment


async def accepts_secret(environment: E2EEnvironment) -> bool:
    return bool((await run_command(environment, "0" * 24))["responseStatusCode"] == 200)


async def run_command(environment: E2EEnvironment, customer_id: str) -> dict[str, Any]:
    """Run the app's command in Kustomer, as the card in an agent's browser does."""
    apps = await environment.kustomer_api("GET", "/v1/apps")
    command = apps["data"][0]["attributes"]["commands"][0]["name"]
    body = {"args": {"customer": customer_id}, "headers": {"Authorization": "Bearer {{cardSecret}}"}, "body": {}}
    response = await environment.kustomer_api("POST", f"/v1/commands/{command}/run", body)
    attributes: dict[str, Any] = response["data"]["attributes"]
    return attributes


async def read_card(environment: E2EEnvironment, customer_id: str) -> dict[str, Any]:
    response = await run_command(environment, customer_id)
    assert response["responseStatusCode"] == 200, response
    assert response["responseBody"]["customer"] == customer_id
    card: dict[str, Any] = response["responseBody"]["card"]
    return card


async def test_the_card_shows_the_klaviyo_profile(environment: E2EEnvironment) -> None:
    customer = await create_customer_with_profile(
        environment, email="ada@lanternpost.example", phone="+12025550123", firstName="Ada"
    )
    card = await read_card(environment, customer)
    assert card["status"] == "ok", card
    assert card["profile"]["link"].startswith("https://www.klaviyo.com/profile/")
