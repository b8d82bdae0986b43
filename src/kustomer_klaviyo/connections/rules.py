"""What a connection's settings mean for telling: read once, handed down."""

import hashlib
from dataclasses import dataclass, field
from datetime import datetime

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.routing import Routes
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.mapping.profile_mapping import ProfileMapping, read_mapping


@dataclass(frozen=True, slots=True)
class Rules:
    """The settings of one connection, ready for use."""

    options: ConnectionOptions
    express: ExpressOptions
    horizon: datetime
    """Facts older than this are not told."""
    mapping: ProfileMapping = field(default_factory=lambda: read_mapping(None))
    connection_id: str = ""
    routes: Routes = field(default_factory=Routes)
    digest: str = field(init=False, default="")
    """A short text that changes whenever what is read of a customer would be read otherwise."""

    def __post_init__(self) -> None:
        """Digest once what every observation of a customer is held against."""
        options = self.options
        text = repr((options.placeholders, options.default_country, options.external_id, self.mapping.digest))
        object.__setattr__(self, "digest", hashlib.blake2b(text.encode(), digest_size=6).hexdigest())

    def away(self, brand: str | None) -> str | None:
        """Return why a brand's conversations are not for this connection; None when they are."""
        return self.routes.away(brand, self.connection_id)
