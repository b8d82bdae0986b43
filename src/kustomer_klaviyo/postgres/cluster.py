"""The embedded PostgreSQL's data: made whole or not at all, of our major version, and free of a dead service's server.

Knows nothing of how the server is started and watched.
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from kustomer_klaviyo.postgres.files import MAJOR, CannotStart, Places, WrongMajorVersion, own, programs

ROLE = "kustomer_klaviyo"
END_SECONDS = 10.0


def identity(where: Places) -> dict[str, Any]:
    """Return as whom, where and with what environment PostgreSQL's programs run.

    Nothing of our environment goes along: it holds the service's secrets, and variables that mean other servers.
    """
    run: dict[str, Any] = {"cwd": "/", "env": {"PATH": os.defpath, "LC_ALL": "C"}, "stdin": subprocess.DEVNULL}
    if where.account is not None:
        run |= {"user": where.account.uid, "group": where.account.gid, "extra_groups": []}
    return run


def ensure_cluster(where: Places) -> None:
    """Make the data unless they are there. Raises CannotStart, and WrongMajorVersion for data of another version."""
    if not where.cluster.exists():
        _make_cluster(where)
    found = (where.cluster / "PG_VERSION").read_text().strip()
    if found != MAJOR:
        raise WrongMajorVersion(
            f"{where.cluster} was written by PostgreSQL {found}; this program brings {MAJOR}. Install the version of "
            f"this program that wrote it, save with `pg_dump`, move {where.cluster} away, start this one and restore "
            "with `psql`."
        )


def _make_cluster(where: Places) -> None:
    """Make the data beside their place, so that half-made ones are never taken for whole ones."""
    for leftover in where.home.glob("new-*"):
        # An initdb that outlived its service may still be writing there; the next start clears what it leaves.
        shutil.rmtree(leftover, ignore_errors=True)
    draft = Path(tempfile.mkdtemp(prefix="new-", dir=where.home))
    own(draft, where.account)
    command = [
        programs(where) / "initdb", "-D", draft, "-U", ROLE, "--auth-local=trust", "--auth-host=reject",
        "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions",
    ]  # fmt: skip
    done = subprocess.run(list(map(str, command)), check=False, capture_output=True, **identity(where))  # noqa: S603 - our own program with our own arguments
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        raise CannotStart(
            f"PostgreSQL's data could not be made: {said}. It needs free space and an account that has a name; "
            "or set DATABASE_URL."
        )
    draft.rename(where.cluster)
    _sync(where.home)


def _sync(directory: Path) -> None:
    """Write a directory's entries down: without its name, a cluster would be lost with all that is in it."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def end_leftover(where: Places) -> None:
    """Stop a server that a killed service left behind, and clear away what only looks like one.

    Our lock is held, so whatever runs here is nobody's. Raises CannotStart when it does not end.
    """
    pid_file = where.cluster / "postmaster.pid"
    try:
        pid = int(pid_file.read_text().split()[0])
    except FileNotFoundError:
        pid = 0
    except (ValueError, IndexError):
        pid_file.unlink()
        pid = 0
    if pid > 0:
        _end(pid, where.cluster)
        if _exists(pid):
            # The number is someone else's by now; PostgreSQL would take that one for a server.
            pid_file.unlink(missing_ok=True)
    for stale in where.sockets.glob(".s.PGSQL.*"):
        stale.unlink(missing_ok=True)


def _end(pid: int, cluster: Path) -> None:
    """End a server gently, then less so: it recovers from any of these."""
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if not _is_server(pid, cluster):
            return
        os.kill(pid, number)
        deadline = time.monotonic() + END_SECONDS
        while _is_server(pid, cluster) and time.monotonic() < deadline:
            time.sleep(0.02)
    if _is_server(pid, cluster):
        raise CannotStart(f"An earlier PostgreSQL on {cluster} does not end: process {pid}. End it.")


def _is_server(pid: int, cluster: Path) -> bool:
    """Say whether the process is a server on this data: a number in an old file may be anybody's by now."""
    process = Path("/proc") / str(pid)
    if not Path("/proc/self").exists():
        return _ps_says_server(pid, cluster)
    try:
        # Its working directory is its data, whatever they are called since; one that is dead and unburied has none.
        return (process / "comm").read_text().strip() == "postgres" and (process / "cwd").samefile(cluster)
    except OSError:
        return False


def _ps_says_server(pid: int, cluster: Path) -> bool:
    command = ["/bin/ps", "-o", "command=", "-p", str(pid)]
    shown = subprocess.run(command, check=False, capture_output=True).stdout  # noqa: S603 - a fixed command
    return b"postgres" in shown and os.fsencode(cluster) in shown


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
