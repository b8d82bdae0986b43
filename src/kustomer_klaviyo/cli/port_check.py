"""Checks that a command can listen on its address, before it starts or creates anything."""

import socket

from kustomer_klaviyo.cli.errors import ResourceError


def check_can_listen(host: str, port: int) -> None:
    """Raise ResourceError if the port is in use, or the host is unknown."""
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "no such host"
        raise ResourceError(f"Cannot listen on {host}:{port}: {cause}.") from error
