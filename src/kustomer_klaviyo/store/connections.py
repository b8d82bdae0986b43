"""Connections: which Kustomer organisation goes to which Klaviyo account, with what secrets and options."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.sealing import Sealer

SAVE = """
-- A connection is saved whole; workers notice by its revision.
INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, klaviyo_account, webhook_id, webhook_url, secrets,
                         options, horizon, app)
VALUES (%(id)s, %(organisation)s, %(kustomer_url)s, %(klaviyo_url)s, %(klaviyo_account)s, %(webhook_id)s,
        %(webhook_url)s, %(secrets)s, %(options)s, %(horizon)s, %(app)s)
ON CONFLICT (id) DO UPDATE SET
    organisation = excluded.organisation, kustomer_url = excluded.kustomer_url, klaviyo_url = excluded.klaviyo_url,
    klaviyo_account = excluded.klaviyo_account, webhook_id = excluded.webhook_id, webhook_url = excluded.webhook_url,
    secrets = excluded.secrets, options = excluded.options, horizon = excluded.horizon, app = excluded.app,
    revision = connections.revision + 1, updated_at = now()
"""

SAVE_ROUTES = """
-- An organisation's rules are saved whole.
INSERT INTO routes (organisation, document) VALUES (%s, %s)
ON CONFLICT (organisation) DO UPDATE SET document = excluded.document, updated_at = now()
"""

ROUTED_ANEW = """
-- Workers notice by the revision.
UPDATE connections SET revision = revision + 1 WHERE organisation = %s
"""

ALL = """
-- Every connection, with the rules of its organisation.
SELECT connections.*, coalesce(routes.document, '{}') AS routes
FROM connections LEFT JOIN routes USING (organisation)
"""

OPEN_LANE = """
-- A saved connection is tried at once, whatever it was waiting for.
INSERT INTO delivery_lanes (connection_id) VALUES (%s)
ON CONFLICT (connection_id) DO UPDATE SET paused = false, wait_until = NULL, reason = NULL, failures = 0, note = NULL
"""


STORED_AS_THEY_ARE = (
    "id", "organisation", "kustomer_url", "klaviyo_url", "klaviyo_account", "webhook_id", "webhook_url", "horizon",
    "options", "revision", "routes", "app",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Secrets:
    """What opens the doors at both vendors. Never printed."""

    kustomer_key: str = field(repr=False)
    klaviyo_keys: tuple[str, ...] = field(repr=False)
    """The current key first; the others are tried when it is refused."""
    webhook_tokens: tuple[str, ...] = field(repr=False)
    """Every token whose signatures are accepted; several while one is being replaced."""
    card_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Digests of the secrets by which Kustomer asks for cards; two while one is being replaced."""


@dataclass(frozen=True, slots=True)
class Connection:
    """One Kustomer organisation joined to one Klaviyo account."""

    id: str
    organisation: str
    kustomer_url: str
    klaviyo_url: str
    secrets: Secrets
    horizon: datetime
    """Facts older than this are not told."""
    options: dict[str, Any] = field(default_factory=dict)
    klaviyo_account: str | None = None
    webhook_id: str | None = None
    webhook_url: str | None = None
    app: dict[str, Any] = field(default_factory=dict)
    """The Kustomer app with the card, as it was installed: name, version, form and digest of its definition."""
    revision: int = 0
    routes: dict[str, Any] = field(default_factory=dict)
    """Where the organisation's conversations go by their brand; saved apart, for all its connections."""


class NotThere(Exception):
    """What was asked for is not kept here (any more)."""


class Connections:
    """The saved connections."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    async def all(self) -> list[Connection]:
        """Return every connection, in the order of their names."""
        return [self._open(row) for row in await self._database.fetch(f"{ALL} ORDER BY connections.id")]

    async def get(self, connection_id: str) -> Connection | None:
        """Return one connection; None when there is none of that name."""
        rows = await self._database.fetch(f"{ALL} WHERE connections.id = %s", (connection_id,))
        return self._open(rows[0]) if rows else None

    async def without_secrets(self, connection_id: str) -> Connection | None:
        """Return one connection whose secrets cannot be opened any more, for new ones to be entered."""
        rows = await self._database.fetch(f"{ALL} WHERE connections.id = %s", (connection_id,))
        return _with(Secrets("", (), ()), rows[0]) if rows else None

    async def named(self, connection_id: str) -> Connection:
        """Return one connection. Raises NotThere."""
        found = await self.get(connection_id)
        if found is None:
            raise NotThere
        return found

    async def mark(self) -> tuple[int, int]:
        """Return something that changes whenever a connection is saved."""
        rows = await self._database.fetch(
            "SELECT count(*) AS n, coalesce(sum(revision), 0) AS revisions FROM connections"
        )
        return rows[0]["n"], rows[0]["revisions"]

    async def save(self, connection: Connection) -> None:
        """Create or update a connection, and let its delivery start anew."""
        async with self._database.transaction() as transaction:
            await transaction.execute(SAVE, self._row(connection))
            await transaction.execute(OPEN_LANE, (connection.id,))
            await transaction.execute("SELECT pg_notify('work', %s)", (connection.id,))

    async def save_routes(self, organisation: str, document: dict[str, Any]) -> None:
        """Put an organisation's rules in force for all its connections."""
        async with self._database.transaction() as transaction:
            await transaction.execute(SAVE_ROUTES, (organisation, Jsonb(document)))
            await transaction.execute(ROUTED_ANEW, (organisation,))

    def _row(self, connection: Connection) -> dict[str, Any]:
        return {
            "id": connection.id,
            "organisation": connection.organisation,
            "kustomer_url": connection.kustomer_url,
            "klaviyo_url": connection.klaviyo_url,
            "klaviyo_account": connection.klaviyo_account,
            "webhook_id": connection.webhook_id,
            "webhook_url": connection.webhook_url,
            "secrets": self._sealer.seal(msgspec.json.encode(connection.secrets)),
            "options": Jsonb(connection.options),
            "horizon": connection.horizon,
            "app": Jsonb(connection.app),
        }

    def _open(self, row: DictRow) -> Connection:
        return _with(msgspec.json.decode(self._sealer.open(bytes(row["secrets"])), type=Secrets), row)


def _with(secrets: Secrets, row: DictRow) -> Connection:
    return Connection(secrets=secrets, **{name: row[name] for name in STORED_AS_THEY_ARE})
