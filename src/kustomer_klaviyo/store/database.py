"""The way to PostgreSQL: a pool of connections, and lanes of one's own where a pool would get in the way."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, LiteralString

from psycopg import AsyncConnection, OperationalError
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

UNREACHABLE = (OperationalError, PoolTimeout, TimeoutError, OSError)
"""What a database that is away raises; anything else is a fault of ours."""

CONNECT_SECONDS = 3
POOL_WAIT_SECONDS = 5.0

Params = Mapping[str, Any] | Sequence[Any] | None


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
            kwargs={"autocommit": True, "row_factory": dict_row, "connect_timeout": CONNECT_SECONDS},
        )

    async def open(self) -> None:
        """Start connecting; does not wait for the database to be there."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every pooled connection."""
        await self._pool.close(timeout=2.0)

    async def fetch(self, query: LiteralString, params: Params = None) -> list[DictRow]:
        """Run one statement and return its rows."""
        async with self._pool.connection() as connection:
            return await (await connection.execute(query, params)).fetchall()

    async def execute(self, query: LiteralString, params: Params = None) -> int:
        """Run one statement and return how many rows it touched."""
        async with self._pool.connection() as connection:
            return (await connection.execute(query, params)).rowcount

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Lend a connection inside one transaction."""
        async with self._pool.connection() as connection, connection.transaction():
            yield connection

    @asynccontextmanager
    async def rehearsal(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        """Lend a connection inside one transaction of which nothing stays."""
        async with self._pool.connection() as connection, connection.transaction(force_rollback=True):
            yield connection

    async def lane(self) -> AsyncConnection[DictRow]:
        """Open a connection outside the pool, for one owner that keeps it."""
        return await asyncio.wait_for(
            AsyncConnection.connect(
                self.conninfo, autocommit=True, row_factory=dict_row, connect_timeout=CONNECT_SECONDS
            ),
            CONNECT_SECONDS + 1,
        )
