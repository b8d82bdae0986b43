"""The simulated agent desktop with the card on it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import FrameLocator, Locator, Page, expect

from kustomer_klaviyo.card.card_status import CardStatus
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from support.e2e_environment import E2EEnvironment, run_environment

SEEDED_EMAIL = "cleo@lanternpost.example"
"""The email of a customer with a long seeded marketing history."""


@asynccontextmanager
async def run_environment_with_card(
    data_directory: Path, database_url: str, *, card_form: str = "hosted", masked: bool = False
) -> AsyncIterator[E2EEnvironment]:
    """Run both vendors and the service, connected, with the card's app installed."""
    async with run_environment(data_directory, database_url=database_url, marketing=True, masked=masked) as environment:
        await environment.serve()
        await environment.connect_with_card(card_form=card_form)
        await environment.wait_until(lambda: accepts_card_secret(environment), "the service knows the card's secret")
        yield environment


async def accepts_card_secret(environment: E2EEnvironment) -> bool:
    """Return whether the service accepts the card's secret."""
    secrets = list((await environment.get(f"{environment.kustomer}/sandbox/app-settings")).values())
    url, headers = f"{environment.service}/card/sandbox/customers/{'0' * 24}", {"Authorization": f"Bearer {secrets[0]}"}
    async with environment.session.post(url, headers=headers) as response:
        return response.status == 200


async def create_customer_with_profile(environment: E2EEnvironment, **attributes: Any) -> str:
    """Create a customer and wait until Klaviyo has the profile. Returns the customer's ID."""
    customer_id = await environment.create_customer(**attributes)

    async def has_profile() -> bool:
        profiles = await environment.get(f"{environment.klaviyo}/sandbox/profiles")
        return any(profile["properties"].get("Kustomer Customer ID") == customer_id for profile in profiles)

    await environment.wait_until(has_profile, "the profile is in Klaviyo")
    return customer_id


async def klaviyo_api(environment: E2EEnvironment, path: str, kind: str, attributes: Mapping[str, Any]) -> None:
    """Write to the simulated Klaviyo's API."""
    headers = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}
    body = {"data": {"type": kind, "attributes": attributes}}
    async with environment.session.post(f"{environment.klaviyo}/api/{path}", json=body, headers=headers) as response:
        assert response.status < 300, await response.text()


async def open_card(page: Page, environment: E2EEnvironment, customer_id: str) -> FrameLocator:
    """Open a customer as an agent. Returns the card's frame."""
    await page.goto(f"{environment.kustomer}/#{customer_id}")
    await page.reload()
    return page.frame_locator("#panel iframe")


async def expect_status(card: FrameLocator, status: CardStatus | str) -> Locator:
    """Wait until the card shows a status: one of the card, or one of the page, such as ``no_context``."""
    await expect(card.locator("main")).to_have_attribute("data-status", status)
    return card.locator("main")
