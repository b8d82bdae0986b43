"""Playing customer and agent on the simulated desktop, and what comes of it in the simulated Klaviyo."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from browser import shoot
from desktop import KNOWN, customer, has_face, staged_with_card
from stage import Stage, own_database, own_directory


@pytest.fixture(scope="module")
async def stage(postgres_url: str) -> AsyncIterator[Stage]:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with staged_with_card(directory, url, form="native") as ready:
            yield ready


async def test_a_newcomer_plays_a_conversation_and_sees_each_event_arrive(stage: Stage, page: Page) -> None:
    await page.goto(f"{stage.kustomer}/")
    await page.get_by_label("Email of a new customer").fill("newcomer@lanternpost.example")
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator("[data-customer][aria-current=true]")).to_contain_text("newcomer@lanternpost.example")
    await page.get_by_role("button", name="New conversation").click()
    await page.get_by_role("button", name="Agent replies").click()
    await expect(page.get_by_text("We are looking into it.")).to_be_visible()
    await page.get_by_role("button", name="Done", exact=True).click()
    await page.get_by_role("button", name="5", exact=True).click()
    await expect(page.get_by_text("rated 5")).to_be_visible()
    await shoot(page, "desktop-played")
    klaviyo = await page.context.new_page()
    await klaviyo.goto(stage.klaviyo)
    for metric in (
        "Kustomer Conversation Create",
        "Kustomer Conversation Done",
        "Kustomer Conversation CSAT Submitted",
    ):
        await expect(klaviyo.locator("tr", has_text=metric)).to_contain_text("newcomer@lanternpost.example")
    await klaviyo.get_by_role("link", name="newcomer@lanternpost.example").first.click()
    await expect(klaviyo.get_by_role("heading", name="newcomer@lanternpost.example")).to_be_visible()
    await expect(klaviyo.locator("td", has_text=re.compile("^Kustomer "))).to_have_count(3)
    await shoot(klaviyo, "klaviyo-profile")
    await klaviyo.close()


async def test_the_native_card_shows_the_same_without_a_page_of_ours(stage: Stage, page: Page) -> None:
    person = await customer(stage, email=KNOWN, phone="+12025550123", firstName="Cleo", lastName="Lantern")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(f"{stage.kustomer}/#{person}")
    panel = page.locator("#panel")
    for said in ("Cleo Lantern", "Consent", "Autumn Lights 2026", "Flow messages", "Newsletter", "Lifetime value: $"):
        await expect(panel.get_by_text(said).first).to_be_visible()
    await expect(panel.get_by_text("Klaviyo account Sandbox Shop (SbxKlv)")).to_be_visible()
    await expect(panel.get_by_role("link", name="Newsletter")).to_have_attribute(
        "href", re.compile(re.escape(stage.klaviyo))
    )
    await shoot(page, "card-native")
    asked_for = [url for url in asked if "/commands/" in url]
    assert len(asked_for) == 1, "drawing it anew does not ask anew"
    assert not [url for url in asked if url.startswith(stage.service)]


async def test_the_native_card_has_honest_faces_too_and_follows_whoever_is_open(stage: Stage, page: Page) -> None:
    nameless = await customer(stage, profile=False, firstName="Nameless")
    other = await customer(stage, email="other@lanternpost.example", firstName="Other")
    await page.goto(f"{stage.kustomer}/#{nameless}")
    await expect(page.locator("#panel")).to_contain_text("neither an email nor a phone number")
    await page.locator(f"[data-customer='{other}']").click()
    await expect(page.locator("#panel")).to_contain_text("Consent")


async def test_the_desktop_works_on_a_phone(stage: Stage, page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 800})
    person = await customer(stage, email="phone@lanternpost.example")
    await page.goto(f"{stage.kustomer}/#{person}")
    await expect(page.locator("#panel")).to_contain_text("Consent")
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    await shoot(page, "desktop-phone")


async def test_masked_customers_have_a_face_that_names_the_cause(postgres_url: str, page: Page) -> None:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with staged_with_card(directory, url, masked=True) as stage:
            person = await customer(stage, profile=False, email="masked@lanternpost.example")
            await page.goto(f"{stage.kustomer}/#{person}")
            card = await has_face(page.frame_locator("#panel iframe"), "masked")
            await expect(card).to_contain_text("its Kustomer key lacks the permission")
            await shoot(page, "card-masked")
