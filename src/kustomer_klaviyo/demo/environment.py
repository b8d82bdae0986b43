"""Everything running together on this machine: the service and both simulated vendors, each a process of its own."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.service import house
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.database import Database

START_SECONDS = 60.0
STOP_SECONDS = 20.0
NAME = "sandbox"


class DemoError(Exception):
    """The demo could not be started; the text says what did not come up."""


@dataclass(frozen=True, slots=True)
class Theatre:
    """Where everything is reached."""

    service: str
    kustomer: str
    klaviyo: str
    database: Database
    session: aiohttp.ClientSession
    link_template: str = f"https://{NAME}.kustomerapp.com/app/customers/{{customerId}}/event/{{conversationId}}"

    async def get(self, url: str) -> Any:
        """Read JSON."""
        async with self.session.get(url) as response:
            response.raise_for_status()
            return await response.json()

    async def post(self, url: str, body: Mapping[str, Any]) -> Any:
        """Send JSON."""
        async with self.session.post(url, json=body) as response:
            response.raise_for_status()
            return await response.json()


@asynccontextmanager
async def theatre(*, disorder: float, port: int) -> AsyncIterator[Theatre]:
    """Start everything, connected; stop it and remove its data at the end."""
    async with AsyncExitStack() as stack:
        data = _new_directory()
        stack.callback(shutil.rmtree, data, ignore_errors=True)
        ports = [port or _free_port(), _free_port(), _free_port()]
        service, kustomer_url, klaviyo_url = (f"http://127.0.0.1:{one}" for one in ports)
        environment = os.environ | {
            "KUSTOMER_KLAVIYO_DATA": str(data),
            "KUSTOMER_KLAVIYO_LOG_LEVEL": "error",
            "KUSTOMER_API_KEY": kustomer.DEFAULT_KEY,
            "KLAVIYO_PRIVATE_KEY": klaviyo.DEFAULT_KEY,
        }
        environment.pop("DATABASE_URL", None)
        trouble = ("--retry-scale", "0.005", "--duplicates", str(disorder), "--disorder", str(disorder))
        for arguments in (
            ("sandbox", "kustomer", "--port", str(ports[1]), *trouble),
            ("sandbox", "klaviyo", "--port", str(ports[2]), "--marketing"),
            ("serve", "--port", str(ports[0])),
        ):
            stack.push_async_callback(_stop, _start(arguments, environment))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        for url in (f"{kustomer_url}/sandbox/state", f"{klaviyo_url}/sandbox/state", f"{service}/ready"):
            await _until_ready(session, url)
        await _connect(environment, service, kustomer_url, klaviyo_url)
        home = await stack.enter_async_context(house(Settings(data_directory=data)))
        yield Theatre(service, kustomer_url, klaviyo_url, home.database, session)


def _new_directory() -> Path:
    data = Path(tempfile.mkdtemp(prefix="kustomer-klaviyo-demo-"))
    # PostgreSQL may run under another account, which must be able to enter.
    data.chmod(0o711)
    return data


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(arguments: tuple[str, ...], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
    # A session of their own: Ctrl-C ends the demo, and the demo ends them in their order.
    return subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "kustomer_klaviyo", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )


async def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        await asyncio.to_thread(process.wait, STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


async def _until_ready(session: aiohttp.ClientSession, url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            async with session.get(url) as response:
                if response.status == 200:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.05)
    raise DemoError(f"{url} did not become ready within {START_SECONDS:.0f} s; see the messages above.")


async def _connect(environment: Mapping[str, str], service: str, kustomer_url: str, klaviyo_url: str) -> None:
    """Connect the two, and put the card on the simulated agents' desktop."""
    things = ("profile", "list", "segment", "campaign", "flow")
    options = {f"{thing}_link": f"{klaviyo_url}/{thing}/{{id}}" for thing in things}
    options |= {"agents_at": kustomer_url, "cards_sdk": f"{kustomer_url}/desktop/cards-sdk.js"}
    given = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
    urls = ("--public-url", service, "--kustomer-url", kustomer_url, "--klaviyo-url", klaviyo_url)
    await _run(environment, "connect", NAME, *urls, *given)
    await _run(environment, "app", "install", "--public-url", service)


async def _run(environment: Mapping[str, str], *arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "kustomer_klaviyo", *arguments, env=environment, stdout=subprocess.DEVNULL
    )
    if await process.wait() != 0:
        raise DemoError("The demo could not be connected; see the message above.")
