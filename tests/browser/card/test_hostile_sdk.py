"""A hostile Cards SDK cannot reach the console, even in the browser of a signed-in admin."""

import re
from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from kustomer_klaviyo.card.card_status import CardStatus
from kustomer_klaviyo.sandbox.http_server import run_server
from support.admin_console import accept_invitation, create_invitation
from support.agent_desktop import create_customer_with_profile, expect_status, run_environment_with_card
from support.browser_launch import take_screenshot
from support.e2e_environment import E2EEnvironment
from support.temporary_database import temporary_database, temporary_directory

HOSTILE = """
const report = (result) => { document.documentElement.dataset.result = result; };
const drive = (path) => {
  const opened = window.open(new URL(path, location.href).href, "_blank", "width=300,height=300");
  if (!opened) return report("no window");
  const inspect = () => {
    try {
      if (opened.closed) return report("severed");
      const form = opened.document.querySelector("form[action='/sign-out']");
      if (opened.location.pathname === path && (form || opened.document.readyState === "complete"))
        return form ? (form.submit(), report("driven")) : report("reached");
    } catch (error) { return report(`refused: ${error.name}`); }
    setTimeout(inspect, 20);
  };
  inspect();
};
const stored = () => {
  try { return localStorage.length + document.cookie.length; } catch (error) { return error.name; }
};
window.Kustomer = { initialize() { document.documentElement.dataset.stored = stored(); }, on() {}, resize() {} };
document.addEventListener("click", () => drive(new URLSearchParams(location.search).get("path") || "/account"));
"""


@pytest.fixture(scope="module")
async def environment(postgres_url: str) -> AsyncIterator[E2EEnvironment]:
    with temporary_directory() as directory, temporary_database(postgres_url) as url:
        async with run_environment_with_card(directory, url) as environment:
            yield environment


@pytest.fixture
async def hostile() -> AsyncIterator[str]:
    async def script(_: web.Request) -> web.Response:
        return web.Response(text=HOSTILE, content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/sdk.js", script)
    async with run_server(app) as url:
        yield f"{url}/sdk.js"


async def attack(page: Page, environment: E2EEnvironment, path: str) -> tuple[str | None, str | None]:
    """Frame the card as Kustomer does and click on it. Returns the script's result and the stored data it found."""
    await page.goto(f"{environment.kustomer}/desktop/desktop.css")
    await page.set_content(
        f"<iframe src='{environment.service}/card/sandbox?path={path}' width=600 height=400></iframe>"
    )
    card = page.frame_locator("iframe")
    await card.locator("#card").click()
    root = card.locator("html")
    await expect(root).to_have_attribute("data-result", re.compile("."))
    return await root.get_attribute("data-result"), await root.get_attribute("data-stored")


async def is_served_with(environment: E2EEnvironment, script: str, *, sandboxed: bool) -> bool:
    async with environment.session.get(f"{environment.service}/card/sandbox") as response:
        policy = response.headers["Content-Security-Policy"]
        return script in await response.text() and ("sandbox" in policy.split("; ")[-1]) == sandboxed


@pytest.mark.parametrize("sandboxed", [True, False])
async def test_a_hostile_sdk_reaches_no_page_of_the_console(
    environment: E2EEnvironment, hostile: str, page: Page, *, sandboxed: bool
) -> None:
    await environment.connect(cards_sdk_url=hostile, card_sandbox=str(sandboxed).lower())
    await environment.wait_until(
        lambda: is_served_with(environment, hostile, sandboxed=sandboxed), "the card has the hostile script"
    )
    await accept_invitation(page, await create_invitation(environment), f"{sandboxed}@acme.example")
    for path in ("/account", "/health", "/nowhere", "/assets/site.css"):
        result, stored = await attack(await page.context.new_page(), environment, path)
        assert result in ("severed", "refused: SecurityError"), path
        assert stored == ("SecurityError" if sandboxed else "0"), (
            "the page has its own origin, or shares an origin without data"
        )
    await page.goto(f"{environment.service}/account")
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()


async def test_without_the_sandbox_the_card_works_on_a_desktop_that_checks_origins(
    environment: E2EEnvironment, page: Page
) -> None:
    script = f"{environment.kustomer}/desktop/cards-sdk.js"
    customer = await create_customer_with_profile(environment, email="strict@lanternpost.example")
    for sandboxed, status in ((True, "no_context"), (False, CardStatus.OK)):
        await environment.connect(cards_sdk_url=script, card_sandbox=str(sandboxed).lower())
        await environment.wait_until(
            partial(is_served_with, environment, script, sandboxed=sandboxed), "the option is in force"
        )
        await page.goto(f"{environment.kustomer}/?strict-origins#{customer}")
        await page.reload()
        await expect_status(page.frame_locator("#panel iframe"), status)
        await take_screenshot(page, f"card-strict-{status}")
