"""Start, supervision and stop of the embedded PostgreSQL, which listens on a Unix socket only.

It is meant for evaluation, for tests and for a single small machine. Its programs come from a Python package.
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

from kustomer_klaviyo.postgres.cluster import ROLE, ensure_cluster, process_options, stop_leftover_server
from kustomer_klaviyo.postgres.files import (
    PORT,
    DataDirectoryInUse,
    ServerError,
    ServerPaths,
    ServerStartError,
    WrongMajorVersion,
    find_programs,
    prepare_directories,
    server_paths,
)

__all__ = ["DataDirectoryInUse", "EmbeddedServer", "ServerError", "ServerStartError", "WrongMajorVersion"]

START_SECONDS = 60.0
"""How long a server that exits while it starts is started again."""
RECOVER_SECONDS = 600.0
"""How long a server may take to accept connections. After a crash it first replays its write-ahead log."""
STOP_SECONDS = 30.0
LOCK_SECONDS = 1.0
"""How long to wait for the lock: a killed service keeps it until its process has ended, and ``running_url`` takes it
briefly."""
WATCH_SECONDS = 0.1
RESTART_INITIAL_SECONDS, RESTART_MAX_SECONDS = 0.1, 5.0
MAX_LOG_BYTES = 16_000_000

SERVER_CONFIGURATION = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "80",
    "shared_buffers": "128MB",
    "wal_compression": "on",
    # No parallel queries: a small machine does not benefit, and containers have little shared memory.
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
    """A PostgreSQL server on a data directory, for one service at a time."""

    def __init__(self, data_directory: Path) -> None:
        self._paths = server_paths(data_directory)
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._should_run = False

    @staticmethod
    def running_url(data_directory: Path) -> str | None:
        """Return the connection string of the server that another service runs on a data directory, or None."""
        paths = server_paths(data_directory)
        if not paths.lock_file.exists():
            return None
        with paths.lock_file.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return paths.url
        return None

    @staticmethod
    def has_data(data_directory: Path) -> bool:
        """Return whether a data directory contains a database."""
        return server_paths(data_directory).cluster.exists()

    async def start(self) -> str:
        """Start the server, wait until it accepts connections, and return the connection string. Raises ServerError."""
        if self._should_run:
            return self._paths.url
        self._should_run = True
        try:
            await asyncio.to_thread(self._prepare)
            await self._launch()
        except BaseException:
            await self.stop()
            raise
        return self._paths.url

    async def supervise(self) -> None:
        """Restart the server whenever it exits, until cancelled or until the server is stopped."""
        while (process := self._process) is not None:
            if process.poll() is None:
                await asyncio.sleep(WATCH_SECONDS)
                continue
            log.warning("postgres.died", code=process.returncode)
            await self._restart()

    async def stop(self) -> None:
        """Stop the server after it has written its data to disk."""
        self._should_run = False
        process, self._process = self._process, None
        if process is not None:
            await asyncio.to_thread(_stop_process, process)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _prepare(self) -> None:
        prepare_directories(self._paths)
        self._lock = _lock_data_directory(self._paths)
        ensure_cluster(self._paths)

    async def _restart(self) -> None:
        for wait in _restart_delays():
            try:
                await self._launch()
            except ServerError as error:
                if not self._should_run:
                    return
                log.warning("postgres.restart_failed", error=str(error))
                await asyncio.sleep(wait)
            else:
                log.info("postgres.restarted")
                return

    async def _launch(self) -> None:
        """Start the process and wait until it accepts connections.

        It is started again if it exits: a server that is just ending may still hold the shared memory.
        """
        deadline = time.monotonic() + START_SECONDS
        for wait in _restart_delays():
            await asyncio.to_thread(stop_leftover_server, self._paths)
            # No await between here and the assignment, so that ``stop`` never misses a process.
            if not self._should_run:
                raise ServerStartError("PostgreSQL was stopped while it was starting.")
            self._process = process = self._spawn()
            if await self._wait_until_ready(process):
                return
            if time.monotonic() > deadline:
                raise ServerStartError(f"PostgreSQL does not start: {_last_lines(self._paths.log_file)}")
            await asyncio.sleep(wait)

    def _spawn(self) -> subprocess.Popen[bytes]:
        paths = self._paths
        command = [str(find_programs(paths) / "postgres"), "-D", str(paths.cluster)]
        sockets = str(paths.socket_directory).replace('"', '""')
        for name, value in {**SERVER_CONFIGURATION, "unix_socket_directories": f'"{sockets}"'}.items():
            command += ["-c", f"{name}={value}"]
        if paths.log_file.exists() and paths.log_file.stat().st_size > MAX_LOG_BYTES:
            paths.log_file.replace(paths.log_file.with_suffix(".log.1"))
        paths.log_file.touch(mode=0o600)
        with paths.log_file.open("ab") as output:
            # In its own session, Ctrl-C in the terminal does not reach the server.
            return subprocess.Popen(  # noqa: S603 - a fixed program with fixed arguments
                command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True, **process_options(paths)
            )

    async def _wait_until_ready(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + RECOVER_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                await asyncio.to_thread(_ensure_database, self._paths)
            except psycopg.OperationalError:
                await asyncio.sleep(0.02)
            else:
                return True
        return False


def _restart_delays() -> Iterator[float]:
    wait = RESTART_INITIAL_SECONDS
    while True:
        yield wait
        wait = min(2 * wait, RESTART_MAX_SECONDS)


def _lock_data_directory(paths: ServerPaths) -> IO[bytes]:
    """Lock the data directory. The lock is released when the process ends. Raises DataDirectoryInUse."""
    paths.lock_file.touch(mode=0o600)
    lock = paths.lock_file.open("ab")
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                lock.close()
                raise DataDirectoryInUse(
                    f"Another service uses {paths.directory.parent}. Stop it, or set "
                    "KUSTOMER_KLAVIYO_DATA_DIRECTORY to another directory."
                ) from error
            time.sleep(0.05)
        else:
            return lock


def _stop_process(process: subprocess.Popen[bytes]) -> None:
    """Stop the server without waiting for its clients; if it takes too long, stop it without cleanup."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            log.warning("postgres.slow_to_stop", signal=number.name)
        else:
            return


def _ensure_database(paths: ServerPaths) -> None:
    with psycopg.connect(paths.url_of("postgres"), autocommit=True, connect_timeout=5) as conn:
        if conn.execute("SELECT FROM pg_database WHERE datname = %s", (ROLE,)).fetchone() is None:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(ROLE)))


def _last_lines(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return " | ".join(lines[-5:])
