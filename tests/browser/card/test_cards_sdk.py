"""The simulated Kustomer's Cards SDK, used by a card of another app."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from playwright.async_api import Dialog, FrameLocator, Page, expect

from kustomer_klaviyo.kustomer.app_definition import app_definition
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.outcomes import Accepted
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.sandbox.http_server import run_server
from support.timeouts import TIMEOUT_SECONDS

CARD = """<!doctype html><script src="KUSTOMER/desktop/cards-sdk.js"></script>
<p id="customer"></p><p id="email"></p><button id="other">other</button><button id="modal">modal</button>
<script>
const other = new URLSearchParams(location.search).get("other");
const show = async ({ customer }) => {
  document.getElementById("customer").textContent = customer.id;
  const response = await Kustomer.request({ url: `/v1/customers/${customer.id}` });
  document.getElementById("email").textContent = response.data.attributes.emails[0].email;
};
Kustomer.initialize(show);
Kustomer.on("context", show);
document.getElementById("other").onclick = () => Kustomer.openCustomerEvent(other);
document.getElementById("modal").onclick = () => Kustomer.showModal({ title: "Look", body: "here" });
</script>"""


@dataclass
class AgentDesktop:
    """A simulated organisation with two customers and a card of another app."""

    url: str
    session: aiohttp.ClientSession
    first: str = ""
    second: str = ""

    async def create_customer(self, email: str) -> str:
        async with self.session.post(f"{self.url}/sandbox/customers", json={"email": email}) as response:
            customer_id: str = (await response.json())["id"]
            return customer_id

    async def install(self, card: str) -> None:
        client = KustomerClient(self.session, base_url=self.url, key=kustomer.DEFAULT_KEY)
        headers = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}
        async with self.session.get(f"{self.url}/v1/orgs/current", headers=headers) as response:
            org_id = (await response.json())["data"]["id"]
        definition = app_definition("other", org_id, public_url=card)
        view: dict[str, Any] = definition["kviews"][0]
        view["template"] = f'<DynamicCard src="{card}/?other={self.second}" context={{object.context}} />'
        assert isinstance(await client.register_app(definition), Accepted)
        assert isinstance(await client.install_app(definition["app"], definition["version"]), Accepted)


@pytest.fixture
async def desktop() -> AsyncIterator[AgentDesktop]:
    async with run_server(kustomer.create_app()) as url, aiohttp.ClientSession() as session:

        async def page(_: web.Request) -> web.Response:
            return web.Response(text=CARD.replace("KUSTOMER", url), content_type="text/html")

        app = web.Application()
        app.router.add_get("/", page)
        async with run_server(app) as card:
            desktop = AgentDesktop(url, session)
            desktop.first, desktop.second = [
                await desktop.create_customer(f"{name}@lanternpost.example") for name in ("one", "two")
            ]
            await desktop.install(card)
            yield desktop


async def open_card(page: Page, desktop: AgentDesktop) -> FrameLocator:
    await page.goto(f"{desktop.url}/#{desktop.first}")
    card = page.frame_locator("#panel iframe")
    await expect(card.locator("#customer")).to_have_text(desktop.first)
    return card


async def test_a_card_calls_the_api_as_the_signed_in_agent(desktop: AgentDesktop, page: Page) -> None:
    card = await open_card(page, desktop)
    await expect(card.locator("#email")).to_have_text("one@lanternpost.example")


async def test_a_card_opens_another_customer_and_gets_the_new_context(desktop: AgentDesktop, page: Page) -> None:
    card = await open_card(page, desktop)
    await card.locator("#other").click()
    await expect(page.get_by_role("button", name="two@lanternpost.example")).to_have_attribute("aria-current", "true")
    await expect(card.locator("#customer")).to_have_text(desktop.second)
    await expect(card.locator("#email")).to_have_text("two@lanternpost.example")


async def test_a_card_can_show_a_modal_on_the_desktop(desktop: AgentDesktop, page: Page) -> None:
    shown: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def close(dialog: Dialog) -> None:
        await dialog.accept()
        shown.set_result(dialog.message)

    page.on("dialog", close)
    card = await open_card(page, desktop)
    await card.locator("#modal").click()
    assert await asyncio.wait_for(shown, TIMEOUT_SECONDS) == "Look\n\nhere"
