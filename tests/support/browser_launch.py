"""A Chromium driven by Playwright."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from support.chromium_install import INSTALL_HINT, find_chromium
from support.timeouts import TIMEOUT_SECONDS

TIMEOUT_MS = TIMEOUT_SECONDS * 1000
expect.set_options(timeout=TIMEOUT_MS)

SCREENSHOTS = os.environ.get("SCREENSHOTS")
"""The directory for screenshots. None: the tests take none."""


def chromium_path() -> str:
    """Return the path of a Chromium. Without one, fails the test and says how to install it."""
    path = find_chromium()
    if path is None:
        pytest.fail(INSTALL_HINT)
    return path


@asynccontextmanager
async def launch_browser() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        # In a container without user namespaces the browser has no sandbox. It loads this project's pages only.
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=["--no-sandbox"])
        yield browser
        await browser.close()


async def take_screenshot(page: Page, name: str) -> None:
    """Save a screenshot when SCREENSHOTS names a directory."""
    if SCREENSHOTS:
        await page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)
