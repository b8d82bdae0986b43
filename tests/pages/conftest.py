"""A running service with both vendors simulated, a browser, and a page in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from browser import browsing
from stage import Stage, staged


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url, marketing=True) as ready:
        await ready.serve()
        yield ready


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as started:
        yield started


@pytest.fixture
async def page(browser: Browser) -> Page:
    opened = await browser.new_page(viewport={"width": 1000, "height": 800})
    opened.set_default_timeout(15_000)
    return opened
