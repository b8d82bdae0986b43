"""A database that was used for long, filled in seconds: most of what is kept is settled, a little still waits."""

from typing import LiteralString

import psycopg
from psycopg import sql

OWNERS: LiteralString = (
    "(ARRAY['acme', 'acme', 'acme', 'acme', 'acme', 'acme', 'kids', 'pro', 'test', 'old'])[1 + i % 10]"
)
"""Six in ten rows are of one connection."""

KEPT: tuple[LiteralString, ...] = (
    """
    INSERT INTO people (connection_id, customer_id, rev, fingerprint, contacts, email, phone, merged_into, stated,
                        statements, klaviyo_id, klaviyo_seen, counted_open, counted_at)
    SELECT {owners}, 'k' || i, 3, md5(i::text), '{{}}', 'k' || i || '@lanternpost.example', '+4479' || (10000000 + i),
           CASE WHEN i % 50 = 0 THEN 'k' || (i + 10) END,
           jsonb_build_object('email', 'k' || i || '@lanternpost.example', 'fields', '{{}}'::jsonb), 1, md5(i::text),
           now() - interval '3 days', i % 3, now() - i % 1000 * interval '1 hour'
    FROM generate_series({first}::int / 2, {last}::int / 2 - 1) AS i
    """,
    """
    INSERT INTO conversations (connection_id, conversation_id, customer_id, rev, fingerprint, seen, turns)
    SELECT {owners}, 'c' || i, 'k' || (i / 20 * 10 + i % 10), 5, md5(i::text), jsonb_build_object(
               'is_open', i % 7 = 0, 'since', now() - i % 9000 * interval '1 hour',
               'opened_at', now() - (i % 9000 + 5) * interval '1 hour',
               'conversation', jsonb_build_object('id', 'c' || i, 'brand_id', 'b' || i % 3, 'spam', false)), '{{}}'
    FROM generate_series({first}::int, {last}::int - 1) AS i
    """,
    """
    INSERT INTO deliveries (connection_id, key, kind, subject, conversation_id, occurred_at, rev, state, identifier,
                            fact, created_at, settled_at)
    SELECT {owners}, kind || ':c' || i || ':' || n, kind, 'k' || (i / 20 * 10 + i % 10),
           CASE WHEN kind = 'profile' THEN '' ELSE 'c' || i END, at, 5,
           CASE WHEN i % 90 = 0 THEN 'skipped' ELSE 'delivered' END, 'k' || i / 2 || '@lanternpost.example',
           jsonb_build_object('at', at, 'rating', 1 + i % 5, 'note', repeat('x', 300)), at, at
    FROM (SELECT i, n, (ARRAY['opened', 'closed', 'satisfaction', 'profile'])[1 + (i / 10 + 2 * n) % 4] AS kind,
                 now() - interval '300 days' * ({whole}::float8 - i) / {whole}::float8 AS at
          FROM generate_series({first}::int, {last}::int - 1) AS i, generate_series(0, 1) AS n) AS told
    """,
    """
    INSERT INTO inbox (connection_id, event_id, name, conversation_id, customer_id, body, state, note, received_at)
    SELECT {owners}, 'e' || i, 'kustomer.conversation.update', 'c' || i, 'k' || (i / 20 * 10 + i % 10),
           convert_to(repeat('y', 500), 'UTF8'), 'understood', 'already told',
           now() - interval '30 days' * ({whole}::float8 - i) / {whole}::float8
    FROM generate_series({first}::int, {last}::int - 1) AS i
    """,
    """
    INSERT INTO insights (connection_id, customer_id, document, fetched_at, fresh_until, opened_at, due_at)
    SELECT {owners}, 'k' || i, '{{"status": "known"}}', at, at + interval '10 minutes', at, at
    FROM (SELECT i, now() - interval '7 days' * ({whole}::float8 - 2 * i) / {whole}::float8 AS at
          FROM generate_series({first}::int / 2, {last}::int / 2 - 1) AS i) AS opened
    """,
)

WAITING: tuple[LiteralString, ...] = (
    """
    INSERT INTO deliveries (connection_id, key, kind, subject, conversation_id, occurred_at, rev, state, reason,
                            identifier, fact, call, due_at, import, leads)
    SELECT {owners}, kind || ':w' || i, kind, 'k' || i, CASE WHEN kind = 'profile' THEN '' ELSE 'w' || i END, now(), 1,
           (ARRAY['waiting', 'waiting', 'waiting', 'unidentified', 'failed'])[1 + i / 10 % 5], 'why',
           'k' || i || '@lanternpost.example', '{{}}', '{{}}', now() + (i % 30 - 20) * interval '1 minute',
           CASE WHEN kind = 'profile' AND i % 3 = 0 THEN 'import' || i % 60 END, i % 4 = 0
    FROM (SELECT i, CASE WHEN i % 3 = 0 THEN 'profile' ELSE 'closed' END AS kind
          FROM generate_series(0, 4999) AS i) AS owed
    """,
    """
    INSERT INTO inbox (connection_id, event_id, name, body, state)
    SELECT {owners}, 'w' || i, 'kustomer.conversation.update', '', CASE WHEN i % 9 = 0 THEN 'failed' ELSE 'waiting' END
    FROM generate_series(0, 1999) AS i
    """,
    """
    INSERT INTO lookups (connection_id, kind, id, due_at)
    SELECT {owners}, 'customer', 'k' || i, now() + (i % 30 - 20) * interval '1 minute' FROM generate_series(0, 999) AS i
    """,
    """
    INSERT INTO imports (connection_id, id, profiles, poll_at)
    SELECT {owners}, 'import' || i, 100, now() FROM generate_series(0, 59) AS i
    """,
    """
    INSERT INTO insights (connection_id, customer_id, wish, wished_at, due_at)
    SELECT {owners}, 'w' || i, (ARRAY['opened', 'ahead'])[1 + i % 2], now(), now() FROM generate_series(0, 99) AS i
    """,
)


def fill(connection: psycopg.Connection, *, kept: int, whole: int) -> None:
    """Keep what the first so many of a ``whole`` of conversations left: two deliveries and one event each.

    What waits besides is the same however much is kept.
    """
    numbers = {"first": sql.Literal(0), "last": sql.Literal(kept), "whole": sql.Literal(whole)}
    for statement in (*KEPT, *WAITING):
        connection.execute(sql.SQL(statement).format(owners=sql.SQL(OWNERS), **numbers))
    connection.execute(
        "INSERT INTO connections (id, organisation, kustomer_url, klaviyo_url, secrets)"
        " SELECT DISTINCT connection_id, 'acme', '', '', ''::bytea FROM people"
    )
    connection.execute("INSERT INTO delivery_lanes (connection_id) SELECT id FROM connections")
    connection.execute("ANALYZE")
