"""The commands. Thin: they read what was asked, call the house, and print."""

import asyncio
import importlib
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import cyclopts

from kustomer_klaviyo import __version__
from kustomer_klaviyo.cli.failures import FAILURES, ExitCode, UsageError, explain, kept_traceback
from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.cli.output import complain, help_console
from kustomer_klaviyo.settings import hidden
from kustomer_klaviyo.terminal import is_text

HELP = """Joins Kustomer to Klaviyo: support conversations become marketing events, none lost, none sent twice.

Exit codes: 0 done; 1 done, and something needs your attention, or a fault of the program; 2 wrong use or setting; 3 the
database, a port or a file cannot be used now; 4 a vendor refused.
"""

COMMANDS = (
    "kustomer_klaviyo.program:serve",
    "kustomer_klaviyo.cli.serve:worker",
    "kustomer_klaviyo.cli.connect:connect",
    "kustomer_klaviyo.cli.lookup:status",
    "kustomer_klaviyo.cli.lookup:events",
    "kustomer_klaviyo.cli.lookup:retry",
    "kustomer_klaviyo.cli.mapping:mapping",
    "kustomer_klaviyo.cli.routes:routes",
    "kustomer_klaviyo.cli.app:app",
    "kustomer_klaviyo.cli.admins:admins",
    "kustomer_klaviyo.cli.sandbox:sandbox",
    "kustomer_klaviyo.cli.demo:demo",
)
"""Where each command is."""

STANDARD_ERROR = 2


def main() -> None:
    """Run the command line."""
    _open_streams()
    try:
        code = _run(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
        code = 128 + signal.SIGPIPE
    except FAILURES as error:
        _drop_output()
        complain(hidden(explain(error)))
        code = ExitCode.of(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - whatever it is, a person is told in one sentence
        complain(f"A fault of the program, {type(error).__name__}: its traceback is in {kept_traceback(error)}.")
        code = ExitCode.ATTENTION
    sys.exit(code)


def _open_streams() -> None:
    """Have output and errors take any text, and go nowhere where a shell closed them."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass  # what is opened next would be taken for the stream of that number
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Keep Python from writing at its end what it could not write before; what could be is written now."""
    with suppress(OSError):
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    for argument in arguments:
        if not is_text(argument):
            raise UsageError(f"The argument {argument!r} is not UTF-8.")
    start_logging("error")
    app = cyclopts.App(name="kustomer-klaviyo", version=__version__, help=HELP, console=help_console)
    is_overview = arguments[:1] in ([], ["--help"], ["-h"])
    for path in COMMANDS:
        # Reading every command takes longer than most of them run; only the overview needs to know them all.
        app.command(_read(path) if is_overview else path)
    return int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)


def _read(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
