"""Fills a database quickly with what the service would have kept: copies of rows that it wrote itself.

The service first works for a few customers and conversations. Their rows, of every table of a connection, are then
copied with other ids, addresses and earlier times. So the rows are as the service writes them, whatever its tables are.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from load import send
from processes import Bench
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
TEMPLATE_CUSTOMERS, TEMPLATE_CONVERSATIONS = 300, 1000
NOT_COPIED = (
    "bookmarks", "bulk_imports", "connection_status", "counters", "loop_failures", "lookups",
)  # fmt: skip
"""Tables whose size does not grow with what is kept."""

BODY_BYTES = 300
"""Bodies are shortened in the copies, to spare the disk."""

SPAN_DAYS = 25
"""The copies are spread over this time, less than any retention period."""

CONNECTIONS = 2
"""The database connections that copy at once."""

COLUMNS = """
-- The columns of the tables that belong to a connection, in order.
SELECT c.relname AS "table", a.attname AS name, format_type(a.atttypid, NULL) AS type
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped AND a.attidentity = '' AND a.attgenerated = ''
  AND c.relname <> ALL (%s)
  AND EXISTS (SELECT FROM pg_attribute AS i WHERE i.attrelid = c.oid AND i.attname = 'connection_id')
ORDER BY c.relname, a.attnum
"""

INDEXES = """
-- The indexes of ordinary tables that enforce no constraint, with their definitions.
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indrelid
WHERE c.relname = ANY (%s) AND c.relkind = 'r' AND NOT c.relispartition AND NOT i.indisunique
"""


def copied_customer(copy: int, number: int) -> int:
    """Return the number of a copy of a customer or conversation; copy 0 is the original."""
    return (copy << 40) + number


@dataclass(frozen=True, slots=True)
class Table:
    """A table to be filled: its columns with their types."""

    name: str
    columns: dict[str, str]


async def write_template(bench: Bench, url: str) -> None:
    """Let the service write the rows that are copied."""
    async with bench.klaviyo() as klaviyo:
        await bench.connect(url, klaviyo)
        async with bench.serve(url) as service:
            people = range(1, TEMPLATE_CUSTOMERS + 1)  # an id of zeros only would equal its copies
            await send(service.url, customers(WEBHOOK, people))
            await bench.wait_until_quiet(klaviyo)
            await send(service.url, conversations(TEMPLATE_CONVERSATIONS, WEBHOOK, people=people))
            await bench.wait_for_events(klaviyo, TEMPLATE_CONVERSATIONS)
            await bench.wait_until_quiet(klaviyo)


async def copy_rows(url: str, copies: int, tables: Sequence[str] | None = None) -> None:
    """Copy the rows of all tables, or of some."""
    with psycopg.connect(url, autocommit=True) as admin:
        selected = [table for table in _tables(admin) if tables is None or table.name in tables]
        with _without_indexes(admin, [table.name for table in selected]):
            for table in selected:
                name = sql.Identifier(table.name)
                admin.execute(sql.SQL("DROP TABLE IF EXISTS template"))
                admin.execute(sql.SQL("CREATE UNLOGGED TABLE template AS TABLE {}").format(name))
                statement = _copy_statement(table, copies)
                parts = [range(1 + part, copies + 1, CONNECTIONS) for part in range(CONNECTIONS)]
                await asyncio.gather(*(asyncio.to_thread(_copy, url, statement, part) for part in parts))
        admin.execute("DROP TABLE template")
        for table in selected:
            admin.execute(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(table.name)))
        admin.execute("CHECKPOINT")


def _tables(admin: psycopg.Connection) -> list[Table]:
    tables: dict[str, Table] = {}
    for table, name, kind in admin.execute(COLUMNS, (list(NOT_COPIED),)):
        tables.setdefault(table, Table(table, {})).columns[name] = kind
    return list(tables.values())


@contextlib.contextmanager
def _without_indexes(admin: psycopg.Connection, tables: list[str]) -> Iterator[None]:
    """Drop the indexes, and create them again at the end: that is faster than to maintain them."""
    admin.execute("SET maintenance_work_mem = '1GB'")
    indexes = admin.execute(INDEXES, (tables,)).fetchall()
    for name, _ in indexes:
        admin.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    for _, definition in indexes:
        admin.execute(definition)


def _copy(url: str, statement: sql.Composed, copies: Sequence[int]) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(statement, (list(copies),))


def _copy_statement(table: Table, copies: int) -> sql.Composed:
    values = [_value(table.name, name, kind, copies) for name, kind in table.columns.items()]
    return sql.SQL("INSERT INTO {table} ({columns}) SELECT {values} FROM template, unnest(%s::int[]) AS copy").format(
        table=sql.Identifier(table.name),
        columns=sql.SQL(", ").join(map(sql.Identifier, table.columns)),
        values=sql.SQL(", ").join(values),
    )


def _value(table: str, name: str, kind: str, copies: int) -> sql.Composable:
    """Return the value of a column in a copy: other ids, another address, an earlier time."""
    column = sql.Identifier(name)
    renamed = sql.SQL(
        "replace(replace({}::text, '0000000000', lpad(to_hex(copy), 10, '0')), '@lanternpost', '.' || copy"
        " || '@lanternpost')"
    ).format(column)
    if (table, name) == ("customers", "phone"):
        return sql.SQL("'+4479' || lpad((copy * 1000 + right({}, 3)::int)::text, 8, '0')").format(
            sql.SQL("translate(customer_id, 'abcdef', '123456')")
        )
    if kind in ("text", "jsonb", "text[]"):
        return renamed if kind == "text" else renamed + sql.SQL("::" + kind)
    if kind == "timestamp with time zone":
        return sql.SQL("{} - copy * interval '1 day' * {}").format(column, sql.Literal(SPAN_DAYS / copies))
    return sql.SQL("substr({}, 1, {})").format(column, sql.Literal(BODY_BYTES)) if kind == "bytea" else column
