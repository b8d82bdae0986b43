"""A real browser: the system's Chromium, driven by Playwright."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from patience import PATIENCE_SECONDS

PATIENCE_MS = PATIENCE_SECONDS * 1000
expect.set_options(timeout=PATIENCE_MS)

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
HOW = (
    "These tests need a browser, and there is none: install Chromium (Debian and Ubuntu: apt install chromium; macOS: "
    "brew install --cask chromium), or name one: CHROMIUM=/path/to/chromium make test"
)
SHOTS = os.environ.get("SCREENSHOTS")
"""A directory into which the tests put what the browser showed."""


def chromium() -> str:
    """Return the path of a Chromium. Fails the test with the way to get one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.fail(HOW)
    return found


@asynccontextmanager
async def browsing() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        # A container without user namespaces has no sandbox for the browser; what it loads here is our own.
        browser = await playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield browser
        await browser.close()


async def shoot(page: Page, name: str) -> None:
    """Keep what the browser shows, when somebody wants to look at it."""
    if SHOTS:
        await page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)
