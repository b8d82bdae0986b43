"""What an admin looks up: how each connection stands, and what became of each event."""

from dataclasses import dataclass
from typing import Any

from kustomer_klaviyo.store import loop_failures
from kustomer_klaviyo.store.database import Database

STATUS = """
-- One row per connection: its lane, what it owes, what it received.
SELECT c.id, c.organisation, c.klaviyo_account, c.webhook_url, c.horizon,
       (SELECT value::float8 FROM bookmarks WHERE bookmarks.connection_id = c.id AND name = 'kustomer clock'
       ) AS kustomer_clock_ahead_seconds,
       lane.paused, lane.wait_until, lane.reason, lane.failures, lane.last_accepted_at,
       CASE WHEN lane.paused THEN NULL ELSE lane.note END AS note, lane.webhook_state, lane.webhook_since,
       (SELECT count(*) FROM inbox WHERE inbox.connection_id = c.id AND inbox.state = 'waiting') AS inbox_waiting,
       (SELECT count(*) FROM inbox WHERE inbox.connection_id = c.id AND inbox.state = 'failed') AS inbox_failed,
       (SELECT count(*) FROM inbox
        WHERE inbox.connection_id = c.id AND inbox.state = 'failed' AND inbox.reason IN ('unreadable', 'too_large')
       ) AS inbox_unreadable,
       (SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM (
            SELECT state, count(*) AS n FROM deliveries
            WHERE deliveries.connection_id = c.id AND kind <> 'profile' GROUP BY state) AS s
       ) AS deliveries,
       (SELECT coalesce(jsonb_object_agg(state, n), '{}') FROM (
            SELECT state, count(*) AS n FROM deliveries
            WHERE deliveries.connection_id = c.id AND kind = 'profile' GROUP BY state) AS s
       ) AS profiles,
       (SELECT coalesce(jsonb_object_agg(name, n), '{}') FROM (
            SELECT unnest(masked) AS name, count(*) AS n FROM people
            WHERE people.connection_id = c.id AND masked <> '{}' GROUP BY name) AS m
       ) AS masked,
       (SELECT min(created_at) FROM deliveries WHERE connection_id = c.id AND state = 'waiting') AS oldest_waiting,
       (SELECT count(*) FROM lookups WHERE lookups.connection_id = c.id AND kind NOT IN ('sweep', 'webhook')
       ) AS lookups,
       (SELECT count(*) FROM lookups
        WHERE lookups.connection_id = c.id AND failed_at IS NOT NULL) AS lookups_failed,
       (SELECT count(*) FROM lookups WHERE lookups.connection_id = c.id AND kind = 'customer') AS lookups_now,
       (SELECT note FROM lookups WHERE lookups.connection_id = c.id AND note IS NOT NULL
        ORDER BY failed_at IS NULL, due_at LIMIT 1) AS lookup_note,
       (SELECT coalesce(jsonb_object_agg(name, count), '{}') FROM tallies WHERE tallies.connection_id = c.id) AS tallies
FROM connections AS c LEFT JOIN delivery_lanes AS lane ON lane.connection_id = c.id
ORDER BY c.id
"""

LANES = """
-- How each connection's delivery fares.
SELECT connection_id AS id, paused, reason, note, webhook_state, webhook_since
FROM delivery_lanes ORDER BY connection_id
"""

EVENTS = """
-- Deliveries by whatever an admin knows of them, the newest first.
SELECT d.connection_id, d.key, d.kind, d.subject AS customer_id, d.conversation_id, d.occurred_at, d.state, d.reason,
       d.identifier, d.attempts, d.due_at, d.created_at, d.settled_at, d.call AS sent, d.answer_status,
       d.answer_request_id, d.answer_detail, d.code AS reason_code, d.error, d.fact -> 'notes' AS notes,
       d.event_id, i.name AS event_name, i.received_at, i.body AS received
FROM deliveries AS d LEFT JOIN inbox AS i ON i.connection_id = d.connection_id AND i.event_id = d.event_id
WHERE (%(connection)s::text IS NULL OR d.connection_id = %(connection)s)
  AND (%(customer)s::text IS NULL OR d.subject = %(customer)s)
  AND (%(conversation)s::text IS NULL OR d.conversation_id = %(conversation)s)
  AND (%(state)s::text IS NULL OR d.state = %(state)s)
  AND (%(email)s::text IS NULL OR lower(d.identifier) = lower(%(email)s) OR (d.connection_id, d.subject) IN (
        SELECT connection_id, customer_id FROM people WHERE lower(email) = lower(%(email)s)))
ORDER BY d.seq DESC LIMIT %(limit)s
"""

NOT_UNDERSTOOD = """
-- Events that were not processed as they came, the newest first: failed, or read by API instead.
SELECT connection_id, event_id, name AS event_name, customer_id, conversation_id, received_at, state, note AS reason,
       reason AS reason_code, error, coalesce(whole_size, octet_length(body)) AS size,
       coalesce(whole_digest, encode(sha256(body), 'hex')) AS digest,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What an admin knows of the events sought; None is anything."""

    connection: str | None = None
    email: str | None = None
    customer: str | None = None
    conversation: str | None = None
    state: str | None = None
    limit: int = 50


async def status(database: Database) -> list[dict[str, Any]]:
    """Return how each connection stands."""
    return await _with_failing(database, await database.fetch(STATUS))


async def lanes(database: Database) -> list[dict[str, Any]]:
    """Return how each connection's delivery fares."""
    return await _with_failing(database, await database.fetch(LANES))


async def _with_failing(database: Database, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put to each connection which of its loops fail, and which of the program's."""
    failing = await loop_failures.failing(database)
    for row in rows:
        row["failing"] = [one for one in failing if one["connection_id"] in (row["id"], "")]
    return rows


async def events(database: Database, search: Search) -> list[dict[str, Any]]:
    """Return the deliveries sought, each with the event it came from as received."""
    return await database.fetch(EVENTS, _params(search))


async def states_of(database: Database, key: str, connection_ids: list[str]) -> list[str]:
    """Return the states of the deliveries with a key, one for each connection that has such a one."""
    query = "SELECT state FROM deliveries WHERE key = %s AND connection_id = ANY (%s)"
    return [row["state"] for row in await database.fetch(query, (key, connection_ids))]


async def not_understood(database: Database, search: Search) -> list[dict[str, Any]]:
    """Return the events sought that never became facts."""
    return await database.fetch(NOT_UNDERSTOOD, _params(search))


def _params(search: Search) -> dict[str, Any]:
    return {name: getattr(search, name) for name in Search.__dataclass_fields__}
