"""Landing two, the outbox: every fact told once, by its key, and the call to Klaviyo that we owe for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database


class State(StrEnum):
    """Where a delivery stands."""

    WAITING = "waiting"
    """Owed; sent when it is due and its turn comes."""
    UNIDENTIFIED = "unidentified"
    """Nothing to know the person by yet; the reason says what is awaited."""
    DELIVERED = "delivered"
    """Klaviyo accepted it."""
    FAILED = "failed"
    """Set aside: Klaviyo refused it, or it can never be sent as it is; an admin can act on the reason."""
    SKIPPED = "skipped"
    """Set aside by a setting; the reason names it."""


ADD = """
-- A key already told is refused.
INSERT INTO deliveries (connection_id, key, kind, subject, conversation_id, occurred_at, rev, state, reason, identifier,
                        event_id, fact, call, leads, held)
SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::timestamptz[], %s::int[], %s::text[],
                         %s::text[], %s::text[], %s::text[], %s::jsonb[], %s::jsonb[], %s::boolean[], %s::boolean[])
ON CONFLICT (connection_id, key) DO NOTHING
"""

CONCERNED_BY = """
-- What these customers, or those who became part of them, decide about: what waits, for an identifier or for its turn;
-- what was set aside because they were gone; and what was a moment ago because they are left out.
SELECT key, kind, subject, fact FROM deliveries
WHERE connection_id = %(connection)s AND kind <> 'profile'
  AND (state = ANY(%(states)s::text[]) OR (state = 'failed' AND reason = ANY(%(gone)s::text[]))
       OR (state = 'skipped' AND reason = ANY(%(left_out)s::text[]) AND created_at > now() - interval '1 hour'))
  AND subject = ANY(%(subjects)s::text[] || ARRAY(
    SELECT customer_id FROM people WHERE connection_id = %(connection)s AND merged_into = ANY(%(subjects)s::text[])))
ORDER BY seq FOR UPDATE
"""

FAIL_UNIDENTIFIED = """
-- What waited for a customer who could not be read.
UPDATE deliveries SET state = 'failed', reason = %s, settled_at = now()
WHERE connection_id = %s AND subject = %s AND state = 'unidentified' AND reason = %s
"""

FAILED = """
-- What was set aside and could be sent again: a conversation without a customer cannot.
SELECT key, kind, subject, fact FROM deliveries
WHERE connection_id = %s AND state = 'failed' AND subject <> '' AND kind <> 'profile'
  AND (%s::text IS NULL OR key = %s)
ORDER BY seq LIMIT %s FOR UPDATE
"""

RESTATE = """
-- A delivery that waited for something goes on: identified, released, given to another customer, or set aside. One that
-- waits for its turn as before keeps what happened to it; one that was delivered meanwhile is never sent again. Locked
-- in one order everywhere, so that two writers never wait for one another.
WITH locked AS MATERIALIZED (
    SELECT key FROM deliveries
    WHERE connection_id = %(connection)s AND key = ANY(%(keys)s::text[]) AND state <> 'delivered'
    ORDER BY seq FOR UPDATE
)
UPDATE deliveries SET state = news.state, reason = news.reason, identifier = news.identifier, held = news.held,
    call = news.call, fact = coalesce(news.fact, deliveries.fact), due_at = now(),
    subject = coalesce(news.subject, deliveries.subject), rev = greatest(news.rev, deliveries.rev),
    attempts = 0, first_attempt_at = NULL, own_failures = 0,
    settled_at = CASE WHEN news.state IN ('failed', 'skipped') THEN now() END
FROM unnest(%(keys)s::text[], %(states)s::text[], %(reasons)s::text[], %(identifiers)s::text[], %(calls)s::jsonb[],
            %(facts)s::jsonb[], %(held)s::boolean[], %(subjects)s::text[], %(revs)s::int[])
     AS news (key, state, reason, identifier, call, fact, held, subject, rev)
WHERE deliveries.connection_id = %(connection)s AND deliveries.key = news.key
  AND deliveries.key IN (SELECT key FROM locked)
  AND NOT (deliveries.state = 'waiting' AND news.state = 'waiting' AND deliveries.identifier = news.identifier
           AND deliveries.subject = coalesce(news.subject, deliveries.subject))
