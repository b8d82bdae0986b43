"""A running service with both vendors simulated, and a browser."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from support.browser_launch import TIMEOUT_MS, launch_browser
from support.e2e_environment import E2EEnvironment, run_environment, run_shared_environment


@pytest.fixture
async def environment(data_directory: Path, database_url: str) -> AsyncIterator[E2EEnvironment]:
    async with run_environment(data_directory, database_url=database_url, marketing=True) as ready:
        await ready.serve()
        yield ready


@pytest.fixture(scope="module")
async def shared_environment(postgres_url: str) -> AsyncIterator[E2EEnvironment]:
    """One service for all tests of a file."""
    async with run_shared_environment(postgres_url) as environment:
        yield environment


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with launch_browser() as browser:
        yield browser


@pytest.fixture
async def page(browser: Browser) -> Page:
    page = await browser.new_page(viewport={"width": 1000, "height": 800})
    page.set_default_timeout(TIMEOUT_MS)
    return page
