"""A browser for the card."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page

from browser import PATIENCE_MS, browsing


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as started:
        yield started


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 1200, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    yield await context.new_page()
    await context.close()
