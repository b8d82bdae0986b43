"""Whatever stands behind standard output and error, a command ends as itself: no traceback, no wrong word."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kustomer_klaviyo.cli.output import table

PROGRAM = f"{Path(sys.executable).parent}/kustomer-klaviyo"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell; PROGRAM stands for the program."""
    run = ["bash", "-c", line.replace("PROGRAM", PROGRAM)]
    return subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_fault(closed: str) -> None:
    ended = shell(f"PROGRAM --version {closed}; a=$?; PROGRAM events --state nonsense {closed}; exit $a$?")
    assert ended.returncode == 2
    assert "fault" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("arguments", ["--help", "serve --help"])
def test_a_reader_who_has_seen_enough_is_no_fault(arguments: str) -> None:
    ended = shell(f"{{ PROGRAM {arguments}; echo $? >&2; }} | true")
    assert ended.stderr == "141\n"


def test_a_full_device_is_not_taken_for_the_database() -> None:
    ended = shell("PROGRAM --help > /dev/full")
    assert ended.returncode == 3
    assert ended.stderr == "This machine does not let it be done: No space left on device.\n"


def test_a_table_drops_nothing_where_the_terminal_is_narrow() -> None:
    console = Console(width=20)
    with console.capture() as printed:
        console.print(table("conversation", "state", rows=[["6b09ecf58506a2d1c9aa0001", "delivered"]]))
    assert "".join(filter(str.isdigit, printed.get())) == "609585062190001"


def test_a_program_that_reads_a_table_gets_it_whole() -> None:
    line = "from kustomer_klaviyo.cli.output import show, table; show(table('a', rows=[['x' * 300, 'y' * 300]]))"
    ended = shell(f'env -u COLUMNS {sys.executable} -c "{line}" | cat')
    assert f"{'x' * 300}  {'y' * 300}" in ended.stdout