"""

FAILED_PROFILES = """
-- Profile writes that were set aside: a newer one takes their place; of those who are gone none will come.
UPDATE deliveries SET state = CASE WHEN people.gone THEN 'waiting' ELSE 'skipped' END,
    reason = CASE WHEN NOT people.gone THEN 'superseded: the whole profile is written anew' END,
    settled_at = CASE WHEN NOT people.gone THEN now() END, due_at = now(), attempts = 0, first_attempt_at = NULL,
    own_failures = 0
FROM people
WHERE deliveries.connection_id = %s AND deliveries.state = 'failed' AND kind = 'profile'
  AND (%s::text IS NULL OR key = %s)
  AND people.connection_id = deliveries.connection_id AND people.customer_id = deliveries.subject
RETURNING subject, people.gone
"""

SET_ASIDE = """
-- What waits of a customer is not to be sent any more.
UPDATE deliveries SET state = 'failed', reason = %s, settled_at = now()
WHERE connection_id = %s AND subject = %s AND state = 'waiting' AND kind <> 'profile'
"""

OWED_PROFILES = """
-- What is still to be written of one customer.
SELECT key, call, fact FROM deliveries
WHERE connection_id = %s AND subject = %s AND kind = 'profile' AND state = 'waiting' ORDER BY seq
"""

# OFFSET 0 and CASE keep the question about each customer a question by the customer's index: made a join of, or
# answered by the index of all that waits, it is quadratic whenever the planner has not noticed yet how much waits.
DUE_EVENTS = """
-- Events that may be sent now: due, and no earlier event of the same customer still waits for its time; nor a profile
-- write that leads, unless Klaviyo has been importing it for so long that events no longer wait for it.
SELECT key, subject, attempts, first_attempt_at, own_failures, attempted_at, call FROM deliveries AS due
WHERE connection_id = %(connection)s AND state = 'waiting' AND due_at <= now() AND kind <> 'profile'
  AND NOT EXISTS (
    SELECT FROM deliveries AS earlier
    WHERE earlier.connection_id = %(connection)s AND earlier.state = 'waiting' AND earlier.subject = due.subject
      AND CASE WHEN earlier.kind = 'profile' THEN earlier.leads AND (earlier.due_at > now() OR earlier.import IS NULL)
               ELSE earlier.seq < due.seq AND earlier.due_at > now() END
    OFFSET 0)
ORDER BY seq LIMIT %(limit)s
"""

DUE_PROFILES = """
-- Profile writes that may go now: due, and none of the same customer is waiting for its time or under way.
SELECT key, subject, attempts, first_attempt_at, own_failures, attempted_at, call, true AS is_profile,
    (SELECT klaviyo_id FROM people WHERE connection_id = %(connection)s AND customer_id = due.subject) AS klaviyo_id
FROM deliveries AS due
WHERE connection_id = %(connection)s AND state = 'waiting' AND due_at <= now() AND kind = 'profile'
  AND import IS NULL AND NOT EXISTS (
    SELECT FROM deliveries AS other
    WHERE other.connection_id = %(connection)s AND other.state = 'waiting' AND other.subject = due.subject
      AND CASE WHEN other.kind = 'profile' THEN other.due_at > now() OR other.import IS NOT NULL END
    OFFSET 0)
ORDER BY seq LIMIT %(limit)s
"""

SETTLE = """
-- The end of an attempt. Locked in one order everywhere, so that two writers never wait for one another.
WITH locked AS MATERIALIZED (
    SELECT key FROM deliveries
    WHERE connection_id = %(connection)s AND key = ANY(%(keys)s::text[]) AND state = 'waiting'
    ORDER BY seq FOR UPDATE
)
UPDATE deliveries SET state = news.state, reason = news.reason, due_at = coalesce(news.due_at, deliveries.due_at),
    attempts = attempts + 1, first_attempt_at = coalesce(first_attempt_at, now()), import = NULL,
    attempted_at = coalesce(news.attempted_at, now()), own_failures = deliveries.own_failures + news.own_failures,
    answer_status = news.status, answer_request_id = news.request_id, answer_detail = news.detail,
    code = news.code, error = news.error,
    settled_at = CASE WHEN news.state IN ('delivered', 'failed', 'skipped') THEN now() END
