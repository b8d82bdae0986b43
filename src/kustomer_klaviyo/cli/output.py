"""Printing: words and tables for people, JSON for programs. Everything that a command prints goes through here.

No markup is read in what is printed: an address such as ``[/]x@acme.com`` is text. Style goes beside the text.
"""

import base64
import os
import sys
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from kustomer_klaviyo.terminal import shown, shown_json

Part = str | tuple[str, str]
"""A piece of a line: text, or text with a style."""

WIDE = 10_000
"""Columns for a program that reads a table: nothing is folded."""


class _Console(Console):
    """A console whose reader may have seen enough: the command ends by that, and not with an exit code of its own."""

    def on_broken_pipe(self) -> None:
        """Say what the caller of the command is to know."""
        raise BrokenPipeError


_is_for_a_person = (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ
_console = _Console(markup=False, emoji=False, highlight=False, width=None if _is_for_a_person else WIDE)
help_console = _Console()
"""For the words of ``--help``, which are our own."""


def bold(value: object) -> Part:
    """Return a piece of a line that stands out."""
    return str(value), "bold"


def warning(value: object) -> Part:
    """Return a piece of a line that wants attention."""
    return str(value), "yellow"


def say(*parts: Part, style: str = "") -> None:
    """Print one line for a person."""
    _console.print(_line(parts, style), soft_wrap=True)


def show(table: RenderableType) -> None:
    """Print a table."""
    _console.print(table)


def live(*, is_quiet: bool) -> Live:
    """Return a place in the terminal whose content changes."""
    return Live(console=_console, refresh_per_second=4, transient=is_quiet)


def table(*headers: str, rows: Iterable[Iterable[Part]]) -> Table:
    """Return a table, of plain lines without headers."""
    made = Table(box=None, pad_edge=False, show_header=bool(headers))
    for header in headers:
        made.add_column(header, overflow="fold")
    for row in rows:
        made.add_row(*(_line([cell], "") for cell in row))
    return made


def complain(text: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(shown(" ".join(text.split("\n"))) + "\n")


def print_json(document: object) -> None:
    """Print a document as indented JSON on standard output."""
    encoded = msgspec.json.encode(document, enc_hook=_encode, order="deterministic")
    sys.stdout.write(shown_json(msgspec.json.format(encoded).decode()) + "\n")


def print_text(text: str) -> None:
    """Print a text of several lines, such as a file, on standard output."""
    sys.stdout.write("".join(f"{shown(line)}\n" for line in text.rstrip("\n").split("\n")))


def _line(parts: Iterable[Part], style: str) -> Text:
    pieces = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((shown(text), look) for text, look in pieces), style=style)


def _encode(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def received_body(body: object) -> Any:
    """Return an event's body as JSON where it is, else in base64."""
    if not isinstance(body, bytes | memoryview):
        return None
    try:
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"base64": base64.b64encode(bytes(body)).decode()}


def ago(at: datetime | None) -> str:
    """Say how long ago a moment was, for a person."""
    if at is None:
        return "never"
    seconds = int((datetime.now(UTC) - at).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{max(seconds, 0)} s ago"
