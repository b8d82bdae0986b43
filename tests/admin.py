"""What an admin does in the browser."""

import json
import re
from typing import Any

from playwright.async_api import Page

from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY as KLAVIYO_KEY
from kustomer_klaviyo.sandbox.kustomer import DEFAULT_KEY as KUSTOMER_KEY
from stage import Stage

PASSWORD = "correct horse battery"
ADMIN = "ada@acme.example"


async def invited(stage: Stage, role: str = "admin") -> str:
    """Return the address of a one-time link."""
    printed = await stage.run("admins", "invite", role)
    found = re.search(r"/invitation/[\w-]+", printed)
    assert found, printed
    return stage.service + found.group()


async def become(page: Page, link: str, email: str = ADMIN) -> None:
    """Open a one-time link and make an account."""
    await page.goto(link)
    await page.fill("#email", email)
    await page.fill("#password", PASSWORD)
    await page.get_by_role("button", name="Make my account").click()
    await page.wait_for_selector("h1:has-text('Connections')")


async def give_klaviyo_key(page: Page, stage: Stage, *, key: str = KLAVIYO_KEY, site_id: str = "SbxKlv") -> None:
    """Fill in step one."""
    await page.goto(f"{stage.service}/connect")
    await page.fill("#key", key)
    await page.fill("#site_id", site_id)
    await page.click("summary:has-text('address of Klaviyo')")
    await page.fill("#url", stage.klaviyo)
    await page.get_by_role("button", name="Check and go on").click()


async def give_kustomer_key(page: Page, stage: Stage, *, key: str = KUSTOMER_KEY) -> None:
    """Fill in step two."""
    await page.fill("#organisation", "sandbox")
    await page.fill("#key", key)
    await page.click("summary:has-text('another address')")
    await page.fill("#url", stage.kustomer)
    await page.get_by_role("button", name="create the webhook").click()


async def set_keys(stage: Stage, keys: dict[str, Any]) -> None:
    """Let the simulated Klaviyo accept these keys only, with their scopes."""
    async with stage.session.put(f"{stage.klaviyo}/sandbox/keys", data=json.dumps(keys)) as response:
        assert response.status == 204
