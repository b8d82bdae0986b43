"""The simulated agent desktop: conversations reach the simulated Klaviyo, and the native card shows its data."""

import re
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, expect

from kustomer_klaviyo.card.card_status import CardStatus
from kustomer_klaviyo.card.card_view import MESSAGES
from support.agent_desktop import SEEDED_EMAIL, create_customer_with_profile, expect_status, run_environment_with_card
from support.browser_launch import take_screenshot
from support.e2e_environment import E2EEnvironment
from support.temporary_database import temporary_database, temporary_directory


@pytest.fixture(scope="module")
async def environment(postgres_url: str) -> AsyncIterator[E2EEnvironment]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_environment_with_card(directory, url, card_form="native") as environment:
            yield environment


async def test_the_events_of_a_conversation_on_the_desktop_reach_klaviyo(
    environment: E2EEnvironment, page: Page
) -> None:
    await page.goto(f"{environment.kustomer}/")
    await page.get_by_label("Email of a new customer").fill("newcomer@lanternpost.example")
    await page.get_by_role("button", name="Add").click()
    await expect(page.locator("[data-customer][aria-current=true]")).to_contain_text("newcomer@lanternpost.example")
    await page.get_by_role("button", name="New conversation").click()
    await page.get_by_role("button", name="Agent replies").click()
    await expect(page.get_by_text("We are looking into it.")).to_be_visible()
    await page.get_by_role("button", name="Done", exact=True).click()
    await page.get_by_role("button", name="5", exact=True).click()
    await expect(page.get_by_text("rated 5")).to_be_visible()
    await take_screenshot(page, "desktop-played")
    klaviyo = await page.context.new_page()
    await klaviyo.goto(environment.klaviyo)
    for metric in (
        "Kustomer Conversation Create",
        "Kustomer Conversation Done",
        "Kustomer Conversation CSAT Submitted",
    ):
        await expect(klaviyo.locator("tr", has_text=metric)).to_contain_text("newcomer@lanternpost.example")
    await klaviyo.get_by_role("link", name="newcomer@lanternpost.example").first.click()
    await expect(klaviyo.get_by_role("heading", name="newcomer@lanternpost.example")).to_be_visible()
    await expect(klaviyo.locator("td", has_text=re.compile("^Kustomer "))).to_have_count(3)
    await take_screenshot(klaviyo, "klaviyo-profile")
    await klaviyo.close()


async def test_the_native_card_shows_all_parts_without_a_request_to_the_service(
    environment: E2EEnvironment, page: Page
) -> None:
    customer = await create_customer_with_profile(
        environment, email=SEEDED_EMAIL, phone="+12025550123", firstName="Cleo", lastName="Lantern"
    )
    urls: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    await page.goto(f"{environment.kustomer}/#{customer}")
    panel = page.locator("#panel")
    for text in ("Cleo Lantern", "Consent", "Autumn Lights 2026", "Flow messages", "Newsletter", "Lifetime value: $"):
        await expect(panel.get_by_text(text).first).to_be_visible()
    await expect(panel.get_by_text("Klaviyo account Sandbox Shop (SbxKlv)")).to_be_visible()
    await expect(panel.get_by_role("link", name="Newsletter")).to_have_attribute(
        "href", re.compile(re.escape(environment.klaviyo))
    )
    await take_screenshot(page, "card-native")
    commands = [url for url in urls if "/commands/" in url]
    assert len(commands) == 1, "rendering the card again causes no request"
    assert not [url for url in urls if url.startswith(environment.service)]


async def test_the_native_card_shows_messages_and_follows_the_open_customer(
    environment: E2EEnvironment, page: Page
) -> None:
    nameless = await environment.create_customer(firstName="Nameless")
    other = await create_customer_with_profile(environment, email="other@lanternpost.example", firstName="Other")
    await page.goto(f"{environment.kustomer}/#{nameless}")
    await expect(page.locator("#panel")).to_contain_text(MESSAGES[CardStatus.NO_CONTACT])
    await page.locator(f"[data-customer='{other}']").click()
    await expect(page.locator("#panel")).to_contain_text("Consent")


async def test_the_desktop_works_on_a_phone(environment: E2EEnvironment, page: Page) -> None:
    await page.set_viewport_size({"width": 390, "height": 800})
    customer = await create_customer_with_profile(environment, email="phone@lanternpost.example")
    await page.goto(f"{environment.kustomer}/#{customer}")
    await expect(page.locator("#panel")).to_contain_text("Consent")
    width = await page.evaluate("document.documentElement.scrollWidth")
    assert width <= 390
    await take_screenshot(page, "desktop-phone")


async def test_the_card_of_a_masked_customer_names_the_missing_permission(postgres_url: str, page: Page) -> None:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_environment_with_card(directory, url, masked=True) as environment:
            customer = await environment.create_customer(email="masked@lanternpost.example")
            await page.goto(f"{environment.kustomer}/#{customer}")
            card = await expect_status(page.frame_locator("#panel iframe"), CardStatus.MASKED)
            await expect(card).to_contain_text(MESSAGES[CardStatus.MASKED])
            await take_screenshot(page, "card-masked")
