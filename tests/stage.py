"""A stage for tests on real processes: both vendors simulated, the service as programs that can be killed."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from psycopg import sql

from kustomer_klaviyo.demo.comparison import Comparison, Sides, compare
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.kustomer import KustomerOptions
from kustomer_klaviyo.sandbox.serving import serving
from kustomer_klaviyo.store.migrate import migrate
from patience import until

LINK = "https://sandbox.kustomerapp.com/app/customers/{customerId}/event/{conversationId}"
IMPATIENT = {"FIRST_WAIT": "0.1", "LONGEST_WAIT": "1", "FIRST_PAUSE": "0.2", "LONGEST_PAUSE": "1"}


@dataclass
class Stage:
    """Where everything runs, and the processes of the service."""

    kustomer: str
    klaviyo: str
    session: aiohttp.ClientSession
    environment: dict[str, str]
    port: int
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def service(self) -> str:
        """The service's address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one process of the program."""
        process = subprocess.Popen(
            [sys.executable, "-m", "kustomer_klaviyo", *arguments], env=self.environment, start_new_session=True
        )
        self.processes.append(process)
        return process

    async def serve(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start the service and wait until it is ready."""
        process = self.start("serve", "--port", str(self.port), *arguments)
        await self.until(self.is_ready, "the service is ready")
        return process

    async def is_ready(self) -> bool:
        """Say whether the service is ready."""
        try:
            async with self.session.get(f"{self.service}/ready") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False

    async def connect(self, **options: str) -> None:
        """Connect the two simulated accounts."""
        given = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
        urls = ("--public-url", self.service, "--kustomer-url", self.kustomer, "--klaviyo-url", self.klaviyo)
        await self.run("connect", "sandbox", *urls, *given)

    async def run(self, *arguments: str, expect: int = 0) -> str:
        """Run a command to its end and return what it printed."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kustomer_klaviyo", *arguments, env=self.environment, stdout=subprocess.PIPE
        )
        printed, _ = await process.communicate()
        assert process.returncode == expect, printed.decode()
        return printed.decode()

    async def get(self, url: str) -> Any:
        """Read JSON."""
        async with self.session.get(url) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def send(self, url: str, body: Mapping[str, Any] | None = None, *, method: str = "POST") -> Any:
        """Send JSON and return what came back."""
        async with self.session.request(method, url, json=body or {}) as response:
            assert response.status < 300, await response.text()
            return await response.json() if response.content_type == "application/json" else None

    async def kustomer_api(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the simulated Kustomer's API as an admin would."""
        headers = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}
        async with self.session.request(method, self.kustomer + path, json=body, headers=headers) as response:
            assert response.status < 300, await response.text()
            return await response.json()

    async def play(self, **script: Any) -> None:
        """Let the simulated people begin their day."""
        await self.send(f"{self.kustomer}/sandbox/play", script)

    async def misbehave(self, vendor: str, **fault: Any) -> None:
        """Let a vendor misbehave."""
        await self.send(f"{vendor}/sandbox/faults", fault)

    async def is_played(self) -> bool:
        """Say whether everything was played and every webhook acknowledged."""
        play = await self.get(f"{self.kustomer}/sandbox/play")
        state = await self.get(f"{self.kustomer}/sandbox/state")
        return not play["running"] and state["deliveries"].get("pending", 0) == 0

    async def compared(self) -> Comparison:
        """Compare what happened with what Klaviyo holds."""
        sides = Sides(
            happened=await self.get(f"{self.kustomer}/sandbox/expected"),
            customers=await self.get(f"{self.kustomer}/sandbox/expected-customers"),
            arrived=await self.arrived(),
            profiles=await self.get(f"{self.klaviyo}/sandbox/profiles"),
        )
        return compare(sides, LINK)

    async def arrived(self) -> list[dict[str, Any]]:
        """Return what Klaviyo holds, in the order of arrival."""
        found: list[dict[str, Any]] = await self.get(f"{self.klaviyo}/sandbox/events")
        return found

    async def is_equal(self) -> bool:
        """Say whether Klaviyo holds exactly what happened."""
        return await self.is_played() and (await self.compared()).is_good

    async def assert_every_event_arrives_once(self) -> None:
        """Wait until both sides are equal, and still are a moment later."""
        try:
            await self.until(self.is_equal, "both sides are equal")
        except AssertionError as late:
            raise AssertionError(await self.report()) from late
        await asyncio.sleep(1.0)
        assert (await self.compared()).is_good, await self.report()

    async def report(self) -> str:
        """Say how things stand, for a failing test."""
        state = await self.get(f"{self.kustomer}/sandbox/state")
        problems = (await self.compared()).problems[:10]
        return f"{problems}\n{state['deliveries']}\n{await self.status()}"

    async def status(self) -> str:
        """Return what the program says of itself."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kustomer_klaviyo", "status", "--json", env=self.environment, stdout=subprocess.PIPE
        )
        printed, _ = await process.communicate()
        return printed.decode()

    async def until(self, is_so: Callable[[], Any], what: str) -> None:
        """Wait for something."""
        try:
            await until(is_so, what, every=0.1)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{await self.status()}") from late

    async def until_arrived(self, count: int) -> None:
        """Wait until Klaviyo holds so many events: the traffic is then in its middle."""

        async def have_arrived() -> bool:
            return len(await self.arrived()) >= count

        await self.until(have_arrived, f"{count} events arrived")

    def end(self) -> None:
        """Stop what still runs."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill without warning."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def new_directory() -> Path:
    """Make a directory that the account which runs PostgreSQL can enter."""
    path = Path(tempfile.mkdtemp(prefix="kk-test-"))
    path.chmod(0o711)
    return path


@contextmanager
def own_directory() -> Iterator[Path]:
    """Make a directory for a while."""
    path = new_directory()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def own_database(postgres_url: str) -> Iterator[str]:
    """Make an empty database, in the shape this version needs, for a while."""
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        url = postgres_url.replace("/kustomer_klaviyo?", f"/{name}?")
        migrate(url)
        yield url
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def free_port() -> int:
    """Return a port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def staged(
    data_directory: Path,
    *,
    database_url: str | None = None,
    trouble: float = 0.0,
    retry_scale: float = 0.02,
    masked: bool = False,
    marketing: bool = False,
) -> AsyncIterator[Stage]:
    """Set the stage: both vendors run, nothing of the service does."""
    environment = os.environ | {f"KUSTOMER_KLAVIYO_{name}": value for name, value in IMPATIENT.items()}
    environment |= {
        "KUSTOMER_KLAVIYO_DATA": str(data_directory),
        "KUSTOMER_KLAVIYO_LOG_LEVEL": "error",
        "KUSTOMER_API_KEY": kustomer.DEFAULT_KEY,
        "KLAVIYO_PRIVATE_KEY": klaviyo.DEFAULT_KEY,
    }
    environment.pop("DATABASE_URL", None)
    if database_url is not None:
        environment["DATABASE_URL"] = database_url
    people = kustomer.create_app(
        KustomerOptions(
            retry_scale=retry_scale,
            duplicate_probability=trouble,
            reorder_probability=trouble,
            disable_after_failures=10_000,
            masked=masked,
        )
    )
    async with (
        serving(people) as kustomer_url,
        serving(klaviyo.create_app(klaviyo.KlaviyoOptions(marketing=marketing))) as klaviyo_url,
        aiohttp.ClientSession() as session,
    ):
        stage = Stage(kustomer_url, klaviyo_url, session, environment, free_port())
        try:
            yield stage
        finally:
            await asyncio.to_thread(stage.end)
