"""The parsed settings of a connection, as the pure decisions of planning need them."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.routing import Routes
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.mapping.profile_mapping import ProfileMapping, parse_mapping


@dataclass(frozen=True, slots=True)
class ConnectionRules:
    """The parsed settings of one connection."""

    options: ConnectionOptions
    event_settings: EventSettings
    since: datetime
    """Older facts are not sent."""
    mapping: ProfileMapping = field(default_factory=lambda: parse_mapping(None))
    connection_id: str = ""
    routes: Routes = field(default_factory=Routes)
    digest: str = field(init=False, default="")
    """Changes whenever a setting changes that affects how a customer document is interpreted."""

    def __post_init__(self) -> None:
        """Compute the digest once: the fingerprint of every customer includes it."""
        options = self.options
        text = repr((options.placeholders, options.default_country, options.external_id, self.mapping.digest))
        object.__setattr__(self, "digest", hashlib.blake2b(text.encode(), digest_size=6).hexdigest())

    def is_routed_here(self, brand: str | None) -> bool:
        """Return whether a brand's conversations go to this connection."""
        return self.describe_other_route(brand) is None

    def describe_other_route(self, brand: str | None) -> str | None:
        """Describe where a brand's conversations go instead; None when they go to this connection."""
        return self.routes.describe_other_route(brand, self.connection_id)
