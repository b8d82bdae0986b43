"""Steps that an admin takes in the browser."""

import json
import re
from typing import Any

from playwright.async_api import Page

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY as KLAVIYO_KEY
from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY as KUSTOMER_KEY
from support.e2e_environment import E2EEnvironment

PASSWORD = "correct horse battery"
ADMIN = "ada@acme.example"


async def create_invitation(environment: E2EEnvironment, role: str = "admin") -> str:
    """Create an invitation. Returns its URL."""
    output = await environment.run("admins", "invite", role)
    link = re.search(r"/invitation/[\w-]+", output)
    assert link, output
    return environment.service + link.group()


async def accept_invitation(page: Page, link: str, email: str = ADMIN) -> None:
    """Open an invitation and create a user."""
    await page.goto(link)
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.get_by_role("button", name="Create account").click()
    await page.wait_for_selector("h1:has-text('Connections')")


async def fill_klaviyo_step(
    page: Page, environment: E2EEnvironment, *, key: str = KLAVIYO_KEY, site_id: str = "SbxKlv"
) -> None:
    """Fill in the first step of the setup."""
    await page.goto(f"{environment.service}/connect")
    await page.fill("#key", key)
    await page.fill("#site_id", site_id)
    await page.click("summary:has-text('address of Klaviyo')")
    await page.fill("#url", environment.klaviyo)
    await page.get_by_role("button", name="Check and continue").click()


async def fill_kustomer_step(page: Page, environment: E2EEnvironment, *, key: str = KUSTOMER_KEY) -> None:
    """Fill in the second step of the setup."""
    await page.fill("#organisation", "sandbox")
    await page.fill("#key", key)
    await page.click("summary:has-text('another address')")
    await page.fill("#url", environment.kustomer)
    await page.get_by_role("button", name="create the webhook").click()


async def set_keys(environment: E2EEnvironment, keys: dict[str, Any]) -> None:
    """Replace the keys of the simulated Klaviyo, with the scopes of each."""
    async with environment.session.put(f"{environment.klaviyo}/sandbox/keys", data=json.dumps(keys)) as response:
        assert response.status == 204
