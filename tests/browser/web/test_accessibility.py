"""The console on a phone, with a keyboard, and for screen readers."""

import pytest
from playwright.async_api import Page, ViewportSize, expect

from support.admin_console import accept_invitation, create_invitation, fill_klaviyo_step, fill_kustomer_step
from support.browser_launch import take_screenshot
from support.e2e_environment import E2EEnvironment

PHONE: ViewportSize = {"width": 390, "height": 800}
UNLABELLED = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a, summary')]
    .filter(one => !(one.labels && one.labels.length) && !one.getAttribute('aria-label') && !one.innerText.trim())
    .map(one => one.outerHTML)"""
LOW_CONTRAST = """() => {
    const light = colour => {
        const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255);
        const [r, g, b] = parts.map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const behind = one => {
        for (let at = one; at; at = at.parentElement) {
            const colour = getComputedStyle(at).backgroundColor;
            if (colour !== 'rgba(0, 0, 0, 0)') return colour;
        }
        return 'rgb(255, 255, 255)';
    };
    return [...document.querySelectorAll('body *')]
        .filter(one => [...one.childNodes].some(child => child.nodeType === 3 && child.data.trim()))
        .filter(one => one.getClientRects().length)
        .map(one => [one, [light(getComputedStyle(one).color), light(behind(one))].sort((a, b) => b - a)])
        .filter(([, [more, less]]) => (more + 0.05) / (less + 0.05) < 4.5)
        .map(([one]) => one.outerHTML.slice(0, 100));
}"""
"""Text with a contrast below 4.5 to 1 (www.w3.org/TR/WCAG22/#contrast-minimum)."""


@pytest.fixture
def environment(shared_environment: E2EEnvironment) -> E2EEnvironment:
    return shared_environment


async def assert_accessible(page: Page, name: str) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    assert await page.evaluate(UNLABELLED) == [], name
    assert await page.evaluate(LOW_CONTRAST) == [], name
    await expect(page.locator("h1")).to_have_count(1)
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.title() != ""
    await take_screenshot(page, f"phone-{name}")


async def test_every_page_fits_a_phone_labels_its_controls_and_has_enough_contrast(
    environment: E2EEnvironment, page: Page
) -> None:
    await page.set_viewport_size(PHONE)
    link = await create_invitation(environment)
    await page.goto(link)
    await assert_accessible(page, "invitation")
    await page.goto(f"{environment.service}/sign-in")
    await assert_accessible(page, "sign-in")
    await accept_invitation(page, link)
    await assert_accessible(page, "overview")
    await page.goto(f"{environment.service}/connect")
    await assert_accessible(page, "connect-klaviyo")
    await fill_klaviyo_step(page, environment, key="pk_made_up")
    await assert_accessible(page, "connect-rejected")
    await fill_klaviyo_step(page, environment)
    await page.click("summary:has-text('Scopes of this key')")
    await assert_accessible(page, "connect-kustomer")
    await fill_kustomer_step(page, environment)
    await assert_accessible(page, "connect-metrics")
    await page.get_by_role("button", name="Continue").click()
    await expect(page.locator("#first-events")).to_be_visible()
    await assert_accessible(page, "connect-done")
    await page.goto(f"{environment.service}/connections/sandbox")
    await page.get_by_role("button", name="Check both keys").click()
    await expect(page.locator("table")).to_have_count(2)
    await assert_accessible(page, "connection")
    await page.goto(f"{environment.service}/account")
    await assert_accessible(page, "account")


async def test_sign_in_works_with_the_keyboard_alone(environment: E2EEnvironment, page: Page) -> None:
    await accept_invitation(page, await create_invitation(environment), email="keys@acme.example")
    await page.context.clear_cookies()
    await page.goto(f"{environment.service}/sign-in")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.locator("#email").focus()
    await page.keyboard.type("keys@acme.example")
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse battery")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Connections")).to_be_visible()
