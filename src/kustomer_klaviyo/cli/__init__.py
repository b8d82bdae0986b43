"""The commands of the program.

In: arguments and environment variables. Out: text or JSON, and an exit code. Imports ``demo``, ``service`` and the
packages below; never ``web``, which ``program`` passes in.
"""

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
from kustomer_klaviyo.cli.errors import EXPECTED_ERRORS, ExitCode, UsageError, explain, save_traceback
from kustomer_klaviyo.cli.logs import start_logging
from kustomer_klaviyo.cli.output import help_console, print_error
from kustomer_klaviyo.settings import redact
from kustomer_klaviyo.terminal import is_utf8

HELP = """Connects Kustomer to Klaviyo: support conversations become marketing events, none lost, none sent twice.

Exit codes: 0 done; 1 done, but something needs your attention, or a bug in the program; 2 wrong usage or setting; 3 the
database, a port or a file cannot be used now; 4 a vendor rejected the request.
"""

COMMANDS = (
    "kustomer_klaviyo.program:serve",
    "kustomer_klaviyo.cli.serve:worker",
    "kustomer_klaviyo.cli.connect:connect",
    "kustomer_klaviyo.cli.status:status",
    "kustomer_klaviyo.cli.events:events",
    "kustomer_klaviyo.cli.events:retry",
    "kustomer_klaviyo.cli.mapping:mapping",
    "kustomer_klaviyo.cli.routes:routes",
    "kustomer_klaviyo.cli.app:app",
    "kustomer_klaviyo.cli.admins:admins",
    "kustomer_klaviyo.cli.sandbox:sandbox",
    "kustomer_klaviyo.cli.demo:demo",
)
"""The module and function of each command."""

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
    except EXPECTED_ERRORS as error:
        _drop_output()
        print_error(redact(explain(error)))
        code = ExitCode.of(error)
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - a user gets one sentence, not a traceback
        print_error(f"A bug in the program ({type(error).__name__}): its traceback is in {save_traceback(error)}.")
        code = ExitCode.ATTENTION
    sys.exit(code)


def _open_streams() -> None:
    """Let both streams accept any text, and replace a stream that the shell closed by the null device."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        pass  # the next file to be opened would become the stream with that number
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Flush what can be written, and discard the rest, so that Python does not write it again at exit."""
    with suppress(OSError):
        sys.stdout.flush()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str]) -> int:
    for argument in arguments:
        if not is_utf8(argument):
            raise UsageError(f"The argument {argument!r} is not UTF-8.")
    start_logging("error")
    app = cyclopts.App(name="kustomer-klaviyo", version=__version__, help=HELP, console=help_console)
    is_overview = arguments[:1] in ([], ["--help"], ["-h"])
    for path in COMMANDS:
        # Importing every command takes longer than most commands run. Only the overview needs all of them.
        app.command(_read(path) if is_overview else path)
    return int(app(arguments, exit_on_error=False, print_error=False, result_action="return_value") or 0)


def _read(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
