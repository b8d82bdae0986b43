"""The service and both simulated vendors on this machine. The demo and the end-to-end tests use it."""

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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from kustomer_klaviyo.demo.comparison import Comparison, SandboxState, compare
from kustomer_klaviyo.demo.demo_error import DemoError
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.database import Database

START_SECONDS = 60.0
STOP_SECONDS = 20.0
ORGANISATION = "sandbox"
"""The name of the simulated organisation, and the ID of the default connection."""
CONVERSATION_LINK = f"https://{ORGANISATION}.kustomerapp.com/app/customers/{{customerId}}/event/{{conversationId}}"
"""The default link to a conversation, with the organisation filled in."""
LINKED_RESOURCES = ("profile", "list", "segment", "campaign", "flow")
"""What the card links to at Klaviyo."""


@dataclass
class LocalEnvironment:
    """Two simulated vendors, and the processes of the service between them."""

    kustomer: str
    """The URL of the simulated Kustomer."""
    klaviyo: str
    """The URL of the simulated Klaviyo."""
    session: aiohttp.ClientSession
    variables: dict[str, str]
    """The environment variables of the processes."""
    port: int
    """The port of the service."""
    start_seconds: float = START_SECONDS
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def service(self) -> str:
        """The URL of the service."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a process of the program."""
        # A session of its own: Ctrl-C ends the demo only, and the demo stops its processes in order.
        process = subprocess.Popen(  # noqa: S603 - this program
            [sys.executable, "-m", "kustomer_klaviyo", *arguments],
            env=self.variables,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    async def serve(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the service and wait until it is ready."""
        process = self.start("serve", "--port", str(self.port), *arguments)
        await self.wait_for_url(f"{self.service}/ready", process)
        return process

    async def wait_for_url(self, url: str, process: subprocess.Popen[bytes]) -> None:
        """Wait until a URL of a process responds with 200. Raises DemoError if it ends, or after ``start_seconds``."""
        deadline = time.monotonic() + self.start_seconds
        while not await self.is_up(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"{url} did not become ready; see the messages above.")
            await asyncio.sleep(0.05)

    async def is_up(self, url: str) -> bool:
        """Return whether a URL responds with 200."""
        try:
            async with self.session.get(url) as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def run(self, *arguments: str, expect: int = 0) -> str:
        """Run a command to its end and return its standard output. Raises DemoError for another exit code."""
        code, output = await self.execute(*arguments)
        if code != expect:
            command = f"kustomer-klaviyo {arguments[0]}"
            raise DemoError(f"{command} ended with exit code {code}; see the messages above.\n{output}".rstrip())
        return output

    async def execute(self, *arguments: str) -> tuple[int | None, str]:
        """Run a command to its end. Returns its exit code and its standard output."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kustomer_klaviyo", *arguments, env=self.variables, stdout=subprocess.PIPE
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    async def connect(self, connection: str = ORGANISATION, *, klaviyo: str | None = None, **options: str) -> None:
        """Connect the simulated Kustomer and a simulated Klaviyo (default: this environment's)."""
        urls = ("--public-url", self.service, "--kustomer-url", self.kustomer, "--klaviyo-url", klaviyo or self.klaviyo)
        flags = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
        await self.run("connect", ORGANISATION, "--connection", connection, *urls, *flags)

    async def connect_with_card(self, *, card_form: str = "hosted") -> None:
        """Connect the accounts and install the card's app. The card links to the simulated Klaviyo."""
        links = {f"{resource}_link": f"{self.klaviyo}/{resource}/{{id}}" for resource in LINKED_RESOURCES}
        sdk = f"{self.kustomer}/desktop/cards-sdk.js"
        await self.connect(kustomer_app_url=self.kustomer, cards_sdk_url=sdk, **links)
        await self.install_card(card_form=card_form)

    async def install_card(self, connection: str = ORGANISATION, *, card_form: str | None = None) -> None:
        """Install the card's app of a connection in the simulated Kustomer."""
        form = () if card_form is None else ("--form", card_form)
        await self.run("app", "install", "--connection", connection, "--public-url", self.service, *form)

    async def get(self, url: str) -> Any:
        """Read JSON."""
        async with self.session.get(url) as response:
            response.raise_for_status()
            return await response.json()

    async def send(self, url: str, body: Mapping[str, Any] | None = None, *, method: str = "POST") -> Any:
        """Send JSON. Returns the JSON of the response, if any."""
        async with self.session.request(method, url, json=body or {}) as response:
            response.raise_for_status()
            return await response.json() if response.content_type == "application/json" else None

    async def compare(self) -> Comparison:
        """Compare what Klaviyo holds with what happened in Kustomer."""
        state = SandboxState(
            expected_events=await self.get(f"{self.kustomer}/sandbox/expected-events"),
            expected_customers=await self.get(f"{self.kustomer}/sandbox/expected-customers"),
            actual_events=await self.get(f"{self.klaviyo}/sandbox/events"),
            actual_profiles=await self.get(f"{self.klaviyo}/sandbox/profiles"),
        )
        return compare(state, CONVERSATION_LINK)

    def stop(self) -> None:
        """Stop the processes, the last one first."""
        for process in reversed(self.processes):
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@dataclass
class DemoEnvironment(LocalEnvironment):
    """The environment of the demo, with the database of its service."""

    db: Database = field(kw_only=True)


@asynccontextmanager
async def run_demo_environment(*, disorder: float, port: int) -> AsyncIterator[DemoEnvironment]:
    """Start the vendors and the service and connect them. Stops them and removes their data at the end."""
    async with AsyncExitStack() as stack:
        data_directory = new_directory("kustomer-klaviyo-demo-")
        stack.callback(shutil.rmtree, data_directory, ignore_errors=True)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        local = _local_environment(session, data_directory, port or free_port())
        stack.push_async_callback(asyncio.to_thread, local.stop)
        await _start_vendors(local, disorder)
        await local.serve()
        await local.connect_with_card()
        app = await stack.enter_async_context(open_app(Settings(data_directory=data_directory)))
        yield DemoEnvironment(**vars(local), db=app.db)


def _local_environment(session: aiohttp.ClientSession, data_directory: Path, port: int) -> LocalEnvironment:
    kustomer_url, klaviyo_url = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    return LocalEnvironment(kustomer_url, klaviyo_url, session, program_variables(data_directory), port)


async def _start_vendors(local: LocalEnvironment, disorder: float) -> None:
    faults = (
        "--retry-scale",
        "0.005",
        "--duplicate-probability",
        str(disorder),
        "--reorder-probability",
        str(disorder),
    )
    kustomer_process = local.start("sandbox", "kustomer", "--port", local.kustomer.rpartition(":")[2], *faults)
    klaviyo_process = local.start("sandbox", "klaviyo", "--port", local.klaviyo.rpartition(":")[2], "--marketing")
    await local.wait_for_url(f"{local.kustomer}/sandbox/state", kustomer_process)
    await local.wait_for_url(f"{local.klaviyo}/sandbox/state", klaviyo_process)


def program_variables(data_directory: Path, database_url: str | None = None) -> dict[str, str]:
    """Return the environment variables of the processes. Without a database URL they use an embedded PostgreSQL."""
    variables = os.environ | {
        "KUSTOMER_KLAVIYO_DATA_DIRECTORY": str(data_directory),
        "KUSTOMER_KLAVIYO_LOG_LEVEL": "error",
        "KUSTOMER_API_KEY": kustomer.DEFAULT_KEY,
        "KLAVIYO_PRIVATE_KEY": klaviyo.DEFAULT_KEY,
    }
    variables.pop("DATABASE_URL", None)
    return variables if database_url is None else variables | {"DATABASE_URL": database_url}


def new_directory(prefix: str) -> Path:
    """Create a temporary directory that the user of PostgreSQL can enter."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    path.chmod(0o711)
    return path


def free_port() -> int:
    """Return a port that no process uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
