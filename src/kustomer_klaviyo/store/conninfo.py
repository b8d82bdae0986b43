"""The address of a database: whether it is one, and what may be said of it without its password."""

import re
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from kustomer_klaviyo.store.database import UNREACHABLE

EXAMPLE = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
NOT_ONE = f"such as {EXAMPLE}, with @ : / ? # and % in a password written as %40 %3A %2F %3F %23 and %25"


class NothingThere(Exception):
    """No service ever ran on the database; the text says what to do."""


def password_of(conninfo: str) -> str | None:
    """Return the password in a way to connect, and check that everybody reads that way alike.

    Raises ValueError, whose text holds nothing of what was given: any part may be a password in the wrong place.
    """
    parts = _parts(conninfo)
    written = conninfo.partition("://")[2].partition("?")[0]
    ports = str(parts.get("port") or "").split(",")
    # An unescaped @ or / makes a piece of the password a host, port or database, and those stand in messages.
    if written.count("@") > 1 or "@" in written.partition("/")[2] or not all(map(_is_port, ports)):
        raise ValueError(NOT_ONE)
    password = parts.get("password")
    return None if password is None else str(password)


def _parts(conninfo: str) -> dict[str, Any]:
    is_address = re.match(r"postgres(ql)?://", conninfo)
    if not is_address and re.match(r"\s*\w+\s*=", conninfo) is None:
        raise ValueError(NOT_ONE)
    try:
        return conninfo_to_dict(conninfo)
    except (ProgrammingError, UnicodeError):
        raise ValueError(NOT_ONE) from None


def _is_port(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536)


def what_is_wrong(error: BaseException) -> str:
    """Say in one sentence how the database fails and what to do."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    said = (lines or [type(error).__name__])[0].rstrip(".")
    if isinstance(error, UNREACHABLE):
        return f"The database does not answer ({said}): is `kustomer-klaviyo serve` running, and is DATABASE_URL right?"
    return f"The database refuses ({said}): give the role in DATABASE_URL the rights of the database's owner."
