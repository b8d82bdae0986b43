"""The embedded PostgreSQL: started, watched over and stopped by the program, on a Unix socket only.

For trying, tests and one small machine. Its programs come from a wheel; how they are run is decided here.
"""

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import psycopg
import structlog
from psycopg import sql

from kustomer_klaviyo.store.server_files import (
    MAJOR,
    CannotStart,
    DataDirectoryInUse,
    ServerError,
    WrongMajorVersion,
    places,
    prepare,
    programs,
)

__all__ = ["CannotStart", "DataDirectoryInUse", "EmbeddedServer", "ServerError", "WrongMajorVersion"]

NAME = "kustomer_klaviyo"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
RESTART_SECONDS = 0.2

CONFIGURATION = {
    "listen_addresses": "",
    "max_connections": "80",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "fsync": "on",
}

log = structlog.get_logger()


class EmbeddedServer:
    """An own PostgreSQL in a data directory, for one service at a time."""

    def __init__(self, data_directory: Path) -> None:
        self._places = places(data_directory)
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None

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

    async def start(self) -> str:
        """Start the server and return how to connect, once it answers. Raises ServerError."""
        await asyncio.to_thread(self._prepare)
        await self._launch()
        return self._places.url

    async def supervise(self) -> None:
        """Start the server again whenever it dies; runs until cancelled."""
        while True:
            process = self._process
            if process is None:
                return
            code = await asyncio.to_thread(process.wait)
            log.warning("postgres.died", code=code)
            while True:
                await asyncio.sleep(RESTART_SECONDS)
                try:
                    await self._launch()
                    break
                except ServerError as error:
                    log.warning("postgres.restart_failed", error=str(error))
            log.info("postgres.restarted")

    async def stop(self) -> None:
        """Stop the server, letting it write everything down first."""
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                await asyncio.to_thread(process.wait, STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                await asyncio.to_thread(process.wait)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def _prepare(self) -> None:
        where = self._places
        prepare(where)
        self._lock = where.lock.open("ab")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._lock.close()
            self._lock = None
            raise DataDirectoryInUse(
                f"Another service runs on {where.home.parent}. Stop it, or set KUSTOMER_KLAVIYO_DATA to a directory of "
                "this one's own."
            ) from error
        if not where.cluster.exists():
            self._make_cluster()
        _check_version(where.cluster)
        _end_leftover(where.cluster)

    def _make_cluster(self) -> None:
        """Make the data directory beside its place, so that a half-made one is never taken for a whole one."""
        for leftover in self._places.home.glob("new-*"):
            shutil.rmtree(leftover)
        draft = self._places.home / f"new-{os.getpid()}"
        command = [
            programs(self._places) / "initdb", "-D", draft, "-U", NAME, "--auth=trust", "--encoding=UTF8",
            "--locale-provider=builtin", "--locale=C.UTF-8", "--no-instructions",
        ]  # fmt: skip
        done = subprocess.run(list(map(str, command)), check=False, capture_output=True, **self._identity())  # noqa: S603
        if done.returncode != 0:
            raise CannotStart(f"PostgreSQL's data could not be made: {done.stderr.decode(errors='replace').strip()}")
        draft.rename(self._places.cluster)

    async def _launch(self) -> None:
        """Start the process and wait until it answers; a dying predecessor may still hold its memory for a moment."""
        deadline = time.monotonic() + START_SECONDS
        while True:
            await asyncio.to_thread(_end_leftover, self._places.cluster)
            self._process = self._spawn()
            if await self._answers(self._process, deadline):
                return
            if time.monotonic() > deadline:
                raise CannotStart(f"PostgreSQL does not start: {_last_lines(self._places.log)}")
            await asyncio.sleep(RESTART_SECONDS)

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [str(programs(self._places) / "postgres"), "-D", str(self._places.cluster)]
        for name, value in CONFIGURATION.items():
            command += ["-c", f"{name}={value}"]
        command += ["-c", f"unix_socket_directories={self._places.sockets}"]
        with self._places.log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal must reach us first, and the server only from us.
            return subprocess.Popen(  # noqa: S603 - our own program with our own arguments
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                **self._identity(),
            )

    def _identity(self) -> dict[str, Any]:
        account = self._places.account
        if account is None:
            return {}
        return {"user": account.uid, "group": account.gid, "extra_groups": [], "cwd": "/"}

    async def _answers(self, process: subprocess.Popen[bytes], deadline: float) -> bool:
        while process.poll() is None and time.monotonic() < deadline:
            try:
                await asyncio.to_thread(self._ensure_database)
            except psycopg.OperationalError:
                await asyncio.sleep(0.02)
            else:
                return True
        return False

    def _ensure_database(self) -> None:
        conninfo = f"postgresql://{NAME}@/postgres?host={self._places.sockets}"
        with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as connection:
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", (NAME,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))


def _check_version(cluster: Path) -> None:
    found = (cluster / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise WrongMajorVersion(
            f"{cluster} was written by PostgreSQL {found}; this program brings {MAJOR}. Install the version of this "
            f"program that wrote it, save with `pg_dump`, move {cluster} away, start this one and restore with `psql`."
        )


def _end_leftover(cluster: Path) -> None:
    """Stop a server that a killed service left behind, and clear away a pid file whose process is gone."""
    pid_file = cluster / "postmaster.pid"
    with suppress(FileNotFoundError, ValueError, IndexError):
        pid = int(pid_file.read_text().split()[0])
        if _is_server(pid, cluster):
            _terminate(pid, (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL))
        pid_file.unlink(missing_ok=True)


def _is_server(pid: int, cluster: Path) -> bool:
    """Say whether the process is a server on this data: a number in an old file may be anybody's by now."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return False
    return str(cluster).encode() in command


def _terminate(pid: int, signals: Sequence[signal.Signals]) -> None:
    with suppress(ProcessLookupError):
        for number in signals:
            os.kill(pid, number)
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                os.kill(pid, 0)
                time.sleep(0.02)


def _last_lines(path: Path) -> str:
    lines = path.read_text(errors="replace").splitlines() if path.exists() else []
    return " | ".join(lines[-5:])
