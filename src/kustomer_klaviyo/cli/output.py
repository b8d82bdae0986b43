"""Printing: tables for people, JSON for programs."""

import base64
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from rich.console import Console

console = Console()


def print_json(document: object) -> None:
    """Print a document as indented JSON on standard output."""
    encoded = msgspec.json.encode(document, enc_hook=_encode, order="deterministic")
    sys.stdout.write(msgspec.json.format(encoded).decode() + "\n")


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
