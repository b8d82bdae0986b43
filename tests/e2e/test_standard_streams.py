"""Commands whose standard streams are closed, full or read in part: no traceback, and the right exit code."""

import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from kustomer_klaviyo.cli.output import table

PROGRAM = f"{Path(sys.executable).parent}/kustomer-klaviyo"


def shell(line: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell. PROGRAM stands for the program."""
    command = ["bash", "-c", line.replace("PROGRAM", PROGRAM)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_program_error(closed: str) -> None:
    result = shell(f"PROGRAM --version {closed}; a=$?; PROGRAM events --state nonsense {closed}; exit $a$?")
    assert result.returncode == 2
    assert "fault" not in result.stdout + result.stderr


@pytest.mark.parametrize("arguments", ["--help", "serve --help"])
def test_a_reader_that_closes_the_pipe_is_no_program_error(arguments: str) -> None:
    result = shell(f"{{ PROGRAM {arguments}; echo $? >&2; }} | true")
    assert result.stderr == "141\n"


def test_a_full_device_is_reported_as_such() -> None:
    result = shell("PROGRAM --help > /dev/full")
    assert result.returncode == 3
    assert result.stderr == "The operating system refused it: No space left on device.\n"


def test_a_table_on_a_narrow_terminal_shows_every_character() -> None:
    console = Console(width=20)
    with console.capture() as printed:
        console.print(table("conversation", "state", rows=[["6b09ecf58506a2d1c9aa0001", "delivered"]]))
    assert "".join(filter(str.isdigit, printed.get())) == "609585062190001"


def test_a_table_in_a_pipe_has_whole_lines() -> None:
    line = "from kustomer_klaviyo.cli import output as o; o.print_table(o.table('a', rows=[['x' * 300, 'y' * 300]]))"
    result = shell(f'env -u COLUMNS {sys.executable} -c "{line}" | cat')
    assert f"{'x' * 300}  {'y' * 300}" in result.stdout
