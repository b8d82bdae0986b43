"""Fills a database as if it had been used for long: most rows are completed, and a few are pending."""

from typing import LiteralString

import psycopg
from psycopg import sql

CONNECTION_IDS: LiteralString = (
    "(ARRAY['acme', 'acme', 'acme', 'acme', 'acme', 'acme', 'kids', 'pro', 'test', 'old'])[1 + i % 10]"
)
"""The connection of a row: six in ten rows belong to the same connection."""

COMPLETED_ROWS: tuple[LiteralString, ...] = (
    """
    INSERT INTO customers (connection_id, customer_id, rev, fingerprint, contacts, email, phone, merged_into, last_sent,
                           sent_version, klaviyo_profile_id, klaviyo_confirmed_at, open_count, open_count_at)
    SELECT {connection_ids}, 'k' || i, 3, md5(i::text), '{{}}', 'k' || i || '@lanternpost.example',
           '+4479' || (10000000 + i), CASE WHEN i % 50 = 0 THEN 'k' || (i + 10) END,
           jsonb_build_object('email', 'k' || i || '@lanternpost.example', 'fields', '{{}}'::jsonb), 1, md5(i::text),
           now() - interval '3 days', i % 3, now() - i % 1000 * interval '1 hour'
    FROM generate_series({first}::int / 2, {last}::int / 2 - 1) AS i
    """,
    """
    INSERT INTO conversations (connection_id, conversation_id, customer_id, rev, fingerprint, observed, status_history)
    SELECT {connection_ids}, 'c' || i, 'k' || (i / 20 * 10 + i % 10), 5, md5(i::text), jsonb_build_object(
               'is_open', i % 7 = 0, 'status_changed_at', now() - i % 9000 * interval '1 hour',
               'created_at', now() - (i % 9000 + 5) * interval '1 hour',
               'conversation', jsonb_build_object('id', 'c' || i, 'brand_id', 'b' || i % 3, 'spam', false)), '{{}}'
    FROM generate_series({first}::int, {last}::int - 1) AS i
    """,
    """
    INSERT INTO deliveries (connection_id, fact_key, kind, subject, conversation_id, occurred_at, rev, state,
                            identifier, fact, created_at, completed_at)
    SELECT {connection_ids}, kind || ':c' || i || ':' || n, kind, 'k' || (i / 20 * 10 + i % 10),
           CASE WHEN kind = 'profile' THEN '' ELSE 'c' || i END, at, 5,
           CASE WHEN i % 90 = 0 THEN 'skipped' ELSE 'delivered' END, 'k' || i / 2 || '@lanternpost.example',
           jsonb_build_object('occurred_at', at, 'rating', 1 + i % 5, 'note', repeat('x', 300)), at, at
    FROM (SELECT i, n, (ARRAY['created', 'done', 'csat', 'profile'])[1 + (i / 10 + 2 * n) % 4] AS kind,
                 now() - interval '300 days' * ({total}::float8 - i) / {total}::float8 AS at
          FROM generate_series({first}::int, {last}::int - 1) AS i, generate_series(0, 1) AS n) AS facts
    """,
    """
    INSERT INTO inbox (connection_id, event_id, event_name, conversation_id, customer_id, body, state, note,
                       received_at)
    SELECT {connection_ids}, 'e' || i, 'kustomer.conversation.update', 'c' || i, 'k' || (i / 20 * 10 + i % 10),
           convert_to(repeat('y', 500), 'UTF8'), 'processed', 'recorded before',
           now() - interval '30 days' * ({total}::float8 - i) / {total}::float8
    FROM generate_series({first}::int, {last}::int - 1) AS i
    """,
    """
    INSERT INTO cards (connection_id, customer_id, document, fetched_at, fresh_until, opened_at, due_at)
    SELECT {connection_ids}, 'k' || i, '{{"status": "ok"}}', at, at + interval '10 minutes', at, at
    FROM (SELECT i, now() - interval '7 days' * ({total}::float8 - 2 * i) / {total}::float8 AS at
          FROM generate_series({first}::int / 2, {last}::int / 2 - 1) AS i) AS opened
    """,
)

PENDING_ROWS: tuple[LiteralString, ...] = (
    """
    INSERT INTO deliveries (connection_id, fact_key, kind, subject, conversation_id, occurred_at, rev, state, reason,
                            identifier, fact, request, due_at, bulk_import_id, blocks_events)
    SELECT {connection_ids}, kind || ':w' || i, kind, 'k' || i,
           CASE WHEN kind = 'profile' THEN '' ELSE 'w' || i END, now(), 1,
           (ARRAY['pending', 'pending', 'pending', 'unidentified', 'failed'])[1 + i / 10 % 5], 'why',
           'k' || i || '@lanternpost.example', '{{}}', '{{}}', now() + (i % 30 - 20) * interval '1 minute',
           CASE WHEN kind = 'profile' AND i % 3 = 0 THEN 'import' || i % 60 END, i % 4 = 0
    FROM (SELECT i, CASE WHEN i % 3 = 0 THEN 'profile' ELSE 'done' END AS kind
          FROM generate_series(0, 4999) AS i) AS queued
    """,
    """
    INSERT INTO inbox (connection_id, event_id, event_name, body, state)
    SELECT {connection_ids}, 'w' || i, 'kustomer.conversation.update', '',
           CASE WHEN i % 9 = 0 THEN 'failed' ELSE 'pending' END
    FROM generate_series(0, 1999) AS i
    """,
    """
    INSERT INTO lookups (connection_id, kind, id, due_at)
    SELECT {connection_ids}, 'customer', 'k' || i, now() + (i % 30 - 20) * interval '1 minute'
    FROM generate_series(0, 999) AS i
    """,
    """
    INSERT INTO bulk_imports (connection_id, bulk_import_id, profile_count, next_poll_at)
    SELECT {connection_ids}, 'import' || i, 100, now() FROM generate_series(0, 59) AS i
    """,
    """
    INSERT INTO cards (connection_id, customer_id, refresh_reason, requested_at, due_at)
    SELECT {connection_ids}, 'w' || i, (ARRAY['opened', 'prefetch'])[1 + i % 2], now(), now()
    FROM generate_series(0, 99) AS i
    """,
)


def seed_database(connection: psycopg.Connection, *, conversations: int, total: int) -> None:
    """Insert the completed rows of the first ``conversations`` of ``total``: two deliveries and one event for each.

    The number of pending rows is always the same.
    """
    params = {"first": sql.Literal(0), "last": sql.Literal(conversations), "total": sql.Literal(total)}
    for statement in (*COMPLETED_ROWS, *PENDING_ROWS):
        connection.execute(sql.SQL(statement).format(connection_ids=sql.SQL(CONNECTION_IDS), **params))
    connection.execute(
        "INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, encrypted_secrets)"
        " SELECT DISTINCT connection_id, 'acme', '', '', ''::bytea FROM customers"
    )
    connection.execute("INSERT INTO connection_status (connection_id) SELECT id FROM connections")
    # The whole tables are sampled: estimates of rare states from a small sample differ from run to run.
    connection.execute("SET default_statistics_target = 10000")
    connection.execute("VACUUM (ANALYZE)")