FROM unnest(%(keys)s::text[], %(states)s::text[], %(reasons)s::text[], %(due)s::timestamptz[], %(statuses)s::int[],
            %(requests)s::text[], %(details)s::text[], %(attempted)s::timestamptz[], %(own)s::int[],
            %(codes)s::text[], %(errors)s::text[])
     AS news (key, state, reason, due_at, status, request_id, detail, attempted_at, own_failures, code, error)
WHERE deliveries.connection_id = %(connection)s AND deliveries.key = news.key
  AND deliveries.key IN (SELECT key FROM locked)
"""

NEXT_DUE = """
-- When the next waiting delivery is due, of those that were not due at the given time.
SELECT min(due_at) AS due_at FROM deliveries WHERE connection_id = %s AND state = 'waiting' AND due_at > %s
"""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A fact told for the first time, and what is owed for it."""

    key: str
    kind: str
    subject: str
    conversation_id: str
    occurred_at: datetime
    rev: int
    state: State
    fact: dict[str, Any]
    event_id: str | None = None
    reason: str | None = None
    identifier: str | None = None
    call: dict[str, Any] | None = None
    leads: bool = False
    """The person's profile is made or renamed by it: no event of theirs goes before it."""
    held: bool = False
    """Set aside by a setting that a newer observation of the conversation may lift."""


@dataclass(frozen=True, slots=True)
class Restated:
    """The new standing of a delivery that waited for something other than its turn."""

    key: str
    state: State
    reason: str | None = None
    identifier: str | None = None
    call: dict[str, Any] | None = None
    fact: dict[str, Any] | None = None
    """The fact as a newer observation has it; None keeps the old one."""
    held: bool = False
    subject: str | None = None
    """Whose it is from now on; None leaves it whose it was."""
    rev: int = 0
    """The revision of the conversation that decided so."""


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery whose turn it is."""

    key: str
    subject: str
    attempts: int
    first_attempt_at: datetime | None
    call: dict[str, Any]
    klaviyo_id: str | None = None
    """For a profile write: under which id Klaviyo keeps the person, where we know it."""
    is_profile: bool = False
    own_failures: int = 0
    """How often it failed while others got through; failures of an outage are nobody's."""
    attempted_at: datetime | None = None

    @property
    def turn(self) -> tuple[bool, float]:
        """By what those that might be tried are sorted: first those never tried, then the longest ago."""
        at = self.attempted_at
        return at is not None, 0.0 if at is None else at.timestamp()


@dataclass(frozen=True, slots=True)
class Settled:
    """How an attempt ended."""

    key: str
    state: State
    reason: str | None = None
    due_at: datetime | None = None
    """When to try again; None unless it still waits."""
    status: int | None = None
    request_id: str | None = None
    detail: str | None = None
    attempted_at: datetime | None = None
    is_own_failure: bool = False
    """Others got through since it was last tried: it may be the delivery's own fault."""
    code: str | None = None
    """What kind of error of ours it was."""
    error: str | None = None
    """Its traceback."""


async def add(connection: AsyncConnection[DictRow], connection_id: str, news: Sequence[NewDelivery]) -> None:
    """Tell facts for the first time."""
    columns: tuple[list[Any], ...] = (
        [new.key for new in news],
        [new.kind for new in news],
        [new.subject for new in news],
        [new.conversation_id for new in news],
        [new.occurred_at for new in news],
        [new.rev for new in news],
        [new.state for new in news],
        [new.reason for new in news],
        [new.identifier for new in news],
        [new.event_id for new in news],
        [Jsonb(new.fact) for new in news],
        [_json(new.call) for new in news],
        [new.leads for new in news],
        [new.held for new in news],
    )
    await connection.execute(ADD, (connection_id, *columns))


async def concerned_by(
    connection: AsyncConnection[DictRow],
    connection_id: str,
    subjects: Sequence[str],
    *,
    states: Sequence[State],
    gone: Sequence[str],
    left_out: Sequence[str],
) -> list[DictRow]:
    """Return key, kind, subject and fact of what these customers have in such states, or set aside for such reasons."""
    params = {
        "connection": connection_id,
        "subjects": list(subjects),
        "states": list(states),
        "gone": list(gone),
        "left_out": list(left_out),
    }
    return await (await connection.execute(CONCERNED_BY, params)).fetchall()


