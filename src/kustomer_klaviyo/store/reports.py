"""Reports for admins: the status of each connection, and deliveries and events by search."""

from dataclasses import dataclass
from typing import Any

from kustomer_klaviyo.store import loop_failures
from kustomer_klaviyo.store.database import Database

STATUS = """
-- One row per connection: its status, its queues and what it received.
SELECT c.id, c.organisation, c.klaviyo_account, c.webhook_url, c.since,
       (SELECT value::float8 FROM bookmarks WHERE bookmarks.connection_id = c.id AND name = 'kustomer_clock_skew'
       ) AS kustomer_clock_skew_seconds,
       s.paused, s.held_until, s.hold_reason, s.hold_detail, s.consecutive_failures, s.last_accepted_at,
       CASE WHEN s.paused THEN NULL ELSE s.note END AS note, s.webhook_state, s.webhook_state_since,
       (SELECT count(*) FROM inbox WHERE inbox.connection_id = c.id AND inbox.state = 'pending') AS inbox_pending,
       (SELECT count(*) FROM inbox WHERE inbox.connection_id = c.id AND inbox.state = 'failed') AS inbox_failed,
       (SELECT count(*) FROM inbox
        WHERE inbox.connection_id = c.id AND inbox.state = 'failed' AND inbox.reason IN ('unreadable', 'too_large')
       ) AS inbox_unreadable,
       (SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM (
            SELECT state, count(*) AS n FROM deliveries
            WHERE deliveries.connection_id = c.id AND kind <> 'profile' GROUP BY state) AS by_state
       ) AS deliveries,
       (SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM (
            SELECT state, count(*) AS n FROM deliveries
            WHERE deliveries.connection_id = c.id AND kind = 'profile' GROUP BY state) AS by_state
       ) AS profiles,
       (SELECT coalesce(jsonb_object_agg(name, n), '{}') FROM (
            SELECT unnest(masked) AS name, count(*) AS n FROM customers
            WHERE customers.connection_id = c.id AND masked <> '{}' GROUP BY name) AS by_name
       ) AS masked,
       (SELECT min(created_at) FROM deliveries
        WHERE deliveries.connection_id = c.id AND state = 'pending') AS oldest_pending_at,
       (SELECT count(*) FROM lookups WHERE lookups.connection_id = c.id AND kind NOT IN ('sweep', 'webhook')
       ) AS lookups,
       (SELECT count(*) FROM lookups
        WHERE lookups.connection_id = c.id AND failed_at IS NOT NULL) AS lookups_failed,
       (SELECT count(*) FROM lookups
        WHERE lookups.connection_id = c.id AND kind = 'customer') AS customer_lookups,
       lookup.reason AS lookup_reason, lookup.note AS lookup_note,
       (SELECT coalesce(jsonb_object_agg(name, count), '{}') FROM counters
        WHERE counters.connection_id = c.id) AS counters
FROM connections AS c LEFT JOIN connection_status AS s ON s.connection_id = c.id
     LEFT JOIN LATERAL (
        SELECT reason, note FROM lookups WHERE lookups.connection_id = c.id AND reason IS NOT NULL
        ORDER BY failed_at IS NULL, due_at LIMIT 1) AS lookup ON true
ORDER BY c.id
"""

HEALTH = """
-- What decides about the health of each connection.
SELECT connection_id AS id, paused, hold_reason, hold_detail, note, webhook_state, webhook_state_since
FROM connection_status ORDER BY connection_id
"""

DELIVERIES = """
-- Deliveries by whatever an admin knows of them, the newest first.
SELECT d.connection_id, d.fact_key, d.kind, d.subject AS customer_id, d.conversation_id, d.occurred_at, d.state,
       d.reason, d.identifier, d.attempts, d.due_at, d.created_at, d.completed_at, d.request, d.response_status,
       d.response_request_id, d.response_detail, d.error_code, d.error_traceback, d.fact -> 'notes' AS notes,
       d.event_id, i.event_name, i.received_at, i.body AS received
FROM deliveries AS d LEFT JOIN inbox AS i ON i.connection_id = d.connection_id AND i.event_id = d.event_id
WHERE (%(connection)s::text IS NULL OR d.connection_id = %(connection)s)
  AND (%(customer)s::text IS NULL OR d.subject = %(customer)s)
  AND (%(conversation)s::text IS NULL OR d.conversation_id = %(conversation)s)
  AND (%(state)s::text IS NULL OR d.state = %(state)s)
  AND (%(email)s::text IS NULL OR lower(d.identifier) = lower(%(email)s) OR (d.connection_id, d.subject) IN (
        SELECT connection_id, customer_id FROM customers WHERE lower(email) = lower(%(email)s)))
ORDER BY d.seq DESC LIMIT %(limit)s
"""

UNPROCESSED_EVENTS = """
-- Events that were not processed as received, the newest first: they failed, or were replaced by a lookup.
SELECT connection_id, event_id, event_name, customer_id, conversation_id, received_at, state, reason, note,
       error_traceback, coalesce(full_size, octet_length(body)) AS size,
       coalesce(full_digest, encode(sha256(body), 'hex')) AS digest,
       regexp_replace(encode(substr(body, 1, 120), 'escape'), '[[:cntrl:]]', '.', 'g') AS begins, body AS received
FROM inbox
WHERE (state = 'failed' OR (reason IS NOT NULL AND %(state)s::text IS NULL))
  AND (%(connection)s::text IS NULL OR connection_id = %(connection)s)
  AND (%(customer)s::text IS NULL OR customer_id = %(customer)s)
  AND (%(conversation)s::text IS NULL OR conversation_id = %(conversation)s)
  AND (%(state)s::text IS NULL OR %(state)s = 'failed')
  AND %(email)s::text IS NULL
ORDER BY seq DESC LIMIT %(limit)s
"""

STATES_BY_FACT_KEY = "SELECT state FROM deliveries WHERE fact_key = %s AND connection_id = ANY (%s)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to search for; None matches everything."""

    connection: str | None = None
    email: str | None = None
    customer: str | None = None
    conversation: str | None = None
    state: str | None = None
    limit: int = 50


async def status(db: Database) -> list[dict[str, Any]]:
    """Return the status of each connection."""
    return await _add_failing_loops(db, await db.fetch(STATUS))


async def health(db: Database) -> list[dict[str, Any]]:
    """Return what decides about the health of each connection."""
    return await _add_failing_loops(db, await db.fetch(HEALTH))


async def _add_failing_loops(db: Database, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add to each connection the loops that fail: its own and the program's."""
    failing = await loop_failures.current(db)
    for row in rows:
        row["failing"] = [loop for loop in failing if loop["connection_id"] in (row["id"], "")]
    return rows


async def deliveries(db: Database, search: Search) -> list[dict[str, Any]]:
    """Return the matching deliveries, each with the webhook event that led to it."""
    return await db.fetch(DELIVERIES, _params(search))


async def states_by_fact_key(db: Database, fact_key: str, connection_ids: list[str]) -> list[str]:
    """Return the state of each connection's delivery of a fact."""
    return [row["state"] for row in await db.fetch(STATES_BY_FACT_KEY, (fact_key, connection_ids))]


async def unprocessed_events(db: Database, search: Search) -> list[dict[str, Any]]:
    """Return the matching events that were not processed as received."""
    return await db.fetch(UNPROCESSED_EVENTS, _params(search))


def _params(search: Search) -> dict[str, Any]:
    return {name: getattr(search, name) for name in Search.__dataclass_fields__}
