"""The simulated agents' desktop with our card on it, as an agent has it open."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from playwright.async_api import FrameLocator, Locator, Page, expect

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from stage import Stage, staged

THINGS = ("profile", "list", "segment", "campaign", "flow")
KNOWN = "cleo@lanternpost.example"
"""Somebody to whom the simulated shop's marketing wrote a lot."""


@asynccontextmanager
async def staged_with_card(
    data_directory: Path, database_url: str, *, form: str = "hosted", masked: bool = False
) -> AsyncIterator[Stage]:
    """Set the stage with the service connected, its links leading to the simulated Klaviyo, and the app installed."""
    async with staged(data_directory, database_url=database_url, marketing=True, masked=masked) as stage:
        await stage.serve()
        options = {f"{thing}_link": f"{stage.klaviyo}/{thing}/{{id}}" for thing in THINGS}
        options |= {"agents_at": stage.kustomer, "cards_sdk": f"{stage.kustomer}/desktop/cards-sdk.js"}
        await stage.connect(**options)
        await stage.run("app", "install", "--public-url", stage.service, "--form", form)
        await stage.until(lambda: is_armed(stage), "the service knows the card's secret")
        yield stage


async def is_armed(stage: Stage) -> bool:
    """Say whether the service answers to the card's secret."""
    secrets = list((await stage.get(f"{stage.kustomer}/sandbox/secrets")).values())
    url, headers = f"{stage.service}/card/sandbox/customers/{'0' * 24}", {"Authorization": f"Bearer {secrets[0]}"}
    async with stage.session.post(url, headers=headers) as response:
        return response.status == 200


async def customer(stage: Stage, *, profile: bool = True, **given: Any) -> str:
    """Make a customer; returns the id once Klaviyo has the profile."""
    made: str = (await stage.send(f"{stage.kustomer}/sandbox/customers", given))["id"]

    async def is_there() -> bool:
        profiles = await stage.get(f"{stage.klaviyo}/sandbox/profiles")
        return any(one["properties"].get("Kustomer Customer ID") == made for one in profiles)

    if profile:
        await stage.until(is_there, "the profile is in Klaviyo")
    return made


async def klaviyo_api(stage: Stage, path: str, kind: str, attributes: Mapping[str, Any]) -> None:
    """Write to the simulated Klaviyo as another program would."""
    headers = {"Authorization": f"Klaviyo-API-Key {DEFAULT_KEY}", "revision": "2026-07-15"}
    body = {"data": {"type": kind, "attributes": attributes}}
    async with stage.session.post(f"{stage.klaviyo}/api/{path}", json=body, headers=headers) as response:
        assert response.status < 300, await response.text()


async def open_card(page: Page, stage: Stage, customer_id: str) -> FrameLocator:
    """Open a customer as an agent; returns the framed card."""
    await page.goto(f"{stage.kustomer}/#{customer_id}")
    await page.reload()
    return page.frame_locator("#panel iframe")


async def has_face(card: FrameLocator, face: str) -> Locator:
    """Wait for a face of the card."""
    await expect(card.locator("main")).to_have_attribute("data-face", face)
    return card.locator("main")
