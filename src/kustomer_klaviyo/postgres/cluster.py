"""The data of the embedded PostgreSQL: creation, version check, and the end of a server that an earlier service left.

``server.py`` starts and supervises the server.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from kustomer_klaviyo.postgres.files import (
    MAJOR,
    ServerPaths,
    ServerStartError,
    WrongMajorVersion,
    find_programs,
    make_private_directory,
)

ROLE = "kustomer_klaviyo"
STOP_SECONDS = 10.0


def process_options(paths: ServerPaths) -> dict[str, Any]:
    """Return the user, working directory and environment with which PostgreSQL's programs run.

    They do not inherit the environment: it contains the service's secrets, and variables meant for other servers.
    """
    options: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C"}, "stdin": subprocess.DEVNULL}
    if paths.os_user is not None:
        options |= {"user": paths.os_user.uid, "group": paths.os_user.gid, "extra_groups": []}
    return options


def ensure_cluster(paths: ServerPaths) -> None:
    """Create the data unless they exist. Raises ServerStartError, and WrongMajorVersion for data of another version."""
    if not paths.cluster.exists():
        _create_cluster(paths)
    data_version = (paths.cluster / "PG_VERSION").read_text().strip()
    if data_version != MAJOR:
        raise WrongMajorVersion(
            f"{paths.cluster} was written by PostgreSQL {data_version}, but this version includes {MAJOR}. Install the "
            f"version that wrote it, export with `pg_dump`, move {paths.cluster} away, start this version and import "
            "with `psql`."
        )


def _create_cluster(paths: ServerPaths) -> None:
    """Create the data in a temporary directory and rename it, so that incomplete data are never used."""
    for leftover in paths.directory.glob("new-*"):
        # An initdb of an earlier service may still be writing there. The next start removes what is left.
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = Path(tempfile.mkdtemp(prefix="new-", dir=paths.directory))
    make_private_directory(temporary, paths.os_user)
    command = [
        find_programs(paths) / "initdb", "-D", temporary, "-U", ROLE, "--auth-local=trust", "--auth-host=reject",
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
    ]  # fmt: skip
    completed = subprocess.run(list(map(str, command)), check=False, capture_output=True, **process_options(paths))  # noqa: S603 - a fixed program with fixed arguments
    if completed.returncode != 0:
        message = completed.stderr.decode(errors="replace").strip()
        raise ServerStartError(
            f"PostgreSQL's data could not be created: {message}. This needs free disk space and a user "
            "with an entry in the password database. Or set DATABASE_URL."
        )
    temporary.rename(paths.cluster)
    _sync(paths.directory)


def _sync(directory: Path) -> None:
    """Flush the entries of a directory to disk. Without its entry, a cluster would be lost after a power failure."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stop_leftover_server(paths: ServerPaths) -> None:
    """Stop a server that a killed service left running, and remove its PID file and sockets.

    The caller holds the lock of the data directory, so no other service uses the server. Raises ServerStartError if the
    server does not stop.
    """
    pid_file = paths.cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except FileNotFoundError:
        pid = 0
    except (ValueError, IndexError):
        pid_file.unlink()
        pid = 0
    if pid > 0:
        _stop(pid, paths.cluster)
        if _is_process(pid):
            # Another process has this PID now. PostgreSQL would take it for a server on the data.
            pid_file.unlink(missing_ok=True)
    for stale in paths.socket_directory.glob(".s.PGSQL.*"):
        stale.unlink(missing_ok=True)


def _stop(pid: int, cluster: Path) -> None:
    """Stop a server with increasingly forceful signals. It recovers from each of them."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if not _is_server(pid, cluster):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + STOP_SECONDS
        while _is_server(pid, cluster) and time.monotonic() < deadline:
            time.sleep(0.02)
    if _is_server(pid, cluster):
        raise ServerStartError(f"An earlier PostgreSQL on {cluster} does not stop: process {pid}. Stop it.")


def _is_server(pid: int, cluster: Path) -> bool:
    """Return whether the process is a server on this data. Another process may have the PID of an old file."""
    process = Path("/proc") / str(pid)
    if not Path("/proc/self").exists():
        return _is_server_by_ps(pid, cluster)
    try:
        # A server works in its data directory, even if that was renamed. A zombie has no working directory.
        return (process / "comm").read_text().strip() == "postgres" and (process / "cwd").samefile(cluster)
    except OSError:
        return False


def _is_server_by_ps(pid: int, cluster: Path) -> bool:
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    output = subprocess.run(command, check=False, capture_output=True).stdout  # noqa: S603 - a fixed command
    return b"postgres" in output and os.fsencode(cluster) in output


def _is_process(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
