"""Migrates the database: the service's tables with yoyo, and procrastinate's with its own scripts."""

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

MIGRATION_LOCK = 7_202_611
"""The advisory lock under which one process at a time migrates."""

JOB_QUEUE = "procrastinate"
CONNECT_SECONDS = 3


class SchemaState(Enum):
    """The schema of a database, compared to the schema of this version."""

    EMPTY = auto()
    OUTDATED = auto()
    CURRENT = auto()


async def schema_state(conninfo: str) -> SchemaState:
    """Return the state of the schema, without changing it. Raises the errors of psycopg."""
    conn = await psycopg.AsyncConnection.connect(conninfo, autocommit=True, connect_timeout=CONNECT_SECONDS)
    async with conn:
        query = "SELECT to_regclass('_yoyo_migration'), to_regclass('job_queue_schema')"
        tables = await (await conn.execute(query)).fetchone()
        if tables is None or tables[0] is None:
            return SchemaState.EMPTY
        rows = await (await conn.execute("SELECT migration_id FROM _yoyo_migration")).fetchall()
        query = "SELECT version FROM job_queue_schema WHERE name = %s"
        job_queue = await (await conn.execute(query, (JOB_QUEUE,))).fetchone() if tables[1] is not None else None
    has_migrations = _migration_ids() <= {row[0] for row in rows}
    is_current = has_migrations and job_queue is not None and job_queue[0] == version(JOB_QUEUE)
    return SchemaState.CURRENT if is_current else SchemaState.OUTDATED


def _migration_ids() -> set[str]:
    folder = files("kustomer_klaviyo.store") / "migrations"
    return {file.name.removesuffix(".sql") for file in folder.iterdir() if file.name.endswith(".sql")}


def migrate(conninfo: str) -> None:
    """Apply missing migrations. Processes that start together wait for each other. Blocks: run it in a thread."""
    with psycopg.connect(conninfo, autocommit=True, connect_timeout=5) as conn:
        conn.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
        _migrate_tables(conninfo)
        _migrate_job_queue(conn)


def _migrate_tables(conninfo: str) -> None:
    backend = get_backend(build_yoyo_url(conninfo))
    try:
        with as_file(files("kustomer_klaviyo.store") / "migrations") as folder:
            backend.apply_migrations(backend.to_apply(read_migrations(str(folder))))
    finally:
        backend.connection.close()


def build_yoyo_url(conninfo: str) -> str:
    """Return the URL of a database in the form that yoyo expects."""
    parts = {name: value for name, value in conninfo_to_dict(conninfo).items() if value is not None}
    database = parts.pop("dbname", "")
    return f"postgresql+psycopg:///{database}?{urlencode(parts)}"


def _migrate_job_queue(conn: psycopg.Connection[TupleRow]) -> None:
    """Create procrastinate's tables, or upgrade them with the scripts that it ships."""
    current = version(JOB_QUEUE)
    conn.execute("CREATE TABLE IF NOT EXISTS job_queue_schema (name text PRIMARY KEY, version text NOT NULL)")
    row = conn.execute("SELECT version FROM job_queue_schema WHERE name = %s", (JOB_QUEUE,)).fetchone()
    if row is not None and row[0] == current:
        return
    with conn.transaction():
        for script in _job_queue_scripts(None if row is None else row[0]):
            conn.execute(script)
        conn.execute(
            "INSERT INTO job_queue_schema VALUES (%s, %s) ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            (JOB_QUEUE, current),
        )


def _job_queue_scripts(installed: str | None) -> list[bytes]:
    if installed is None:
        return [SchemaManager.get_schema().encode()]
    newer = [
        script
        for script in sorted(Path(SchemaManager.get_migrations_path()).glob("*.sql"))
        if _parse_version(script.name.split("_", 1)[0]) > _parse_version(installed)
    ]
    return [script.read_bytes() for script in newer]


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:3] if part.isdigit())
