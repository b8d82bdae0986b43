"""Access to PostgreSQL: a connection pool, and dedicated connections for owners that keep one open."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString, TypeAlias

import psycopg
import psycopg_pool
from psycopg import AsyncConnection, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from kustomer_klaviyo.store.adapters import register_adapters

Transaction: TypeAlias = AsyncConnection[DictRow]
"""A database connection with an open transaction. Parameters of this type are called ``tx``."""

DedicatedConnection: TypeAlias = AsyncConnection[DictRow]
"""A database connection of one owner, in which every statement commits by itself. It is called ``conn``."""

DatabaseError = psycopg.Error
"""Any error of the database or its driver."""
OperationalError = psycopg.OperationalError
PoolTimeout = psycopg_pool.PoolTimeout
DiskFull = errors.DiskFull
NOT_PERMITTED = (errors.InsufficientPrivilege, errors.ReadOnlySqlTransaction, errors.InvalidSchemaName)
"""Errors of a database whose role or state does not allow the statement."""

UNAVAILABLE_ERRORS = (OperationalError, PoolTimeout, TimeoutError, ConnectionError)
"""Errors of an unavailable database: all work waits. Any other error concerns one item, or is a bug.

This holds for the errors that ``Database`` raises, not for the error classes of psycopg.
"""

ITEM_ERROR_CLASSES = ("21", "22", "23", "44", "54", "P0", "XX")
"""SQLSTATE classes of errors that concern one item (postgresql.org/docs/current/errcodes-appendix.html): data,
constraints, sizes, triggers. All others, such as missing privileges or a full disk, concern all work."""

CONNECT_SECONDS = 3
POOL_WAIT_SECONDS = 5.0
DISK_FULL_SECONDS = 30.0
"""How long the disk counts as full after a write failed for lack of space. Smaller writes may succeed meanwhile."""

Params = Mapping[str, Any] | Sequence[Any] | None


class DatabaseUnavailable(OperationalError):
    """The database responds but rejects every item: privileges, tables or settings are wrong."""


class ItemRejected(psycopg.DatabaseError):
    """The database rejects the data of one item. psycopg raises some of these errors as OperationalError."""


class Database:
    """One PostgreSQL database. Every statement commits by itself unless it runs inside ``transaction``."""

    def __init__(self, conninfo: str, *, pool_size: int = 8) -> None:
        self.conninfo = conninfo
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            conninfo,
            min_size=1,
            max_size=pool_size,
            open=False,
            timeout=POOL_WAIT_SECONDS,
            reconnect_timeout=POOL_WAIT_SECONDS,
            configure=register_adapters,
            kwargs={"autocommit": True, "row_factory": dict_row, "connect_timeout": CONNECT_SECONDS},
        )
        self._disk_full_at = float("-inf")

    @property
    def is_disk_full(self) -> bool:
        """Whether a write recently failed for lack of disk space."""
        return time.monotonic() - self._disk_full_at < DISK_FULL_SECONDS

    @contextmanager
    def classify_errors(self) -> Iterator[None]:
        """Raise errors as ``UNAVAILABLE_ERRORS`` means them. For statements on a dedicated connection."""
        try:
            yield
        except DiskFull:
            self._disk_full_at = time.monotonic()
            raise
        except psycopg.Error as error:
            classified = classify_error(error)
            if classified is error:
                raise
            raise classified from error

    async def open(self) -> None:
        """Start connecting, without waiting for the database to be available."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close all connections of the pool."""
        await self._pool.close(timeout=2.0)

    async def fetch(self, query: LiteralString, params: Params = None) -> list[DictRow]:
        """Run one statement and return its rows."""
        with self.classify_errors():
            async with self._pool.connection() as conn:
                return await (await conn.execute(query, params)).fetchall()

    async def execute(self, query: LiteralString, params: Params = None) -> int:
        """Run one statement and return the number of affected rows."""
        with self.classify_errors():
            async with self._pool.connection() as conn:
                return (await conn.execute(query, params)).rowcount

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction. It commits at the end of the block, and rolls back on an error."""
        with self.classify_errors():
            async with self._pool.connection() as tx, tx.transaction():
                yield tx

    @asynccontextmanager
    async def dry_run_transaction(self) -> AsyncIterator[Transaction]:
        """Open a transaction that always rolls back."""
        with self.classify_errors():
            async with self._pool.connection() as tx, tx.transaction(force_rollback=True):
                yield tx

    async def dedicated_connection(self) -> DedicatedConnection:
        """Open a connection outside the pool, for one owner that keeps it open."""
        conn = await asyncio.wait_for(
            AsyncConnection.connect(
                self.conninfo, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
            ),
            CONNECT_SECONDS + 1,
        )
        await register_adapters(conn)
        return conn


def classify_error(error: psycopg.Error) -> psycopg.Error:
    """Return an error as ``UNAVAILABLE_ERRORS`` means it: ItemRejected, DatabaseUnavailable, or the error itself."""
    state = error.sqlstate
    if state is None:
        # An error of the driver: a lost connection is an OperationalError, a value that it cannot send is not.
        return error
    is_operational = isinstance(error, OperationalError)
    if state[:2] in ITEM_ERROR_CLASSES:
        return _convert(ItemRejected, error) if is_operational else error
    return error if is_operational else _convert(DatabaseUnavailable, error)


def _convert(error_class: type[psycopg.Error], error: psycopg.Error) -> psycopg.Error:
    converted = error_class(*error.args)
    converted.sqlstate = error.sqlstate
    return converted


def is_unreachable(error: BaseException) -> bool:
    """Return whether the database did not respond at all. Another process may have taken over the work meanwhile."""
    state = getattr(error.__cause__ or error, "sqlstate", None)
    return isinstance(error, UNAVAILABLE_ERRORS) and (state is None or state.startswith(("08", "57P")))
