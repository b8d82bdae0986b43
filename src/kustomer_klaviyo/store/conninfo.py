"""PostgreSQL connection strings: validation, and messages that never contain the password."""

import re
from typing import Any

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS

EXAMPLE = "postgresql://USER:PASSWORD@HOST:5432/DATABASE"
EXPECTED_FORM = f"such as {EXAMPLE}, with @ : / ? # and % in a password written as %40 %3A %2F %3F %23 and %25"


class DatabaseNotInitialised(Exception):
    """The database has no tables of the service. The text says what to do."""


def read_password(conninfo: str) -> str | None:
    """Return the password in a connection string, after checking that the string is unambiguous.

    Raises ValueError. Its text contains no part of the string, because any part may be a misplaced password.
    """
    parts = _parts(conninfo)
    written = conninfo.partition("://")[2].partition("?")[0]
    ports = str(parts.get("port") or "").split(",")
    # With an unescaped @ or /, a part of the password is read as host, port or database, which error messages contain.
    if written.count("@") > 1 or "@" in written.partition("/")[2] or not all(map(_is_port, ports)):
        raise ValueError(EXPECTED_FORM)
    password = parts.get("password")
    return None if password is None else str(password)


def _parts(conninfo: str) -> dict[str, Any]:
    is_address = re.match(r"postgres(ql)?://", conninfo)
    if not is_address and re.match(r"\s*\w+\s*=", conninfo) is None:
        raise ValueError(EXPECTED_FORM)
    try:
        return conninfo_to_dict(conninfo)
    except (ProgrammingError, UnicodeError):
        raise ValueError(EXPECTED_FORM) from None


def _is_port(text: str) -> bool:
    return text == "" or (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536)


def describe_database_error(error: BaseException) -> str:
    """Return one sentence that says how the database failed and what to do."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    message = (lines or [type(error).__name__])[0].rstrip(".")
    if isinstance(error, UNAVAILABLE_ERRORS):
        hint = "is `kustomer-klaviyo serve` running, and is DATABASE_URL right?"
        return f"The database does not respond ({message}): {hint}"
    return f"The database refused ({message}): give the role in DATABASE_URL the rights of the database's owner."
