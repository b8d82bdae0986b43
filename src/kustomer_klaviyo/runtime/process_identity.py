"""Whether a process of this machine still runs: its id may belong to another process by now."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
ENDED_STATES = ("Z", "X")
"""A zombie has ended; only its parent has not noticed yet (man 5 proc_pid_stat)."""


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process since its start."""

    machine: str
    """The machine since its start, and the PID namespace: containers on one machine have PIDs of their own."""
    pid: int
    started_at: int
    """In clock ticks since the start of the machine."""


def current_process() -> ProcessIdentity | None:
    """Return the identity of this process; None on a system without Linux's /proc."""
    machine, pid = current_machine(), os.getpid()
    stat = _read_stat(pid)
    return None if machine is None or stat is None else ProcessIdentity(machine, pid, stat[1])


def current_machine() -> str | None:
    """Return the machine on which this process runs; None on a system without Linux's /proc."""
    try:
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        namespace = (PROC / "self/ns/pid").readlink()
    except OSError:
        return None
    return f"{socket.gethostname()} {boot} {namespace}"


def has_ended(process: ProcessIdentity) -> bool:
    """Return whether a process of this machine has certainly ended. False for processes of other machines."""
    if process.machine != current_machine():
        return False
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    stat = _read_stat(process.pid)
    return stat is not None and (stat[0] in ENDED_STATES or stat[1] != process.started_at)


def _read_stat(pid: int) -> tuple[str, int] | None:
    """Return the state and the start time of a process. Its name, in parentheses, may contain anything."""
    try:
        fields = (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[0], int(fields[19])
