"""Connections: which Kustomer organisation goes to which Klaviyo account, with what secrets and options."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import Sealer

ADD = """
-- A new connection; one of the same name is left as it is.
INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, klaviyo_account, webhook_id, webhook_url, secrets,
                         options, horizon, app)
VALUES (%(id)s, %(organisation)s, %(kustomer_url)s, %(klaviyo_url)s, %(klaviyo_account)s, %(webhook_id)s,
        %(webhook_url)s, %(secrets)s, %(options)s, %(horizon)s, %(app)s)
ON CONFLICT (id) DO NOTHING
"""

SAVE = """
-- A connection is saved whole, unless somebody else saved it meanwhile; workers notice by its revision.
UPDATE connections SET
    organisation = %(organisation)s, kustomer_url = %(kustomer_url)s, klaviyo_url = %(klaviyo_url)s,
    klaviyo_account = %(klaviyo_account)s, webhook_id = %(webhook_id)s, webhook_url = %(webhook_url)s,
    secrets = %(secrets)s, options = %(options)s, horizon = %(horizon)s, app = %(app)s,
    revision = revision + 1, updated_at = now()
WHERE id = %(id)s AND revision = %(revision)s
"""

ALONE = """
-- Nobody else sets the same connection up until this transaction ends.
SELECT pg_advisory_xact_lock(hashtext('set up a connection'), hashtext(%s))
"""

TAKE_BACK = """
-- A connection whose webhook was never made.
DELETE FROM connections WHERE id = %s AND revision = %s AND webhook_id IS NULL
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
ON CONFLICT (connection_id) DO UPDATE SET paused = false, wait_until = NULL, reason = NULL, failures = 0, note = NULL,
    webhook_state = NULL, webhook_since = NULL
"""


WATCH_ANEW = "UPDATE lookups SET due_at = now() WHERE connection_id = %s AND kind = 'webhook'"

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
    """Counts how often it was saved; 0 for one that never was."""
    routes: dict[str, Any] = field(default_factory=dict)
    """Where the organisation's conversations go by their brand; saved apart, for all its connections."""


class NotThere(Exception):
    """What was asked for is not kept here (any more)."""


class Changed(Exception):
    """Somebody else saved the connection since it was read, or made one of the same name."""

    def __init__(self, connection_id: str) -> None:
        super().__init__(f"The connection {connection_id} was changed by somebody else meanwhile. Try again.")


class Connections:
    """The saved connections."""

    def __init__(self, database: Database, sealer: Sealer) -> None:
        self._database = database
        self._sealer = sealer

    @property
    def database(self) -> Database:
        """Where they are kept."""
        return self._database

    async def all(self) -> list[Connection]:
        """Return every connection, in the order of their names."""
        return [self._open(row) for row in await self._database.fetch(f"{ALL} ORDER BY connections.id")]

    async def readable(self) -> tuple[list[Connection], dict[str, Exception]]:
        """Return every connection that can be read, and of each other one why not."""
        found: list[Connection] = []
        broken: dict[str, Exception] = {}
        for row in await self._database.fetch(f"{ALL} ORDER BY connections.id"):
            try:
                found.append(self._open(row))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other connections are read
                broken[row["id"]] = error
        return found, broken

    async def check(self) -> None:
        """Raise what keeps every single connection from being read, such as a wrong encryption key."""
        found, broken = await self.readable()
        if broken and not found:
            raise next(iter(broken.values()))

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

    async def save(self, connection: Connection) -> Connection:
        """Create or update a connection, and let its delivery start anew; returns it as saved. Raises Changed."""
        async with self._database.transaction() as transaction:
            return await self._save(transaction, connection)

    async def change(self, connection_id: str, how: Callable[[Connection], Connection]) -> Connection:
        """Change some of a connection, whatever else of it others change; returns it as saved. Raises NotThere."""
        async with self._database.transaction() as transaction:
            query = f"{ALL} WHERE connections.id = %s FOR UPDATE OF connections"
            row = await (await transaction.execute(query, (connection_id,))).fetchone()
            if row is None:
                raise NotThere
            before = self._open(row)
            after = how(before)
            return before if after == before else await self._save(transaction, after)

    @asynccontextmanager
    async def alone(self, connection_id: str) -> AsyncIterator[None]:
        """Let nobody else set up a connection of this name meanwhile: at the vendors, things are made once."""
        async with self._database.transaction() as transaction:
            await transaction.execute(ALONE, (connection_id,))
            yield

    async def _save(self, transaction: AsyncConnection[DictRow], connection: Connection) -> Connection:
        query = SAVE if connection.revision else ADD
        if (await transaction.execute(query, self._row(connection))).rowcount == 0:
            raise Changed(connection.id)
        await transaction.execute(OPEN_LANE, (connection.id,))
        await transaction.execute(WATCH_ANEW, (connection.id,))
        await transaction.execute("SELECT pg_notify('work', %s)", (connection.id,))
        return replace(connection, revision=connection.revision + 1)

    async def take_back(self, connection: Connection) -> None:
        """Forget a connection that was saved for a webhook which could not be made."""
        await self._database.execute(TAKE_BACK, (connection.id, connection.revision))

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
            "revision": connection.revision,
        }

    def _open(self, row: DictRow) -> Connection:
        return _with(msgspec.json.decode(self._sealer.open(bytes(row["secrets"])), type=Secrets), row)


def _with(secrets: Secrets, row: DictRow) -> Connection:
    return Connection(secrets=secrets, **{name: row[name] for name in STORED_AS_THEY_ARE})
