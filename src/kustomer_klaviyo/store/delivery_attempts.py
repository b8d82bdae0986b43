"""Attempts to send deliveries: which deliveries are due, and how an attempt ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.outbox import DeliveryState
from kustomer_klaviyo.store.row_columns import RowColumns


@dataclass(frozen=True, slots=True)
class DueDelivery:
    """A delivery that may be sent now."""

    fact_key: str
    subject: str
    attempts: int
    first_attempt_at: datetime | None
    request: dict[str, Any]
    klaviyo_profile_id: str | None = None
    """Of a profile write: the id of the customer's Klaviyo profile, if it is known."""
    is_profile: bool = False
    own_failures: int = 0
    """Failures while other deliveries succeeded. Failures during an outage do not count."""
    last_attempt_at: datetime | None = None

    @property
    def retry_order(self) -> tuple[bool, float]:
        """The sort key of deliveries to try: never tried first, then the longest ago."""
        at = self.last_attempt_at
        return at is not None, 0.0 if at is None else at.timestamp()


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How an attempt ended."""

    fact_key: str
    state: DeliveryState
    reason: str | None = None
    due_at: datetime | None = None
    """When to try again; None unless it stays pending."""
    response_status: int | None = None
    response_request_id: str | None = None
    response_detail: str | None = None
    last_attempt_at: datetime | None = None
    is_own_failure: bool = False
    """Other deliveries succeeded since the last attempt, so the delivery itself may be the cause."""
    error_code: str | None = None
    """The kind of error of this program."""
    error_traceback: str | None = None


_RESULTS = RowColumns(AttemptResult)

# OFFSET 0 and CASE make PostgreSQL run the subquery once per customer, by the index on the subject. As a join, or by
# the index of all pending deliveries, it would be quadratic while the planner's statistics lag behind the queue.
DUE_EVENTS = """
-- Events that may be sent now: due, and no earlier event of the customer waits for a later time. A profile write that
-- blocks events must go first, unless its bulk import has taken so long that events no longer wait for it.
SELECT fact_key, subject, attempts, first_attempt_at, own_failures, last_attempt_at, request FROM deliveries AS due
WHERE connection_id = %(connection_id)s AND state = 'pending' AND due_at <= now() AND kind <> 'profile'
  AND NOT EXISTS (
    SELECT FROM deliveries AS earlier
    WHERE earlier.connection_id = %(connection_id)s AND earlier.state = 'pending' AND earlier.subject = due.subject
      AND CASE WHEN earlier.kind = 'profile'
               THEN earlier.blocks_events AND (earlier.due_at > now() OR earlier.bulk_import_id IS NULL)
               ELSE earlier.seq < due.seq AND earlier.due_at > now() END
    OFFSET 0)
ORDER BY seq LIMIT %(limit)s
"""

DUE_PROFILES = """
-- Profile writes that may be sent now: due, and no other of the customer waits for a later time or is being imported.
SELECT fact_key, subject, attempts, first_attempt_at, own_failures, last_attempt_at, request, true AS is_profile,
    (SELECT klaviyo_profile_id FROM customers
     WHERE connection_id = %(connection_id)s AND customer_id = due.subject) AS klaviyo_profile_id
FROM deliveries AS due
WHERE connection_id = %(connection_id)s AND state = 'pending' AND due_at <= now() AND kind = 'profile'
  AND bulk_import_id IS NULL AND NOT EXISTS (
    SELECT FROM deliveries AS other
    WHERE other.connection_id = %(connection_id)s AND other.state = 'pending' AND other.subject = due.subject
      AND CASE WHEN other.kind = 'profile' THEN other.due_at > now() OR other.bulk_import_id IS NOT NULL END
    OFFSET 0)
ORDER BY seq LIMIT %(limit)s
"""

RECORD_RESULTS = _RESULTS.sql("""
-- The results of attempts. Rows are locked in one order everywhere, so that two writers never deadlock.
WITH locked AS MATERIALIZED (
    SELECT fact_key FROM deliveries
    WHERE connection_id = %(connection_id)s AND fact_key = ANY(%(fact_keys)s::text[]) AND state = 'pending'
    ORDER BY seq FOR UPDATE
)
UPDATE deliveries SET state = new.state, reason = new.reason, due_at = coalesce(new.due_at, deliveries.due_at),
    attempts = attempts + 1, first_attempt_at = coalesce(first_attempt_at, now()), bulk_import_id = NULL,
    last_attempt_at = coalesce(new.last_attempt_at, now()),
    own_failures = deliveries.own_failures + new.is_own_failure::integer,
    response_status = new.response_status, response_request_id = new.response_request_id,
    response_detail = new.response_detail, error_code = new.error_code, error_traceback = new.error_traceback,
    completed_at = CASE WHEN new.state IN ('delivered', 'failed', 'skipped') THEN now() END
FROM {rows}
WHERE deliveries.connection_id = %(connection_id)s AND deliveries.fact_key = new.fact_key
  AND deliveries.fact_key IN (SELECT fact_key FROM locked)
""")

NEXT_DUE = """
-- When the next pending delivery is due, of those that were not due at the given time.
SELECT min(due_at) AS due_at FROM deliveries WHERE connection_id = %s AND state = 'pending' AND due_at > %s
"""


async def due_events(db: Database, connection_id: str, limit: int) -> list[DueDelivery]:
    """Return the events that may be sent now, the oldest first."""
    rows = await db.fetch(DUE_EVENTS, {"connection_id": connection_id, "limit": limit})
    return [DueDelivery(**row) for row in rows]


async def due_profiles(db: Database, connection_id: str, limit: int) -> list[DueDelivery]:
    """Return the profile writes that may be sent now, the oldest first."""
    rows = await db.fetch(DUE_PROFILES, {"connection_id": connection_id, "limit": limit})
    return [DueDelivery(**row) for row in rows]


async def record_results(tx: Transaction, connection_id: str, results: Sequence[AttemptResult]) -> None:
    """Record how attempts ended; a delivery that is no longer pending is left alone."""
    keys = [result.fact_key for result in results]
    await tx.execute(RECORD_RESULTS, _RESULTS.params(results) | {"connection_id": connection_id, "fact_keys": keys})


async def next_due(db: Database, connection_id: str, *, after: datetime) -> datetime | None:
    """Return when the next delivery becomes due after the given time; None when none does."""
    rows = await db.fetch(NEXT_DUE, (connection_id, after))
    due_at: datetime | None = rows[0]["due_at"]
    return due_at