async def set_aside(connection: AsyncConnection[DictRow], connection_id: str, subject: str, *, reason: str) -> None:
    """Send nothing any more that waits of a customer."""
    await connection.execute(SET_ASIDE, (reason, connection_id, subject))


async def fail_unidentified(
    connection: AsyncConnection[DictRow], connection_id: str, subject: str, *, waiting_for: str, reason: str
) -> None:
    """Set aside what waits of a customer for a reason."""
    await connection.execute(FAIL_UNIDENTIFIED, (reason, connection_id, subject, waiting_for))


async def failed(
    connection: AsyncConnection[DictRow], connection_id: str, key: str | None, limit: int
) -> list[DictRow]:
    """Return key, kind, subject and fact of what was set aside and can be sent again: one, or the oldest."""
    return await (await connection.execute(FAILED, (connection_id, key, key, limit))).fetchall()


async def restate(connection: AsyncConnection[DictRow], connection_id: str, news: Sequence[Restated]) -> None:
    """Let deliveries go on that waited for something."""
    params = {
        "connection": connection_id,
        "keys": [new.key for new in news],
        "states": [new.state for new in news],
        "reasons": [new.reason for new in news],
        "identifiers": [new.identifier for new in news],
        "calls": [_json(new.call) for new in news],
        "facts": [_json(new.fact) for new in news],
        "held": [new.held for new in news],
        "subjects": [new.subject for new in news],
        "revs": [new.rev for new in news],
    }
    await connection.execute(RESTATE, params)


async def failed_profiles(connection: AsyncConnection[DictRow], connection_id: str, key: str | None) -> list[str]:
    """Let profile writes go on that were set aside, one or all.

    Those of people who are gone go as they are; returns of whom the others were, for newer ones to be owed.
    """
    rows = await (await connection.execute(FAILED_PROFILES, (connection_id, key, key))).fetchall()
    return sorted({row["subject"] for row in rows if not row["gone"]})


async def owed_profiles(connection: AsyncConnection[DictRow], connection_id: str, subject: str) -> list[DictRow]:
    """Return call and fact of a customer's profile writes that wait, the oldest first."""
    return await (await connection.execute(OWED_PROFILES, (connection_id, subject))).fetchall()


async def due_events(database: Database, connection_id: str, limit: int) -> list[DueDelivery]:
    """Return the events that may be sent now, the oldest first."""
    return [DueDelivery(**row) for row in await database.fetch(DUE_EVENTS, _due(connection_id, limit))]


async def due_profiles(database: Database, connection_id: str, limit: int) -> list[DueDelivery]:
    """Return the profile writes that may go now, the oldest first."""
    return [DueDelivery(**row) for row in await database.fetch(DUE_PROFILES, _due(connection_id, limit))]


def _due(connection_id: str, limit: int) -> dict[str, Any]:
    return {"connection": connection_id, "limit": limit}


async def settle(connection: AsyncConnection[DictRow], connection_id: str, news: Sequence[Settled]) -> None:
    """Write down how attempts ended."""
    params = {
        "connection": connection_id,
        "keys": [new.key for new in news],
        "states": [new.state for new in news],
        "reasons": [new.reason for new in news],
        "due": [new.due_at for new in news],
        "statuses": [new.status for new in news],
        "requests": [new.request_id for new in news],
        "details": [new.detail for new in news],
        "attempted": [new.attempted_at for new in news],
        "own": [int(new.is_own_failure) for new in news],
        "codes": [new.code for new in news],
        "errors": [new.error for new in news],
    }
    await connection.execute(SETTLE, params)


async def next_due(database: Database, connection_id: str, *, after: datetime) -> datetime | None:
    """Return when the next delivery becomes due after the given time; None when none does."""
    rows = await database.fetch(NEXT_DUE, (connection_id, after))
    due_at: datetime | None = rows[0]["due_at"]
    return due_at


def _json(document: dict[str, Any] | None) -> Jsonb | None:
    return None if document is None else Jsonb(document)
