"""Bring a database to the shape this version needs: our tables by yoyo, the job engine's by its own scripts."""

from enum import Enum, auto
from importlib.metadata import version
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlencode

import psycopg
from procrastinate.schema import SchemaManager
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow
from yoyo import get_backend, read_migrations

LOCK = 7_202_611
"""The advisory lock that lets one process at a time change the shape."""

ENGINE = "procrastinate"
CONNECT_SECONDS = 3


class Shape(Enum):
    """How a database stands to this version of the program."""

    EMPTY = auto()
    OLDER = auto()
    CURRENT = auto()


async def shape_of(conninfo: str) -> Shape:
    """Look, and change nothing. Raises what psycopg raises for a database that is away."""
    lane = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS)
    async with lane:
        there = await (await lane.execute("SELECT to_regclass('_yoyo_migration'), to_regclass('engine')")).fetchone()
        if there is None or there[0] is None:
            return Shape.EMPTY
        rows = await (await lane.execute("SELECT migration_id FROM _yoyo_migration")).fetchall()
        query = "SELECT version FROM engine WHERE name = %s"
        engine = await (await lane.execute(query, (ENGINE,))).fetchone() if there[1] is not None else None
    is_current = _names() <= {row[0] for row in rows} and engine is not None and engine[0] == version(ENGINE)
    return Shape.CURRENT if is_current else Shape.OLDER


def _names() -> set[str]:
    folder = files("kustomer_klaviyo.store") / "migrations"
    return {one.name.removesuffix(".sql") for one in folder.iterdir() if one.name.endswith(".sql")}


def migrate(conninfo: str) -> None:
    """Apply what is missing, once, however many processes start together. Blocks; run it in a thread."""
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        _migrate_tables(conninfo)
        _migrate_engine(connection)


def _migrate_tables(conninfo: str) -> None:
    backend = get_backend(yoyo_url(conninfo))
    try:
        with as_file(files("kustomer_klaviyo.store") / "migrations") as folder:
            backend.apply_migrations(backend.to_apply(read_migrations(str(folder))))
    finally:
        backend.connection.close()


def yoyo_url(conninfo: str) -> str:
    """Return a database's address as yoyo writes it."""
    parts = {name: value for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    database = parts.pop("dbname", "")
    return f"postgresql+psycopg:///{database}?{urlencode(parts)}"


def _migrate_engine(connection: psycopg.Connection[TupleRow]) -> None:
    """Make the engine's tables, or bring those of an older engine up with the scripts it ships."""
    wanted = version(ENGINE)
    connection.execute("CREATE TABLE IF NOT EXISTS engine (name text PRIMARY KEY, version text NOT NULL)")
    row = connection.execute("SELECT version FROM engine WHERE name = %s", (ENGINE,)).fetchone()
    if row is not None and row[0] == wanted:
        return
    with connection.transaction():
        for script in _engine_scripts(None if row is None else row[0]):
            connection.execute(script)
        connection.execute(
            "INSERT INTO engine VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            (ENGINE, wanted),
        )


def _engine_scripts(installed: str | None) -> list[bytes]:
    if installed is None:
        return [SchemaManager.get_schema().encode()]
    newer = [
        script
        for script in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
        if _number(script.name.split("_", 1)[0]) > _number(installed)
    ]
    return [script.read_bytes() for script in newer]


def _number(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())
