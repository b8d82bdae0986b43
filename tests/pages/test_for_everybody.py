"""The pages on a phone, with a keyboard, and for a screen reader."""

import pytest
from playwright.async_api import Page, ViewportSize, expect

from admin import become, give_klaviyo_key, give_kustomer_key, invited
from browser import shoot
from stage import Stage

PHONE: ViewportSize = {"width": 390, "height": 800}
NAMELESS = """() => [...document.querySelectorAll('input:not([type=hidden]), select, textarea, button, a, summary')]
    .filter(one => !(one.labels && one.labels.length) && !one.getAttribute('aria-label') && !one.innerText.trim())
    .map(one => one.outerHTML)"""
FAINT = """() => {
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
"""Texts with less contrast than 4.5 to 1 (www.w3.org/TR/WCAG22/#contrast-minimum)."""


@pytest.fixture
def stage(shared_stage: Stage) -> Stage:
    return shared_stage


async def assert_for_everybody(page: Page, name: str) -> None:
    assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], name
    assert await page.evaluate(NAMELESS) == [], name
    assert await page.evaluate(FAINT) == [], name
    await expect(page.locator("h1")).to_have_count(1)
    assert await page.evaluate("document.documentElement.lang") == "en"
    assert await page.title() != ""
    await shoot(page, f"phone-{name}")


async def test_every_page_fits_a_phone_names_its_controls_and_can_be_read(stage: Stage, page: Page) -> None:
    await page.set_viewport_size(PHONE)
    link = await invited(stage)
    await page.goto(link)
    await assert_for_everybody(page, "invitation")
    await page.goto(f"{stage.service}/sign-in")
    await assert_for_everybody(page, "sign-in")
    await become(page, link)
    await assert_for_everybody(page, "overview")
    await page.goto(f"{stage.service}/connect")
    await assert_for_everybody(page, "connect-klaviyo")
    await give_klaviyo_key(page, stage, key="pk_made_up")
    await assert_for_everybody(page, "connect-refused")
    await give_klaviyo_key(page, stage)
    await page.click("summary:has-text('What this key may do')")
    await assert_for_everybody(page, "connect-kustomer")
    await give_kustomer_key(page, stage)
    await assert_for_everybody(page, "connect-metrics")
    await page.get_by_role("button", name="Go on").click()
    await expect(page.locator("#arrivals")).to_be_visible()
    await assert_for_everybody(page, "connect-done")
    await page.goto(f"{stage.service}/connections/sandbox")
    await page.get_by_role("button", name="Check both keys").click()
    await expect(page.locator("table")).to_have_count(2)
    await assert_for_everybody(page, "connection")
    await page.goto(f"{stage.service}/account")
    await assert_for_everybody(page, "account")


async def test_the_way_in_needs_no_mouse(stage: Stage, page: Page) -> None:
    await become(page, await invited(stage), email="keys@acme.example")
    await page.context.clear_cookies()
    await page.goto(f"{stage.service}/sign-in")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip")).to_be_focused()
    await page.keyboard.press("Enter")
    await page.locator("#email").focus()
    await page.keyboard.type("keys@acme.example")
    await page.keyboard.press("Tab")
    await page.keyboard.type("correct horse battery")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Connections")).to_be_visible()
