"""Finds a Chromium for the browser tests. As a program, it installs one if there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
PACKAGE_MANAGERS = {
    "apt-get": (("update", "-qq"), ("install", "-y", "-qq", "--no-install-recommends", "chromium")),
    "dnf": (("install", "-y", "-q", "chromium"),),
    "apk": (("add", "-q", "chromium"),),
    "pacman": (("-S", "--noconfirm", "chromium"),),
}
"""The commands with which each package manager installs Chromium."""

INSTALL_HINT = (
    "No Chromium found, and none could be installed. Install one (Debian and Ubuntu: apt install chromium; macOS: "
    "brew install --cask chromium), or set its path: CHROMIUM=/path/to/chromium make test"
)


def find_chromium() -> str | None:
    """Return the path of a Chromium: from CHROMIUM, from the system, or from Playwright."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return path or _playwright_chromium()


def _playwright_chromium() -> str | None:
    caches = (Path.home() / ".cache" / "ms-playwright", Path.home() / "Library" / "Caches" / "ms-playwright")
    for pattern in ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium"):
        for path in (path for cache in caches for path in sorted(cache.glob(pattern), reverse=True)):
            return str(path)
    return None


def install_chromium() -> None:
    """Install Playwright's Chromium, or else the one of the system's package manager."""
    print("No Chromium found for the browser tests. Downloading Playwright's.", flush=True)
    if _succeeds(sys.executable, "-m", "playwright", "install", "chromium") and find_chromium():
        return
    manager = next(filter(shutil.which, PACKAGE_MANAGERS), None)
    if manager is None:
        return
    root = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    print(f"The download failed. Installing the system's with {' '.join([*root, manager])}.", flush=True)
    for arguments in PACKAGE_MANAGERS[manager]:
        _succeeds(*root, manager, *arguments)


def _succeeds(*command: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    if find_chromium() is None:
        install_chromium()
    if find_chromium() is None:
        sys.exit(INSTALL_HINT)
