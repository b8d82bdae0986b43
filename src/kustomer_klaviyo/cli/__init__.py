"""The commands. Thin: they read what was asked, call the house, and print."""

import asyncio
import importlib
import sys
from typing import Any

import cyclopts

from kustomer_klaviyo import __version__
from kustomer_klaviyo.cli.failures import FAILURES, ExitCode, explain

HELP = """Joins Kustomer to Klaviyo: support conversations become marketing events, none lost, none sent twice.

Exit codes: 0 done; 1 done, and something needs your attention; 2 wrong use or setting; 3 the database cannot be
used; 4 a vendor refused.
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


def main() -> None:
    """Run the command line."""
    app = cyclopts.App(name="kustomer-klaviyo", version=__version__, help=HELP)
    is_overview = sys.argv[1:2] in ([], ["--help"], ["-h"])
    for path in COMMANDS:
        # Reading every command takes longer than most of them run; only the overview needs to know them all.
        app.command(_read(path) if is_overview else path)
    try:
        code = app()
    except FAILURES as error:
        sys.stderr.write(f"{explain(error)}\n")
        sys.exit(ExitCode.of(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    sys.exit(int(code or 0))


def _read(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
