"""Whether a process has ended, also when its id is used again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kustomer_klaviyo.runtime.process_identity import ProcessIdentity, current_process, has_ended


@pytest.fixture
def this_process() -> ProcessIdentity:
    process = current_process()
    assert process is not None
    return process


@pytest.fixture
def ended() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has ended, and whose parent has not noticed yet."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    yield process
    process.wait()


def test_a_running_process_has_not_ended(this_process: ProcessIdentity) -> None:
    assert this_process.pid == os.getpid()
    assert not has_ended(this_process)


def test_a_process_has_ended_when_another_one_has_its_id(this_process: ProcessIdentity) -> None:
    assert has_ended(replace(this_process, started_at=this_process.started_at - 1))


def test_a_process_without_a_trace_has_ended(this_process: ProcessIdentity, ended: subprocess.Popen[bytes]) -> None:
    ended.wait()
    assert has_ended(replace(this_process, pid=ended.pid))


def test_a_zombie_has_ended(this_process: ProcessIdentity, ended: subprocess.Popen[bytes]) -> None:
    assert has_ended(replace(this_process, pid=ended.pid))


@pytest.mark.parametrize("part", range(3))
def test_nothing_is_known_about_another_machine_start_or_container(this_process: ProcessIdentity, part: int) -> None:
    parts = this_process.machine.split(" ")
    parts[part] = "another"
    assert not has_ended(replace(this_process, machine=" ".join(parts), started_at=0))
