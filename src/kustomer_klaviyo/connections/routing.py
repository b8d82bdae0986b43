"""Brand routing: which connection gets a conversation, for organisations with several Klaviyo accounts. Pure."""

from typing import Any

import msgspec

NONE = "none"
"""The destination of conversations that no connection gets."""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One brand's conversations go to one connection, or to ``none``."""

    brand: str
    """The brand's id."""
    to: str
    name: str | None = None
    """The brand's name when the route was saved, if Kustomer returned one."""


class Routes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The routes of an organisation. The first that matches decides."""

    routes: tuple[Route, ...] = ()
    default: str | None = None
    """The destination of conversations without a route. None: every connection of the organisation."""

    def destination(self, brand: str | None) -> str | None:
        """Return the id of the connection for a brand's conversations, ``none``, or None for every connection."""
        return next((route.to for route in self.routes if route.brand == brand), self.default)

    def describe_other_route(self, brand: str | None, connection_id: str) -> str | None:
        """Describe where a brand's conversations go instead of to a connection; None when they go there."""
        destination = self.destination(brand)
        if destination in (None, connection_id):
            return None
        name = next((route.name for route in self.routes if route.brand == brand and route.name), brand)
        conversations = "conversations without a brand" if name is None else f"conversations of brand {name}"
        return f"{conversations} go to {destination}"


def read_routes(document: dict[str, Any]) -> Routes:
    """Parse stored routes."""
    return msgspec.convert(document, Routes)
