"""A browser for the card."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from support.browser_launch import TIMEOUT_MS, launch_browser


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with launch_browser() as started:
        yield started


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(TIMEOUT_MS)
    yield await context.new_page()
    await context.close()
