"""The environment of a round: PostgreSQL, both vendors and the service, each behind a fault proxy."""

import asyncio
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, LiteralString
from urllib.parse import parse_qs, urlsplit

import aiohttp
import msgspec
import psycopg
from aiohttp import web
from psycopg.rows import dict_row

from chaos.proxy import FaultProxy, OpenTarget, run_proxy
from kustomer_klaviyo.demo.environment import ORGANISATION, free_port, program_variables
from kustomer_klaviyo.postgres.files import PORT, server_paths
from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.sandbox import klaviyo, kustomer
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.sandbox.kustomer import KustomerOptions
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import DISPATCHER
from kustomer_klaviyo.sandbox.kustomer.model.webhook_delivery import WebhookDelivery
from kustomer_klaviyo.task_group import cancel_all
from support.e2e_environment import FAST_RETRIES, E2EEnvironment
from support.timeouts import TIMEOUT_SECONDS

DISORDER = 0.2
"""The share of webhooks that come late or twice."""
RETRY_SCALE = 0.02
"""Kustomer's retries of one webhook take 77 seconds."""
WATCH_SECONDS = 0.05
RESTART_SECONDS = 0.5
SQL_SECONDS = 5
MAX_LINE = 300
UNAVAILABLE = re.compile(r'"code": "(database_unavailable|vendor_unavailable)"')
UNLIMITED_ATTEMPTS = {"KUSTOMER_KLAVIYO_RETRY_MAX_ATTEMPTS": "1000"}
"""In compressed time, twelve failures of one delivery are seconds and not hours."""


