"""A connection together with its parsed settings: what every stage of the pipeline works with."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.connections.options import ConnectionOptions, parse_options
from kustomer_klaviyo.connections.routing import read_routes
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.store.connections import Connection


@dataclass(frozen=True, slots=True)
class ConnectionContext:
    """A connection with its parsed options and rules."""

    connection: Connection
    options: ConnectionOptions
    rules: ConnectionRules


def load_context(connection: Connection) -> ConnectionContext:
    """Parse a connection's options and routes. Raises OptionsError.

    ``rules.since`` never reaches back beyond the retention of deliveries: a fact whose key was deleted could be sent
    again.
    """
    options, mapping = parse_options(connection.options)
    retained_since = datetime.now(UTC) - timedelta(days=options.delivery_retention_days - 1)
    event_settings = EventSettings(
        org=connection.organisation,
        created_metric=options.created_metric,
        done_metric=options.done_metric,
        csat_metric=options.csat_metric,
        conversation_link=options.conversation_link,
    )
    rules = ConnectionRules(
        options,
        event_settings,
        max(connection.since, retained_since),
        mapping,
        connection.id,
        read_routes(connection.routes),
    )
    return ConnectionContext(connection, options, rules)
