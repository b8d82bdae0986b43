"""Connections: each sends the events of one Kustomer organisation to one Klaviyo account."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import msgspec
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.encryption import Encryptor

INSERT = """
-- Inserts a connection unless its id exists.
INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, klaviyo_account, webhook_id, webhook_url,
                         encrypted_secrets, options, since, kustomer_app)
VALUES (%(id)s, %(organisation)s, %(kustomer_url)s, %(klaviyo_url)s, %(klaviyo_account)s, %(webhook_id)s,
        %(webhook_url)s, %(encrypted_secrets)s, %(options)s, %(since)s, %(kustomer_app)s)
ON CONFLICT (id) DO NOTHING
"""

UPDATE = """
-- Updates all columns of a connection, unless its version has changed. Workers reload it when the version changes.
UPDATE connections SET
    organisation = %(organisation)s, kustomer_url = %(kustomer_url)s, klaviyo_url = %(klaviyo_url)s,
    klaviyo_account = %(klaviyo_account)s, webhook_id = %(webhook_id)s, webhook_url = %(webhook_url)s,
    encrypted_secrets = %(encrypted_secrets)s, options = %(options)s, since = %(since)s,
    kustomer_app = %(kustomer_app)s, version = version + 1, updated_at = now()
WHERE id = %(id)s AND version = %(version)s
"""

LOCK = """
-- Locks the set-up of a connection until the transaction ends.
SELECT pg_advisory_xact_lock(hashtext('set up a connection'), hashtext(%s))
"""

DISCARD = """
-- Deletes a connection whose webhook was never created.
DELETE FROM connections WHERE id = %s AND version = %s AND webhook_id IS NULL
"""

SAVE_ROUTES = """
-- Replaces all routing rules of an organisation.
INSERT INTO routes (organisation, document) VALUES (%s, %s)
ON CONFLICT (organisation) DO UPDATE SET document = excluded.document, updated_at = now()
"""

INCREMENT_VERSIONS = """
-- Makes workers reload the connections of an organisation.
UPDATE connections SET version = version + 1 WHERE organisation = %s
"""

SELECT = """
-- Selects connections with the routing rules of their organisation.
SELECT connections.*, coalesce(routes.document, '{}') AS routes
FROM connections LEFT JOIN routes USING (organisation)
"""

RESET_STATUS = """
-- Ends any hold or pause of a saved connection, so that its deliveries are tried at once.
INSERT INTO connection_status (connection_id) VALUES (%s)
ON CONFLICT (connection_id) DO UPDATE SET paused = false, held_until = NULL, hold_reason = NULL, hold_detail = NULL,
    consecutive_failures = 0, note = NULL, webhook_state = NULL, webhook_state_since = NULL
