"""The simulated Kustomer's script for cards, used by a card that is not ours."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Dialog, FrameLocator, Page, expect

from kustomer_klaviyo.kustomer.app_definition import app_definition
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.outcomes import Accepted
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.sandbox.serving import serving
from patience import PATIENCE_SECONDS

CARD = """<!doctype html><script src="KUSTOMER/desktop/cards-sdk.js"></script>
<p id="who"></p><p id="email"></p><button id="other">other</button><button id="modal">modal</button>
<script>
const other = new URLSearchParams(location.search).get("other");
const show = async ({ customer }) => {
  document.getElementById("who").textContent = customer.id;
  const answer = await Kustomer.request({ url: `/v1/customers/${customer.id}` });
  document.getElementById("email").textContent = answer.data.attributes.emails[0].email;
};
Kustomer.initialize(show);
Kustomer.on("context", show);
document.getElementById("other").onclick = () => Kustomer.openCustomerEvent(other);
document.getElementById("modal").onclick = () => Kustomer.showModal({ title: "Look", body: "here" });
</script>"""


@dataclass
class Desk:
    """A simulated organisation with two customers and a card of another maker."""

    url: str
    session: aiohttp.ClientSession
    one: str = ""
    two: str = ""

    async def customer(self, email: str) -> str:
        async with self.session.post(f"{self.url}/sandbox/customers", json={"email": email}) as response:
            made: str = (await response.json())["id"]
            return made

    async def install(self, card: str) -> None:
        client = KustomerClient(self.session, base_url=self.url, key=kustomer.DEFAULT_KEY)
        headers = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}
        async with self.session.get(f"{self.url}/v1/orgs/current", headers=headers) as response:
            org_id = (await response.json())["data"]["id"]
        made = app_definition("other", org_id, public_url=card)
        view: dict[str, Any] = made["kviews"][0]
        view["template"] = f'<DynamicCard src="{card}/?other={self.two}" context={{object.context}} />'
        assert isinstance(await client.register_app(made), Accepted)
        assert isinstance(await client.install_app(made["app"], made["version"]), Accepted)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with serving(kustomer.create_app()) as url, aiohttp.ClientSession() as session:

        async def page(_: web.Request) -> web.Response:
            return web.Response(text=CARD.replace("KUSTOMER", url), content_type="text/html")

        app = web.Application()
        app.router.add_get("/", page)
        async with serving(app) as card:
            made = Desk(url, session)
            made.one, made.two = [await made.customer(f"{name}@lanternpost.example") for name in ("one", "two")]
            await made.install(card)
            yield made


async def opened(page: Page, desk: Desk) -> FrameLocator:
    await page.goto(f"{desk.url}/#{desk.one}")
    card = page.frame_locator("#panel iframe")
    await expect(card.locator("#who")).to_have_text(desk.one)
    return card


async def test_a_card_asks_the_api_as_the_agent_who_is_signed_in(desk: Desk, page: Page) -> None:
    card = await opened(page, desk)
    await expect(card.locator("#email")).to_have_text("one@lanternpost.example")


async def test_a_card_opens_another_customer_and_is_told_of_it(desk: Desk, page: Page) -> None:
    card = await opened(page, desk)
    await card.locator("#other").click()
    await expect(page.get_by_role("button", name="two@lanternpost.example")).to_have_attribute("aria-current", "true")
    await expect(card.locator("#who")).to_have_text(desk.two)
    await expect(card.locator("#email")).to_have_text("two@lanternpost.example")


async def test_a_card_may_show_something_over_the_desktop(desk: Desk, page: Page) -> None:
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def close(dialog: Dialog) -> None:
        await dialog.accept()
        shown.set_result(dialog.message)

    page.on("dialog", close)
    card = await opened(page, desk)
    await card.locator("#modal").click()
    assert await asyncio.wait_for(shown, PATIENCE_SECONDS) == "Look\n\nhere"
