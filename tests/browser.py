"""A real browser: the system's Chromium, driven by Playwright."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from chromium import HOW, find
from patience import PATIENCE_SECONDS

PATIENCE_MS = PATIENCE_SECONDS * 1000
expect.set_options(timeout=PATIENCE_MS)

SHOTS = os.environ.get("SCREENSHOTS")
"""A directory into which the tests put what the browser showed."""


def executable() -> str:
    """Return the path of a Chromium. Fails the test with the way to get one."""
    found = find()
    if found is None:
        pytest.fail(HOW)
    return found


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        # A container without user namespaces has no sandbox for the browser; what it loads here is our own.
        browser = await playwright.chromium.launch(executable_path=executable(), args=["--no-sandbox"])
        yield browser
        await browser.close()


async def shoot(page: Page, name: str) -> None:
    """Keep what the browser shows, when somebody wants to look at it."""
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
