"""The embedded PostgreSQL: started, watched over and stopped by the program, on a Unix socket only.

For trying, tests and one small machine. Its programs come from a wheel; how they are run is decided here.
"""

import asyncio
import fcntl
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import structlog
from psycopg import sql

from kustomer_klaviyo.postgres.cluster import ROLE, end_leftover, ensure_cluster, identity
from kustomer_klaviyo.postgres.files import (
    PORT,
    CannotStart,
    DataDirectoryInUse,
    Places,
    ServerError,
    WrongMajorVersion,
    places,
    prepare,
    programs,
)

__all__ = ["CannotStart", "DataDirectoryInUse", "EmbeddedServer", "ServerError", "WrongMajorVersion"]

START_SECONDS = 60.0
"""How long a server that dies again and again is started again."""
RECOVER_SECONDS = 600.0
"""How long one that lives may take to answer: after a hard end it first reads again what it had written ahead."""
STOP_SECONDS = 30.0
LOCK_SECONDS = 1.0
"""A killed predecessor holds its lock until it is fully gone, and one who only looks holds it for a moment."""
WATCH_SECONDS = 0.1
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 0.1, 5.0
LOG_BYTES = 16_000_000

CONFIGURATION = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    # One query, one process: a small machine gains nothing, and containers have little of the memory processes share.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
    "fsync": "on",
    "synchronous_commit": "on",
}

log = structlog.get_logger()


class EmbeddedServer:
    """An own PostgreSQL in a data directory, for one service at a time."""

    def __init__(self, data_directory: Path) -> None:
        self._places = places(data_directory)
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted = False

    @staticmethod
    def running_url(data_directory: Path) -> str | None:
        """Return how to reach the server that another process of ours runs there; None when none does."""
        where = places(data_directory)
        if not where.lock.exists():
            return None
        with where.lock.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return where.url
        return None

    @staticmethod
    def has_data(data_directory: Path) -> bool:
        """Say whether a service ever ran there."""
        return places(data_directory).cluster.exists()

    async def start(self) -> str:
        """Start the server and return how to connect, once it answers. Raises ServerError."""
        if self._wanted:
            return self._places.url
        self._wanted = True
        try:
            await asyncio.to_thread(self._prepare)
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        return self._places.url

    async def supervise(self) -> None:
        """Start the server again whenever it dies; runs until cancelled or the server is stopped."""
        while (process := self._process) is not None:
            if process.poll() is None:
                await asyncio.sleep(WATCH_SECONDS)
                continue
            log.warning("postgres.died", code=process.returncode)
            await self._launch_again()

    async def stop(self) -> None:
        """Stop the server, letting it write everything down first."""
        self._wanted = False
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_end, process)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _prepare(self) -> None:
        prepare(self._places)
        self._lock = _hold(self._places)
        ensure_cluster(self._places)

    async def _launch_again(self) -> None:
        for wait in _waits():
            try:
                await self._launch()
            except ServerError as error:
                if not self._wanted:
                    return
                log.warning("postgres.restart_failed", error=str(error))
                await asyncio.sleep(wait)
            else:
                log.info("postgres.restarted")
                return

    async def _launch(self) -> None:
        """Start the process and wait until it answers; a dying predecessor may still hold its memory for a moment."""
        deadline = time.monotonic() + START_SECONDS
        for wait in _waits():
            await asyncio.to_thread(end_leftover, self._places)
            # From here to the assignment nothing is awaited, so that ``stop`` never misses a process.
            if not self._wanted:
                raise CannotStart("PostgreSQL was stopped while it started.")
            self._process = process = self._spawn()
            if await self._answers(process):
                return
            if time.monotonic() > deadline:
                raise CannotStart(f"PostgreSQL does not start: {_last_lines(self._places.log)}")
            await asyncio.sleep(wait)

    def _spawn(self) -> subprocess.Popen[bytes]:
        where = self._places
        command = [str(programs(where) / "postgres"), "-D", str(where.cluster)]
        sockets = str(where.sockets).replace('"', '""')
        for name, value in {**CONFIGURATION, "unix_socket_directories": f'"{sockets}"'}.items():
            command += ["-c", f"{name}={value}"]
        if where.log.exists() and where.log.stat().st_size > LOG_BYTES:
            where.log.replace(where.log.with_suffix(".log.1"))
        where.log.touch(mode=0o600)
        with where.log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal must reach us first, and the server only from us.
            return subprocess.Popen(  # noqa: S603 - our own program with our own arguments
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **identity(where)
            )

    async def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + RECOVER_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                await asyncio.to_thread(_ensure_database, self._places)
            except psycopg.OperationalError:
                await asyncio.sleep(0.02)
            else:
                return True
        return False


def _waits() -> Iterator[float]:
    wait = FIRST_WAIT_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, LONGEST_WAIT_SECONDS)


def _hold(where: Places) -> IO[bytes]:
    """Take the lock that goes with our process, however it ends. Raises DataDirectoryInUse."""
    where.lock.touch(mode=0o600)
    lock = where.lock.open("ab")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                lock.close()
                raise DataDirectoryInUse(
                    f"Another service runs on {where.home.parent}. Stop it, or set KUSTOMER_KLAVIYO_DATA to a "
                    "directory of this one's own."
                ) from error
            time.sleep(0.05)
        else:
            return lock


def _end(process: subprocess.Popen[bytes]) -> None:
    """End our server: without waiting for its clients, and if that takes too long, without tidying up."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("postgres.slow_to_stop", signal=number.name)
        else:
            return


def _ensure_database(where: Places) -> None:
    with psycopg.connect(where.url_of("postgres"), autocommit=True, connect_timeout=5) as connection:
        if connection.execute("SELECT FROM pg_database WHERE datname = %s", (ROLE,)).fetchone() is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(ROLE)))


def _last_lines(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return " | ".join(lines[-5:])
