"""Prints text and tables for people, and JSON for programs. All output of commands goes through this module.

Text is never parsed as markup: an address such as ``[/]x@acme.com`` is printed as it is. Styles are passed separately.
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

from kustomer_klaviyo.terminal import escape, escape_json

Part = str | tuple[str, str]
"""A part of a line: text, or text with a style."""

WIDE_COLUMNS = 10_000
"""The width for output that is not a terminal, so that no line is wrapped."""


class _Console(Console):
    """A console that raises BrokenPipeError, where rich would exit with its own code."""

    def on_broken_pipe(self) -> None:
        """Raise BrokenPipeError, which ``main`` handles."""
        raise BrokenPipeError


_is_terminal = (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ
_console = _Console(markup=False, emoji=False, highlight=False, width=None if _is_terminal else WIDE_COLUMNS)
help_console = _Console()
"""For ``--help``, whose text may contain markup."""


def bold(value: object) -> Part:
    """Return bold text."""
    return str(value), "bold"


def warning(value: object) -> Part:
    """Return text in the style of a warning."""
    return str(value), "yellow"


def print_line(*parts: Part, style: str = "") -> None:
    """Print one line."""
    _console.print(_styled_line(parts, style), soft_wrap=True)


def print_table(table: RenderableType) -> None:
    """Print a table."""
    _console.print(table)


def live_display(*, transient: bool) -> Live:
    """Return a region of the terminal that is updated in place."""
    return Live(console=_console, refresh_per_second=4, transient=transient)


def table(*headers: str, rows: Iterable[Iterable[Part]]) -> Table:
    """Return a table; without headers, plain lines."""
    new_table = Table(box=None, pad_edge=False, show_header=bool(headers))
    for header in headers:
        new_table.add_column(header, overflow="fold")
    for row in rows:
        new_table.add_row(*(_styled_line([cell], "") for cell in row))
    return new_table


def print_error(text: str) -> None:
    """Print one line on standard error."""
    sys.stderr.write(escape(" ".join(text.split("\n"))) + "\n")


def print_json(document: object) -> None:
    """Print a document as indented JSON on standard output."""
    encoded = msgspec.json.encode(document, enc_hook=_encode, order="deterministic")
    sys.stdout.write(escape_json(msgspec.json.format(encoded).decode()) + "\n")


def print_text(text: str) -> None:
    """Print text of several lines, such as a file, on standard output."""
    sys.stdout.write("".join(f"{escape(line)}\n" for line in text.rstrip("\n").split("\n")))


def _styled_line(parts: Iterable[Part], style: str) -> Text:
    styled = [(part, "") if isinstance(part, str) else part for part in parts]
    return Text.assemble(*((escape(text), part_style) for text, part_style in styled), style=style)


def _encode(value: object) -> object:
    if isinstance(value, timedelta):
        return value.total_seconds()
    return str(value)


def body_as_json(body: object) -> Any:
    """Return the body of an event as JSON, or base64-encoded if it is not JSON."""
    if not isinstance(body, bytes | memoryview):
        return None
    try:
        return msgspec.json.decode(bytes(body))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"base64": base64.b64encode(bytes(body)).decode()}


def format_ago(at: datetime | None) -> str:
    """Return how long ago a moment was, such as `3 min ago`."""
    if at is None:
        return "never"
    seconds = int((datetime.now(UTC) - at).total_seconds())
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length} {unit} ago"
    return f"{max(seconds, 0)} s ago"
