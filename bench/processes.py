"""Starts and stops the processes that are measured, and reads their CPU seconds and memory from /proc."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from kustomer_klaviyo.postgres.files import server_paths
from kustomer_klaviyo.sandbox.klaviyo import DEFAULT_KEY
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.store.encryption import digest_secret
from traffic import CARD_SECRET, TOKEN

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
POLL_SECONDS = 0.05
READY_SECONDS = 240.0


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(*roots: int) -> float:
    """Return the CPU seconds of processes and all their descendants, including those that ended and were waited for."""
    return sum(sum(map(int, _stat(pid)[11:15])) for pid in _trees(roots)) / TICKS


def memory_megabytes(pid: int) -> float:
    """Return the memory in use by one process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat after the name: state, parent, ...; zeros for a process that has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 50


def _trees(roots: Sequence[int]) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    remaining = list(dict.fromkeys(roots))
    while remaining:
        pid = remaining.pop()
        yield pid
        remaining += children.get(pid, [])


@dataclass
class Running:
    """A process that was started, and the URL that it serves."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self.process.pid

    def kill(self) -> None:
        """End the process at once, without its cleanup."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Bench:
    """What all parts share: the database server, an HTTP client, and the scale of the run."""

    session: aiohttp.ClientSession
    data: Path
    scale: float = 1.0
    secret_key: str = field(default_factory=lambda: Fernet.generate_key().decode())

    def count(self, full: int, *, least: int = 50) -> int:
        """Return a number of rows or requests at the scale of the run."""
        return max(least, round(full * self.scale))

    def new_database(self, name: str = "bench") -> str:
        """Create an empty database, in place of the one of this name; returns its URL."""
        with psycopg.connect(server_paths(self.data).url_of("postgres"), autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return server_paths(self.data).url_of(name)

    @property
    def postgres_pid(self) -> int:
        """The process whose descendants are the whole database server."""
        return int((server_paths(self.data).cluster / "postmaster.pid").read_text().splitlines()[0])

    def cpu(self, *processes: Running) -> float:
        """Return the CPU seconds of processes with their descendants, and of the database server."""
        return cpu_seconds(self.postgres_pid, *(running.pid for running in processes))

    def settings(self, database_url: str) -> Settings:
        """Return the settings of a service on a database."""
        return Settings(database_url=database_url, data_directory=self.data, secret_key=self.secret_key)

    async def connect(self, database_url: str, klaviyo: Running, ids: Sequence[str] = ("bench",), **given: Any) -> None:
        """Create the tables, and connections to the simulated Klaviyo."""
        async with open_app(self.settings(database_url), owner=True) as app:
            for number, connection_id in enumerate(ids):
                secrets = Secrets("k", (DEFAULT_KEY,), (TOKEN,), (digest_secret(CARD_SECRET),))
                connection = Connection(
                    id=connection_id,
                    organisation="bench",
                    kustomer_url="http://127.0.0.1:9",
                    klaviyo_url=klaviyo.url,
                    secrets=secrets,
                    since=datetime(2020, 1, 1, tzinfo=UTC),
                    **{"klaviyo_account": f"account{number}"} | given,
                )
                await app.connections.save(connection)

    @asynccontextmanager
    async def serve(self, database_url: str, *options: str, port: int = 0) -> AsyncIterator[Running]:
        """Run the command ``serve`` on a database."""
        port = port or free_port()
        command = ["-m", "kustomer_klaviyo", "serve", "--port", str(port), *options]
        async with self.run(command, f"http://127.0.0.1:{port}", "/ready", self._environment(database_url)) as running:
            yield running

    @asynccontextmanager
    async def worker(self, database_url: str) -> AsyncIterator[Running]:
        """Run the command ``worker`` on a database."""
        async with self.run(["-m", "kustomer_klaviyo", "worker"], "", None, self._environment(database_url)) as running:
            yield running

    @asynccontextmanager
    async def klaviyo(self, *options: str, rate_scale: float = 0.0) -> AsyncIterator[Running]:
        """Run a simulated Klaviyo, empty. ``rate_scale`` multiplies its limits; 0 switches them off."""
        port = free_port()
        command = [str(HERE / "klaviyo_process.py"), "--port", str(port), "--rate-scale", str(rate_scale), *options]
        async with self.run(command, f"http://127.0.0.1:{port}", "/sandbox/state", {}) as running:
            yield running

    @asynccontextmanager
    async def yardstick(self, script: str, database_url: str, **variables: str) -> AsyncIterator[Running]:
        """Run a design that the service is compared with."""
        port = free_port()
        command = [str(HERE / "yardsticks" / script), str(port)]
        environment = self._environment(database_url) | variables
        async with self.run(command, f"http://127.0.0.1:{port}", "/ready", environment) as running:
            yield running

    def _environment(self, database_url: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database_url,
            "KUSTOMER_KLAVIYO_DATA_DIRECTORY": str(self.data),
            "KUSTOMER_KLAVIYO_SECRET_KEY": self.secret_key,
            "KUSTOMER_KLAVIYO_LOG_LEVEL": "error",
        }

    @asynccontextmanager
    async def run(
        self, command: list[str], url: str, ready: str | None, environment: Mapping[str, str]
    ) -> AsyncIterator[Running]:
        """Run a Python program while the block lasts."""
        paths = {"PYTHONPATH": os.pathsep.join((str(HERE), str(HERE / "yardsticks")))}
        variables = os.environ | paths | dict(environment)
        process = await asyncio.to_thread(
            subprocess.Popen, [sys.executable, *command], env=variables, stdout=subprocess.DEVNULL
        )
        try:
            if ready is not None:
                await self._wait_until_ready(url + ready, process)
            yield Running(process, url)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)

    async def _wait_until_ready(self, url: str, process: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(READY_SECONDS):
            while process.poll() is None:
                try:
                    async with self.session.get(url) as response:
                        if response.status == 200:
                            return
                except aiohttp.ClientError:
                    pass
                await asyncio.sleep(POLL_SECONDS)
        raise RuntimeError(f"ended with {process.returncode}: {process.args!r}")

    async def get(self, url: str) -> Any:
        """Read JSON."""
        async with self.session.get(url) as response:
            return await response.json()

    async def state(self, klaviyo: Running) -> dict[str, Any]:
        """Return the counts of the simulated Klaviyo."""
        counts: dict[str, Any] = await self.get(f"{klaviyo.url}/sandbox/state")
        return counts

    async def wait_for_events(self, klaviyo: Running, count: int) -> None:
        """Wait until the simulated Klaviyo has this many events."""
        while (await self.state(klaviyo))["events"] < count:
            await asyncio.sleep(POLL_SECONDS)

    async def wait_until_quiet(self, klaviyo: Running, seconds: float = 3.0) -> None:
        """Wait until the simulated Klaviyo has received nothing for some seconds."""
        before, state = None, await self.state(klaviyo)
        while state != before:
            await asyncio.sleep(seconds)
            before, state = state, await self.state(klaviyo)


def event_id(unique_id: str) -> str:
    """Return the conversation id in the ``unique_id`` of an event."""
    found = re.search(r"[0-9a-f]{24}", unique_id)
    return found.group() if found else unique_id
