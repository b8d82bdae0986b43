"""The way to PostgreSQL: a pool of connections, and lanes of one's own where a pool would get in the way."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any, LiteralString

import psycopg
from psycopg import AsyncConnection, OperationalError
from psycopg.errors import DiskFull
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from kustomer_klaviyo.store.adapters import adapt

UNREACHABLE = (OperationalError, PoolTimeout, TimeoutError, ConnectionError)
"""What a database raises that is away or takes nothing: everything waits. Anything else is one item's fault, or ours.

As ``Database`` raises them: PostgreSQL's own classes say something else.
"""

ITEM_CLASSES = ("21", "22", "23", "44", "54", "P0", "XX")
"""Classes of SQLSTATE that blame what was sent (postgresql.org/docs/current/errcodes-appendix.html): data,
constraints, sizes, triggers. All others, such as missing rights or a full disk, concern everything."""

CONNECT_SECONDS = 3
POOL_WAIT_SECONDS = 5.0
DISK_FULL_SECONDS = 30.0
"""So long after a statement that found no space the disk is taken for full: small writes may get through meanwhile."""

Params = Mapping[str, Any] | Sequence[Any] | None


class Unavailable(OperationalError):
    """The database answers, and takes nothing: rights, tables or settings are not as they should be."""


class ItemRefused(psycopg.DatabaseError):
    """The database refuses what one item holds; of PostgreSQL's classes some such errors are operational ones."""


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
            configure=adapt,
            kwargs={"autocommit": True, "row_factory": dict_row, "connect_timeout": CONNECT_SECONDS},
        )
        self._disk_full_at = float("-inf")

    @property
    def is_disk_full(self) -> bool:
        """Whether the database lately found no space to write to."""
        return time.monotonic() - self._disk_full_at < DISK_FULL_SECONDS

    @contextmanager
    def errors_told_apart(self) -> Iterator[None]:
        """Let errors of one item be told from a database that takes nothing; for whoever has a lane of their own."""
        try:
            yield
        except DiskFull:
            self._disk_full_at = time.monotonic()
            raise
        except psycopg.Error as error:
            told = told_apart(error)
            if told is error:
                raise
            raise told from error

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._pool.close(timeout=2.0)

    async def fetch(self, query: LiteralString, params: Params = None) -> list[DictRow]:
        """Run one statement and return its rows."""
        with self.errors_told_apart():
            async with self._pool.connection() as connection:
                return await (await connection.execute(query, params)).fetchall()

    async def execute(self, query: LiteralString, params: Params = None) -> int:
        """Run one statement and return how many rows it touched."""
        with self.errors_told_apart():
            async with self._pool.connection() as connection:
                return (await connection.execute(query, params)).rowcount

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Lend a connection inside one transaction."""
        with self.errors_told_apart():
            async with self._pool.connection() as connection, connection.transaction():
                yield connection

    @asynccontextmanager
    async def rehearsal(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Lend a connection inside one transaction of which nothing stays."""
        with self.errors_told_apart():
            async with self._pool.connection() as connection, connection.transaction(force_rollback=True):
                yield connection

    async def lane(self) -> AsyncConnection[DictRow]:
        """Open a connection outside the pool, for one owner that keeps it."""
        lane = await asyncio.wait_for(
            AsyncConnection.connect(
                self.conninfo, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
            ),
            CONNECT_SECONDS + 1,
        )
        await adapt(lane)
        return lane


def told_apart(error: psycopg.Error) -> psycopg.Error:
    """Return an error as UNREACHABLE means it: ItemRefused, Unavailable, or the error itself where that is right."""
    state = error.sqlstate
    if state is None:
        # The driver's own: a lost connection is an OperationalError, what cannot be sent is none.
        return error
    is_operational = isinstance(error, OperationalError)
    if state[:2] in ITEM_CLASSES:
        return _as(ItemRefused, error) if is_operational else error
    return error if is_operational else _as(Unavailable, error)


def _as(kind: type[psycopg.Error], error: psycopg.Error) -> psycopg.Error:
    told = kind(*error.args)
    told.sqlstate = error.sqlstate
    return told


def is_out_of_reach(error: BaseException) -> bool:
    """Say whether the database did not answer at all; others may have taken over from a process that lost it."""
    state = getattr(error.__cause__ or error, "sqlstate", None)
    return isinstance(error, UNREACHABLE) and (state is None or state.startswith(("08", "57P")))
