"""What a connection's settings mean for telling: read once, handed down."""

from dataclasses import dataclass, field
from datetime import datetime

from kustomer_klaviyo.flow.mapping import ProfileMapping, read_mapping
from kustomer_klaviyo.flow.options import ConnectionOptions
from kustomer_klaviyo.flow.routes import Routes
from kustomer_klaviyo.klaviyo.express import ExpressOptions


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

    def away(self, brand: str | None) -> str | None:
        """Return why a brand's conversations are not for this connection; None when they are."""
        return self.routes.away(brand, self.connection_id)
