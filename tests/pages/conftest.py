"""A running service with both vendors simulated, a browser, and a page in it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from browser import PATIENCE_MS, browsing
from stage import Stage, own_database, own_directory, staged


@pytest.fixture
async def stage(data_directory: Path, database_url: str) -> AsyncIterator[Stage]:
    async with staged(data_directory, database_url=database_url, marketing=True) as ready:
        await ready.serve()
        yield ready


@pytest.fixture(scope="module")
async def shared_stage(postgres_url: str) -> AsyncIterator[Stage]:
    """One service for all tests of a file."""
    with own_directory() as directory, own_database(postgres_url) as url:
        async with staged(directory, database_url=url) as ready:
            await ready.serve()
            yield ready


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with browsing() as started:
        yield started


@pytest.fixture
async def page(browser: Browser) -> Page:
    opened = await browser.new_page(viewport={"width": 1000, "height": 800})
    opened.set_default_timeout(PATIENCE_MS)
    return opened
