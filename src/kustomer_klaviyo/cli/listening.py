"""Whether a command may listen where it was told to."""

import socket

from kustomer_klaviyo.cli.failures import CannotWork


def check_place(host: str, port: int) -> None:
    """See whether the place is free before anything is made or started. Raises CannotWork."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "no such host"
        raise CannotWork(f"Nothing can be served at {host}:{port}: {why}.") from error
