"""Finds a Chromium for the browser tests; run as a program, it installs one where there is none and says how."""

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
"""The arguments with which each one installs Chromium."""

HOW = (
    "There is no Chromium, and it could not be installed. Install one (Debian and Ubuntu: apt install chromium; macOS: "
    "brew install --cask chromium), or name one: CHROMIUM=/path/to/chromium make test"
)


def find() -> str | None:
    """Return the path of a Chromium: the one named by CHROMIUM, the system's, or Playwright's own."""
    named = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    return named or _playwrights()


def _playwrights() -> str | None:
    caches = (Path.home() / ".cache" / "ms-playwright", Path.home() / "Library" / "Caches" / "ms-playwright")
    for pattern in ("chromium-*/chrome-linux*/chrome", "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium"):
        for found in (path for cache in caches for path in sorted(cache.glob(pattern), reverse=True)):
            return str(found)
    return None


def install() -> None:
    """Install Chromium: Playwright's own build, else by the system's package manager where that is allowed."""
    print("The browser tests need a Chromium, and there is none: downloading Playwright's.", flush=True)
    if _runs(sys.executable, "-m", "playwright", "install", "chromium") and find():
        return
    manager = next(filter(shutil.which, PACKAGE_MANAGERS), None)
    if manager is None:
        return
    root = [] if os.getuid() == 0 else ["sudo", "--non-interactive"]
    print(f"That did not work: installing the system's with {' '.join([*root, manager])}.", flush=True)
    for arguments in PACKAGE_MANAGERS[manager]:
        _runs(*root, manager, *arguments)


def _runs(*command: str) -> bool:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        return subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode == 0
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    if find() is None:
        install()
    if find() is None:
        sys.exit(HOW)
