"""A hostile script in the place of Kustomer's, on a card open in the browser of an admin who is signed in."""

import re
from collections.abc import AsyncIterator
from functools import partial

import pytest
from aiohttp import web
from playwright.async_api import Page, expect

from admin import become, invited
from browser import shoot
from desktop import customer, has_face, staged_with_card
from kustomer_klaviyo.sandbox.serving import serving
from stage import Stage, own_database, own_directory

HOSTILE = """
const said = (word) => { document.documentElement.dataset.said = word; };
const drive = (path) => {
  const opened = window.open(new URL(path, location.href).href, "_blank", "width=300,height=300");
  if (!opened) return said("no window");
  const look = () => {
    try {
      if (opened.closed) return said("severed");
      const form = opened.document.querySelector("form[action='/sign-out']");
      if (opened.location.pathname === path && (form || opened.document.readyState === "complete"))
        return form ? (form.submit(), said("driven")) : said("reached");
    } catch (error) { return said(`refused: ${error.name}`); }
    setTimeout(look, 20);
  };
  look();
};
const stored = () => {
  try { return localStorage.length + document.cookie.length; } catch (error) { return error.name; }
};
window.Kustomer = { initialize() { document.documentElement.dataset.stored = stored(); }, on() {}, resize() {} };
document.addEventListener("click", () => drive(new URLSearchParams(location.search).get("at") || "/account"));
"""


@pytest.fixture(scope="module")
async def stage(postgres_url: str) -> AsyncIterator[Stage]:
    with own_directory() as directory, own_database(postgres_url) as url:
        async with staged_with_card(directory, url) as ready:
            yield ready


@pytest.fixture
async def hostile() -> AsyncIterator[str]:
    async def script(_: web.Request) -> web.Response:
        return web.Response(text=HOSTILE, content_type="text/javascript")

    app = web.Application()
    app.router.add_get("/sdk.js", script)
    async with serving(app) as url:
        yield f"{url}/sdk.js"


async def attack(page: Page, stage: Stage, at: str) -> tuple[str | None, str | None]:
    """Frame the card as Kustomer does and click on it; returns what its script says, and what it found stored."""
    await page.goto(f"{stage.kustomer}/desktop/desktop.css")
    await page.set_content(f"<iframe src='{stage.service}/card/sandbox?at={at}' width=600 height=400></iframe>")
    card = page.frame_locator("iframe")
    await card.locator("#card").click()
    root = card.locator("html")
    await expect(root).to_have_attribute("data-said", re.compile("."))
    return await root.get_attribute("data-said"), await root.get_attribute("data-stored")


async def is_served_with(stage: Stage, script: str, *, sandboxed: bool) -> bool:
    async with stage.session.get(f"{stage.service}/card/sandbox") as response:
        policy = response.headers["Content-Security-Policy"]
        return script in await response.text() and ("sandbox" in policy.split("; ")[-1]) == sandboxed


@pytest.mark.parametrize("sandboxed", [True, False])
async def test_it_reaches_no_page_of_ours(stage: Stage, hostile: str, page: Page, *, sandboxed: bool) -> None:
    await stage.connect(cards_sdk=hostile, card_sandbox=str(sandboxed).lower())
    await stage.until(lambda: is_served_with(stage, hostile, sandboxed=sandboxed), "the card has the hostile script")
    await become(page, await invited(stage), f"{sandboxed}@acme.example")
    for at in ("/account", "/health", "/nowhere", "/assets/site.css"):
        said, stored = await attack(await page.context.new_page(), stage, at)
        assert said in ("severed", "refused: SecurityError"), at
        assert stored == ("SecurityError" if sandboxed else "0"), (
            "it has an origin of its own, or ours with nothing in it"
        )
    await page.goto(f"{stage.service}/account")
    await expect(page.get_by_role("heading", name="Your account")).to_be_visible()


async def test_a_desktop_that_insists_on_our_origin_is_served_with_the_sandbox_off(stage: Stage, page: Page) -> None:
    script = f"{stage.kustomer}/desktop/cards-sdk.js"
    person = await customer(stage, email="strict@lanternpost.example")
    for sandboxed, face in ((True, "unmet"), (False, "known")):
        await stage.connect(cards_sdk=script, card_sandbox=str(sandboxed).lower())
        await stage.until(partial(is_served_with, stage, script, sandboxed=sandboxed), "the option is in force")
        await page.goto(f"{stage.kustomer}/?strict-origins#{person}")
        await page.reload()
        await has_face(page.frame_locator("#panel iframe"), face)
        await shoot(page, f"card-strict-{face}")