@dataclass
class Postgres:
    """A server that is restarted whenever it dies."""

    directory: Path
    server: EmbeddedServer = field(init=False)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    url: str = ""
    _supervision: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.server = EmbeddedServer(self.directory)

    @property
    def pid(self) -> int:
        """The process id of the postmaster."""
        return int((server_paths(self.directory).cluster / "postmaster.pid").read_text().split()[0])

    async def start(self) -> None:
        """Start and supervise the server."""
        self.url = await self.server.start()
        self._supervision = asyncio.create_task(self.server.supervise())

    async def stop(self) -> None:
        """Stop the server."""
        if self._supervision is not None:
            await cancel_all([self._supervision])
        await self.server.stop()

    @property
    def open_socket(self) -> OpenTarget:
        """Opens a connection to the server's socket."""
        directory = parse_qs(urlsplit(self.url).query)["host"][0]
        return partial(asyncio.open_unix_connection, f"{directory}/.s.PGSQL.{PORT}")

    async def connect(self) -> psycopg.AsyncConnection[dict[str, Any]]:
        """Connect without the proxy."""
        return await psycopg.AsyncConnection.connect(
            self.url, autocommit=True, row_factory=dict_row, connect_timeout=SQL_SECONDS
        )

    async def fetch(self, query: LiteralString, params: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
        """Run a query without the proxy."""
        async with asyncio.timeout(SQL_SECONDS), await self.connect() as conn:
            return await (await conn.execute(query, params)).fetchall()


class ChaosEnvironment(E2EEnvironment):
    """The service's processes are restarted whenever they end, as by a process manager."""

    postgres: Postgres
    proxies: dict[str, FaultProxy]
    """By the names of ``schedule.NETWORKS``."""
    log: IO[bytes]
    acknowledged: set[str]
    """The conversations of which a webhook was acknowledged."""
    running: dict[str, subprocess.Popen[bytes]]
    exits: list[str]
    """Processes that ended by themselves."""
    guards: dict[str, asyncio.Lock]
    """Who holds a process's lock keeps it from being restarted."""

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start a process of the program. Its messages go to the log."""
        process = subprocess.Popen(
            [sys.executable, "-m", "kustomer_klaviyo", *arguments],
            env=self.variables,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    async def execute(self, *arguments: str) -> tuple[int | None, str]:
        """Run a command on the database itself."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "kustomer_klaviyo", *arguments,
            env=self.variables | {"DATABASE_URL": self.postgres.url}, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    async def connect(self, connection: str = ORGANISATION, *, klaviyo: str | None = None, **options: str) -> None:
        """Connect the vendors through the proxies."""
        flags = [part for name, value in options.items() for part in ("--option", f"{name}={value}")]
        urls = {"public": self.proxied("webhooks"), "kustomer": self.proxied("kustomer")}
        urls["klaviyo"] = klaviyo or self.proxied("klaviyo")
        addresses = [part for name, url in urls.items() for part in (f"--{name}-url", url)]
        await self.run("connect", ORGANISATION, "--connection", connection, *addresses, *flags)

    def proxied(self, name: str) -> str:
        """Return the URL of a proxy."""
        return f"http://127.0.0.1:{self.proxies[name].port}"

    async def keep_running(self, name: str, *arguments: str) -> None:
        """Run a process of the service, and start it again whenever it ends, until cancelled."""
        guard = self.guards[name] = asyncio.Lock()
        while True:
            async with guard:
                process = self.running[name] = self.start(*arguments)
            while process.poll() is None:
                await asyncio.sleep(WATCH_SECONDS)
            self.processes.remove(process)
            if process.returncode != -9:
                self.exits.append(f"{name} ended with {process.returncode}")
                await asyncio.sleep(RESTART_SECONDS)

    def messages(self) -> str:
        """Return what the processes logged."""
        return Path(self.log.name).read_text(errors="replace")

    def program_errors(self) -> list[str]:
        """Return what the processes logged about errors of the program: a log line has their code."""
        return [
            line[:MAX_LINE]
            for line in self.messages().splitlines()
            if '"code"' in line and not UNAVAILABLE.search(line)
        ]


@asynccontextmanager
async def run_chaos_environment(directory: Path, seed: int) -> AsyncIterator[ChaosEnvironment]:
    """Run PostgreSQL, both vendors and the proxies. The caller starts the processes."""
    kustomer_app = kustomer.create_app(
        KustomerOptions(
            retry_scale=RETRY_SCALE,
            duplicate_probability=DISORDER,
            reorder_probability=DISORDER,
            disable_after_failures=10_000,
            seed=seed,
        )
    )
    postgres = Postgres(directory / "external")
    postgres.directory.mkdir(mode=0o711)
    async with AsyncExitStack() as stack:
        await postgres.start()
        stack.push_async_callback(postgres.stop)
        environment = await _open(stack, directory, kustomer_app, postgres)
        kustomer_app[DISPATCHER].on_acknowledged = partial(_record, environment.acknowledged)
        stack.push_async_callback(asyncio.to_thread, environment.stop)
        yield environment


async def _open(
    stack: AsyncExitStack, directory: Path, kustomer_app: web.Application, postgres: Postgres
) -> ChaosEnvironment:
    vendors = {
        "kustomer": await stack.enter_async_context(run_server(kustomer_app)),
        "klaviyo": await stack.enter_async_context(run_server(klaviyo.create_app())),
    }
    port = free_port()
    targets = {name: _tcp(int(url.rpartition(":")[2])) for name, url in vendors.items()}
    targets |= {"webhooks": _tcp(port), "database": postgres.open_socket}
    proxies = {name: await stack.enter_async_context(run_proxy(target)) for name, target in targets.items()}
    url = f"postgresql://kustomer_klaviyo@127.0.0.1:{proxies['database'].port}/kustomer_klaviyo"
    session = await stack.enter_async_context(aiohttp.ClientSession())
    variables = program_variables(directory, url) | FAST_RETRIES | UNLIMITED_ATTEMPTS
    environment = ChaosEnvironment(vendors["kustomer"], vendors["klaviyo"], session, variables, port, TIMEOUT_SECONDS)
    environment.postgres, environment.proxies = postgres, proxies
    environment.log = stack.enter_context((directory / "service.log").open("ab"))
    environment.acknowledged, environment.running = set(), {}
    environment.exits, environment.guards = [], {}
    return environment


def _tcp(port: int) -> OpenTarget:
    return partial(asyncio.open_connection, "127.0.0.1", port)


def _record(acknowledged: set[str], delivery: WebhookDelivery) -> None:
    """Note the conversation of an acknowledged webhook."""
    with suppress(msgspec.DecodeError, KeyError):
        resource = msgspec.json.decode(delivery.body)["data"]
        if resource["type"] == "conversation":
            acknowledged.add(resource["id"])


Report = Callable[[str], None]
"""Tells what happens."""