"""

CHECK_WEBHOOK_NOW = "UPDATE lookups SET due_at = now() WHERE connection_id = %s AND kind = 'webhook'"

PLAIN_COLUMNS = (
    "id", "organisation", "kustomer_url", "klaviyo_url", "klaviyo_account", "webhook_id", "webhook_url", "since",
    "options", "version", "routes", "kustomer_app",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Secrets:
    """The credentials at both vendors. Their repr is empty, so that logs never contain them."""

    kustomer_key: str = field(repr=False)
    klaviyo_keys: tuple[str, ...] = field(repr=False)
    """The current key first. The others are tried when Klaviyo rejects it."""
    webhook_tokens: tuple[str, ...] = field(repr=False)
    """Tokens whose signatures are accepted. There are several while a token is being replaced."""
    card_secrets: tuple[str, ...] = field(default=(), repr=False)
    """Digests of the secrets that authenticate card requests. There are two while a secret is being replaced."""


@dataclass(frozen=True, slots=True)
class Connection:
    """The integration of one Kustomer organisation with one Klaviyo account."""

    id: str
    organisation: str
    kustomer_url: str
    klaviyo_url: str
    secrets: Secrets
    since: datetime
    """Facts that happened earlier are not sent."""
    options: dict[str, Any] = field(default_factory=dict)
    klaviyo_account: str | None = None
    webhook_id: str | None = None
    webhook_url: str | None = None
    kustomer_app: dict[str, Any] = field(default_factory=dict)
    """The installed Kustomer app that shows the card: name, version, and format and digest of its definition."""
    version: int = 0
    """How often the connection was saved; 0 for a new one."""
    routes: dict[str, Any] = field(default_factory=dict)
    """Routing rules by brand. They are saved per organisation, not per connection."""


class NotFound(Exception):
    """The connection does not exist."""


class ConflictError(Exception):
    """The connection was saved by someone else since it was read, or a connection of this name exists already."""

    def __init__(self, connection_id: str) -> None:
        super().__init__(f"The connection {connection_id} was changed by someone else at the same time. Try again.")


class Connections:
    """The stored connections."""

    def __init__(self, db: Database, encryptor: Encryptor) -> None:
        self.db = db
        self._encryptor = encryptor

    async def all(self) -> list[Connection]:
        """Return all connections, sorted by id."""
        return [self._from_row(row) for row in await self.db.fetch(f"{SELECT} ORDER BY connections.id")]

    async def load_all(self) -> tuple[list[Connection], dict[str, Exception]]:
        """Return all readable connections, and the errors of the others by connection id."""
        readable: list[Connection] = []
        errors: dict[str, Exception] = {}
        for row in await self.db.fetch(f"{SELECT} ORDER BY connections.id"):
            try:
                readable.append(self._from_row(row))
            except Exception as error:  # noqa: BLE001 - one unreadable connection must not affect the others
                errors[row["id"]] = error
        return readable, errors

    async def check_readable(self) -> None:
        """Raise the first error if no connection can be read, for example because the encryption key is wrong."""
        readable, errors = await self.load_all()
        if errors and not readable:
            raise next(iter(errors.values()))

    async def get(self, connection_id: str) -> Connection | None:
        """Return a connection, or None if it does not exist."""
        rows = await self.db.fetch(f"{SELECT} WHERE connections.id = %s", (connection_id,))
        return self._from_row(rows[0]) if rows else None

    async def without_secrets(self, connection_id: str) -> Connection | None:
        """Return a connection with empty secrets, to replace secrets that can no longer be decrypted."""
        rows = await self.db.fetch(f"{SELECT} WHERE connections.id = %s", (connection_id,))
        return _build_connection(Secrets("", (), ()), rows[0]) if rows else None

    async def require(self, connection_id: str) -> Connection:
        """Return a connection. Raises NotFound."""
        connection = await self.get(connection_id)
        if connection is None:
            raise NotFound
        return connection

    async def version(self) -> tuple[int, int]:
        """Return a value that changes whenever a connection is saved or deleted."""
        rows = await self.db.fetch("SELECT count(*) AS count, coalesce(sum(version), 0) AS versions FROM connections")
        return rows[0]["count"], rows[0]["versions"]

    async def save(self, connection: Connection) -> Connection:
        """Insert or update a connection, end any hold of its deliveries, and return it. Raises ConflictError."""
        async with self.db.transaction() as tx:
            return await self._save(tx, connection)

    async def update(self, connection_id: str, modify: Callable[[Connection], Connection]) -> Connection:
        """Apply a change to the current version of a connection, and return the saved one. Raises NotFound."""
        async with self.db.transaction() as tx:
            query = f"{SELECT} WHERE connections.id = %s FOR UPDATE OF connections"
            row = await (await tx.execute(query, (connection_id,))).fetchone()
            if row is None:
                raise NotFound
            before = self._from_row(row)
            after = modify(before)
            return before if after == before else await self._save(tx, after)

    @asynccontextmanager
    async def lock(self, connection_id: str) -> AsyncIterator[None]:
        """Lock the set-up of a connection, so that its objects at the vendors are created once."""
        async with self.db.transaction() as tx:
            await tx.execute(LOCK, (connection_id,))
            yield

    async def _save(self, tx: Transaction, connection: Connection) -> Connection:
        query = UPDATE if connection.version else INSERT
        if (await tx.execute(query, self._to_row(connection))).rowcount == 0:
            raise ConflictError(connection.id)
        await tx.execute(RESET_STATUS, (connection.id,))
        await tx.execute(CHECK_WEBHOOK_NOW, (connection.id,))
        await tx.execute("SELECT pg_notify('work', %s)", (connection.id,))
        return replace(connection, version=connection.version + 1)

    async def discard(self, connection: Connection) -> None:
        """Delete a connection whose webhook could not be created."""
        await self.db.execute(DISCARD, (connection.id, connection.version))

    async def save_routes(self, organisation: str, document: dict[str, Any]) -> None:
        """Replace an organisation's routing rules, for all its connections."""
        async with self.db.transaction() as tx:
            await tx.execute(SAVE_ROUTES, (organisation, Jsonb(document)))
            await tx.execute(INCREMENT_VERSIONS, (organisation,))

    def _to_row(self, connection: Connection) -> dict[str, Any]:
        return {
            "id": connection.id,
            "organisation": connection.organisation,
            "kustomer_url": connection.kustomer_url,
            "klaviyo_url": connection.klaviyo_url,
            "klaviyo_account": connection.klaviyo_account,
            "webhook_id": connection.webhook_id,
            "webhook_url": connection.webhook_url,
            "encrypted_secrets": self._encryptor.encrypt(msgspec.json.encode(connection.secrets)),
            "options": Jsonb(connection.options),
            "since": connection.since,
            "kustomer_app": Jsonb(connection.kustomer_app),
            "version": connection.version,
        }

    def _from_row(self, row: DictRow) -> Connection:
        secrets = msgspec.json.decode(self._encryptor.decrypt(bytes(row["encrypted_secrets"])), type=Secrets)
        return _build_connection(secrets, row)


def _build_connection(secrets: Secrets, row: DictRow) -> Connection:
    return Connection(secrets=secrets, **{name: row[name] for name in PLAIN_COLUMNS})
