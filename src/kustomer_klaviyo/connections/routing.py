"""Where an organisation's conversations go, by their brand, when it is joined to several Klaviyo accounts. Pure."""

from typing import Any

import msgspec

NONE = "none"
"""Goes nowhere."""


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One brand's conversations go to one connection, or to ``none``."""

    brand: str
    """The brand's id."""
    to: str
    name: str | None = None
    """What people call the brand, as far as Kustomer told when the route was made."""


class Routes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An organisation's rules, the first that fits deciding."""

    rules: tuple[Route, ...] = ()
    default: str | None = None
    """Where a conversation without a rule goes; None: to every connection of the organisation."""

    def destination(self, brand: str | None) -> str | None:
        """Return the connection for a brand's conversations, ``none``, or None for every one."""
        return next((one.to for one in self.rules if one.brand == brand), self.default)

    def away(self, brand: str | None, connection_id: str) -> str | None:
        """Return why a brand's conversations are not for a connection; None when they are."""
        to = self.destination(brand)
        if to in (None, connection_id):
            return None
        named = next((one.name for one in self.rules if one.brand == brand and one.name), brand)
        of = "conversations without a brand" if named is None else f"conversations of brand {named}"
        return f"routed elsewhere: {of} go to {to} (kustomer-klaviyo routes show)"


def read_routes(document: dict[str, Any]) -> Routes:
    """Return kept rules."""
    return msgspec.convert(document, Routes)
