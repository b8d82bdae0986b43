"""Disk per delivered event after retention ran, and whether it grows from week to week, in ten simulated weeks.

After each week all times in the database are moved back by seven days. That rewrites every row, so the tables are
rewritten as well: what is compared is what retention keeps.
"""

import aiohttp
import psycopg
from psycopg import sql

from figures import Figure, at_most
from kustomer_klaviyo.runtime.retention_loop import _apply_retention
from kustomer_klaviyo.service import Service, open_app
from load import send
from processes import Bench
from traffic import conversations, customers

WEBHOOK = "/webhooks/kustomer/bench"
WEEKS, EVENTS_A_WEEK, PEOPLE_A_WEEK = 10, 3000, 1000
OPTIONS = {"event_retention_days": 10, "delivery_retention_days": 20}
"""Short enough for retention to delete as much as arrives before the fifth week."""

MAX_BYTES = 3000

TIMES = """
-- The columns that hold a time, of tables with data of a connection.
SELECT c.table_name, array_agg(c.column_name::text) FROM information_schema.columns AS c
JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE c.table_schema = 'public' AND t.table_type = 'BASE TABLE' AND c.data_type = 'timestamp with time zone'
  AND c.is_generated = 'NEVER' AND c.table_name !~ '^(procrastinate|_?yoyo)' AND c.table_name <> 'connections'
  AND c.table_name NOT IN (SELECT relname FROM pg_class WHERE relispartition)
GROUP BY c.table_name ORDER BY c.table_name
"""

SIZES = """
-- The size of each table with its indexes.
SELECT c.relname, pg_total_relation_size(c.oid) FROM pg_class AS c
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND c.relname !~ '^(procrastinate|_?yoyo)'
"""


async def measure(bench: Bench) -> list[Figure]:
    """Simulate ten weeks at a steady rate; each week has its own customers."""
    url, count = bench.new_database(), bench.count(EVENTS_A_WEEK, least=500)
    people = bench.count(PEOPLE_A_WEEK, least=150)
    sizes: list[dict[str, int]] = []
    async with bench.klaviyo() as klaviyo:
        await bench.connect(url, klaviyo, options=OPTIONS)
        for week in range(WEEKS):
            owners = range(week * people, (week + 1) * people)
            async with bench.serve(url) as service:
                await send(service.url, customers(WEBHOOK, owners))
                await bench.wait_until_quiet(klaviyo)
                await send(service.url, conversations(count, WEBHOOK, people=owners))
                await bench.wait_for_events(klaviyo, (week + 1) * count)
                await bench.wait_until_quiet(klaviyo)
            await _apply(bench, url)
            sizes.append(_rewrite(url))
            _move_back(url)
    fifth, tenth = (sum(sizes[week].values()) for week in (4, 9))
    grown = {name: size - sizes[4].get(name, 0) for name, size in sizes[9].items()}
    worst = max(grown, key=lambda name: grown[name])
    per_event = tenth / (WEEKS * count)
    return [
        Figure(name="disk per delivered event after retention, week 10", value=per_event, unit="bytes",
               target=f"<= {MAX_BYTES}", met=per_event <= MAX_BYTES),
        at_most(f"tables and indexes, week 10 against week 5 (most: {worst})", tenth / 1e6, "MB", fifth / 1e6, 1.02),
    ]  # fmt: skip


async def _apply(bench: Bench, url: str) -> None:
    """Run retention once."""
    async with open_app(bench.settings(url)) as app, aiohttp.ClientSession() as session:
        service = Service(app, session)
        await service.registry.load()
        for context in service.registry.all():
            await _apply_retention(app.db, context)


def _rewrite(url: str) -> dict[str, int]:
    """Rewrite the tables without their dead rows; returns the sizes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM FULL")
        return {name: size for name, size in connection.execute(SIZES) if size}


def _move_back(url: str) -> None:
    """Move all times back by seven days."""
    with psycopg.connect(url, autocommit=True) as connection:
        for table, columns in connection.execute(TIMES).fetchall():
            changes = sql.SQL(", ").join(
                sql.SQL("{0} = {0} - interval '7 days'").format(sql.Identifier(name)) for name in columns
            )
            connection.execute(sql.SQL("UPDATE {} SET {}").format(sql.Identifier(table), changes))
