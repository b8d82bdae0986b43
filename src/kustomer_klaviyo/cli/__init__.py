"""The commands. Thin: they read what was asked, call the house, and print."""

import asyncio
import sys

import cyclopts

from kustomer_klaviyo import __version__
from kustomer_klaviyo.cli.connect import connect
from kustomer_klaviyo.cli.demo import demo
from kustomer_klaviyo.cli.failures import FAILURES, ExitCode, explain
from kustomer_klaviyo.cli.lookup import events, retry, status
from kustomer_klaviyo.cli.mapping import mapping
from kustomer_klaviyo.cli.routes import routes
from kustomer_klaviyo.cli.sandbox import sandbox
from kustomer_klaviyo.cli.serve import ServeWeb, serve_command, worker

HELP = """Joins Kustomer to Klaviyo: support conversations become marketing events, none lost, none sent twice.

Exit codes: 0 done; 1 done, and something needs your attention; 2 wrong use or setting; 3 the database cannot be
used; 4 a vendor refused.
"""


def run(serve_web: ServeWeb) -> None:
    """Run the command line; ``serve_web`` is what the ``serve`` command serves with."""
    app = cyclopts.App(name="kustomer-klaviyo", version=__version__, help=HELP)
    for command in (serve_command(serve_web), worker, connect, status, events, retry, mapping, routes, sandbox, demo):
        app.command(command)
    try:
        code = app()
    except FAILURES as error:
        sys.stderr.write(f"{explain(error)}\n")
        sys.exit(ExitCode.of(error))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    sys.exit(int(code or 0))
