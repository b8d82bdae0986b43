"""Look-ups of events by whatever an admin knows, at 10,000,000 events. ``--scale 0.1`` makes a smaller database."""

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from figures import Figure
from fill import TEMPLATE_CONVERSATIONS, TEMPLATE_CUSTOMERS, copied_customer, copy_rows, write_template
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.reports import Search
from load import quantile
from processes import Bench
from traffic import customer_id, email

EVENTS, LOOKUPS = 10_000_000, 60
TABLES = ("deliveries", "customers")
TARGET_MS = 100.0

SOME_FAILED = """
-- Of the rows that are copied, a few failed and some were skipped.
UPDATE deliveries SET state = CASE WHEN seq % 100 = 0 THEN 'failed' ELSE 'skipped' END,
    reason = CASE WHEN seq % 100 = 0 THEN 'rejected' ELSE 'excluded' END
WHERE kind <> 'profile' AND seq % 25 = 0
"""

Parameters = dict[str, Any]


async def measure(bench: Bench) -> list[Figure]:
    """Look up random customers, conversations, states and times."""
    url, copies = bench.new_database(), bench.count(EVENTS) // TEMPLATE_CONVERSATIONS
    await write_template(bench, url)
    with psycopg.connect(url) as connection:
        connection.execute(SOME_FAILED)
    await copy_rows(url, copies, TABLES)
    known = _known(url)
    figures = []
    async with open_app(bench.settings(url)) as app:
        for what, choose in _lookups(known).items():
            if not set(choose()) <= set(Search.__dataclass_fields__):
                figures.append(Figure(name=f"look up by {what}: cannot be asked yet", value=0, unit="ms", met=False))
                continue
            times = []
            for _ in range(LOOKUPS):
                began = time.perf_counter()
                await reports.deliveries(app.db, Search(connection="bench", **choose()))
                times.append(time.perf_counter() - began)
            p95 = quantile(times, 0.95) * 1e3
            name = f"look up by {what} among {copies * TEMPLATE_CONVERSATIONS:,} events, p95"
            figures.append(Figure(name=name, value=p95, unit="ms", target="< 100 ms", met=p95 < TARGET_MS))
    return figures


def _known(url: str) -> list[tuple[str, str, str, str]]:
    """Return some customers with address, phone number and a conversation."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """SELECT c.customer_id, c.email, c.phone, min(d.conversation_id) FROM
               (SELECT * FROM customers TABLESAMPLE SYSTEM (1) WHERE phone IS NOT NULL LIMIT 500) AS c
               JOIN deliveries AS d ON d.connection_id = c.connection_id AND d.subject = c.customer_id
                 AND d.conversation_id <> ''
               GROUP BY c.customer_id, c.email, c.phone"""
        ).fetchall()
    return rows or [(customer_id(copied_customer(1, n)), email(n), "+44", "") for n in range(TEMPLATE_CUSTOMERS)]


def _lookups(known: list[tuple[str, str, str, str]]) -> dict[str, Callable[[], Parameters]]:
    """Return what to ask, by name; each call chooses another customer or time."""
    rng = random.Random(7)

    def a_day() -> Parameters:
        since = datetime.now(UTC) - timedelta(days=rng.uniform(1, 24))
        return {"since": since, "until": since + timedelta(days=1)}

    return {
        "email": lambda: {"email": rng.choice(known)[1]},
        "phone": lambda: {"phone": rng.choice(known)[2]},
        "customer": lambda: {"customer": rng.choice(known)[0]},
        "conversation": lambda: {"conversation": rng.choice(known)[3]},
        "reason": lambda: {"reason": rng.choice(("rejected", "excluded"))},
        "state": lambda: {"state": rng.choice(("failed", "skipped", "delivered", "pending"))},
        "time": a_day,
    }
