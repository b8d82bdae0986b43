"""The card's data, from the agent's command to Klaviyo and back, between real processes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from desktop import customer
from stage import Stage, staged


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url, marketing=True) as ready:
        await ready.serve()
        await ready.connect()
        await ready.run("app", "install", "--public-url", ready.service)
        await ready.until(lambda: is_armed(ready), "the service knows the card's secret")
        yield ready


async def is_armed(stage: Stage) -> bool:
    return bool((await run(stage, "0" * 24))["responseStatusCode"] == 200)


async def run(stage: Stage, customer_id: str) -> dict[str, Any]:
    """Run the app's command as an agent's browser would have Kustomer do."""
    apps = await stage.kustomer_api("GET", "/v1/apps")
    command = apps["data"][0]["attributes"]["commands"][0]["name"]
    asked = {"args": {"customer": customer_id}, "headers": {"Authorization": "Bearer {{cardSecret}}"}, "body": {}}
    answer = await stage.kustomer_api("POST", f"/v1/commands/{command}/run", asked)
    found: dict[str, Any] = answer["data"]["attributes"]
    return found


async def card(stage: Stage, customer_id: str) -> dict[str, Any]:
    answer = await run(stage, customer_id)
    assert answer["responseStatusCode"] == 200, answer
    assert answer["responseBody"]["customer"] == customer_id
    found: dict[str, Any] = answer["responseBody"]["card"]
    return found


async def test_an_agent_sees_what_klaviyo_knows(stage: Stage) -> None:
    person = await customer(stage, email="ada@lanternpost.example", phone="+12025550123", firstName="Ada")
    shown = await card(stage, person)
    assert shown["face"] == "known", shown
    assert shown["person"]["link"].startswith("https://www.klaviyo.com/profile/")
