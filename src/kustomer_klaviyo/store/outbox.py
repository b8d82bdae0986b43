"""The outbox (commit 2): every fact once, by its key, and the request to Klaviyo that delivers it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Transaction
from kustomer_klaviyo.store.row_columns import RowColumns


class DeliveryKind(StrEnum):
    """What a delivery sends."""

    CREATED = "created"
    """The event that a conversation was created."""
    DONE = "done"
    """The event that a conversation was done."""
    CSAT = "csat"
    """The event that a survey was answered."""
    PROFILE = "profile"
    """A profile update."""


class DeliveryState(StrEnum):
    """The state of a delivery."""

    PENDING = "pending"
    """To be sent when it is due and no earlier delivery blocks it."""
    UNIDENTIFIED = "unidentified"
    """The customer has no identifier yet; the reason says what is missing."""
    DELIVERED = "delivered"
    """Klaviyo accepted it."""
    FAILED = "failed"
    """Klaviyo rejected it, or it cannot be sent as it is; an admin can act on the reason."""
    SKIPPED = "skipped"
    """An option excludes it; the reason names the option."""


@dataclass(frozen=True, slots=True)
class NewDelivery:
    """A new fact, and the request that delivers it."""

    fact_key: str
    kind: DeliveryKind
    subject: str
    conversation_id: str
    occurred_at: datetime
    rev: int
    state: DeliveryState
    fact: dict[str, Any]
    event_id: str | None = None
    reason: str | None = None
    identifier: str | None = None
    request: dict[str, Any] | None = None
    blocks_events: bool = False
    """A profile write that creates or renames the profile: the customer's events wait for it."""
    releasable: bool = False
    """Skipped by an option that a newer revision of the conversation may lift."""
    is_removal: bool = False
    """A profile write that follows a merge or a deletion."""


@dataclass(frozen=True, slots=True)
class ReplannedDelivery:
    """The new plan of a delivery that is not delivered yet."""

    fact_key: str
    state: DeliveryState
    reason: str | None = None
    identifier: str | None = None
    request: dict[str, Any] | None = None
    fact: dict[str, Any] | None = None
    """The fact by a newer observation; None keeps the stored one."""
    releasable: bool = False
    subject: str | None = None
    """The new customer; None keeps the stored one."""
    rev: int = 0
    """The revision of the conversation that led to this plan."""


_NEW_DELIVERIES = RowColumns(NewDelivery)
_REPLANNED = RowColumns(ReplannedDelivery)

INSERT = _NEW_DELIVERIES.sql("""
-- A recorded fact is not inserted again.
INSERT INTO deliveries (connection_id, {columns})
SELECT %(connection_id)s, {values} FROM {rows}
ON CONFLICT (connection_id, fact_key) DO NOTHING
""")

REPLANNABLE = """
-- Events that depend on these customers, or on customers who were merged into them: in some states; failed for some
-- reasons; and skipped within the last hour for some reasons.
SELECT fact_key, kind, subject, fact FROM deliveries
WHERE connection_id = %(connection_id)s AND kind <> 'profile'
  AND (state = ANY(%(states)s::text[]) OR (state = 'failed' AND reason = ANY(%(failed_reasons)s::text[]))
       OR (state = 'skipped' AND reason = ANY(%(skip_reasons)s::text[]) AND created_at > now() - interval '1 hour'))
  AND subject = ANY(%(subjects)s::text[] || ARRAY(
    SELECT customer_id FROM customers
    WHERE connection_id = %(connection_id)s AND merged_into = ANY(%(subjects)s::text[])))
ORDER BY seq FOR UPDATE
"""

FAIL_UNIDENTIFIED = """
-- Events that wait for a customer who could not be read.
UPDATE deliveries SET state = 'failed', reason = %s, response_detail = NULL, completed_at = now()
WHERE connection_id = %s AND subject = %s AND state = 'unidentified' AND reason = %s
"""

FAILED_EVENTS = """
-- Failed events that can be sent again: one of a conversation without a customer cannot.
SELECT fact_key, kind, subject, fact FROM deliveries
WHERE connection_id = %s AND state = 'failed' AND subject <> '' AND kind <> 'profile'
  AND (%s::text IS NULL OR fact_key = %s)
ORDER BY seq LIMIT %s FOR UPDATE
"""

REPLAN = _REPLANNED.sql("""
-- New plans. A pending delivery that stays pending for the same customer keeps its attempts; a delivered one is never
-- sent again. The detail of the last response belongs to the old reason. Rows are locked in one order everywhere, so
-- that two writers never deadlock.
WITH locked AS MATERIALIZED (
    SELECT fact_key FROM deliveries
    WHERE connection_id = %(connection_id)s AND fact_key = ANY(%(fact_keys)s::text[]) AND state <> 'delivered'
    ORDER BY seq FOR UPDATE
)
UPDATE deliveries SET state = new.state, reason = new.reason, identifier = new.identifier, releasable = new.releasable,
    request = new.request, fact = coalesce(new.fact, deliveries.fact), due_at = now(),
    subject = coalesce(new.subject, deliveries.subject), rev = greatest(new.rev, deliveries.rev),
    attempts = 0, first_attempt_at = NULL, own_failures = 0, response_detail = NULL,
    completed_at = CASE WHEN new.state IN ('failed', 'skipped') THEN now() END
FROM {rows}
WHERE deliveries.connection_id = %(connection_id)s AND deliveries.fact_key = new.fact_key
  AND deliveries.fact_key IN (SELECT fact_key FROM locked)
  AND NOT (deliveries.state = 'pending' AND new.state = 'pending' AND deliveries.identifier = new.identifier
           AND deliveries.subject = coalesce(new.subject, deliveries.subject))
""")

RETRY_FAILED_PROFILES = """
-- Failed profile writes: a full write of the profile replaces each. Removed customers get no full write, so that theirs
-- become pending again.
UPDATE deliveries SET state = CASE WHEN customers.removed THEN 'pending' ELSE 'skipped' END,
    reason = CASE WHEN NOT customers.removed THEN 'replaced_by_full_resend' END,
    completed_at = CASE WHEN NOT customers.removed THEN now() END, due_at = now(), attempts = 0,
    first_attempt_at = NULL, own_failures = 0, response_detail = NULL
FROM customers
WHERE deliveries.connection_id = %s AND deliveries.state = 'failed' AND kind = 'profile'
  AND (%s::text IS NULL OR fact_key = %s)
  AND customers.connection_id = deliveries.connection_id AND customers.customer_id = deliveries.subject
RETURNING subject, customers.removed
"""

FAIL_PENDING_EVENTS = """
-- Events of a customer that must not be sent any more.
UPDATE deliveries SET state = 'failed', reason = %s, response_detail = NULL, completed_at = now()
WHERE connection_id = %s AND subject = %s AND state = 'pending' AND kind <> 'profile'
"""

PENDING_PROFILES = """
-- Profile writes of a customer that are not sent yet.
SELECT fact_key, request, fact FROM deliveries
WHERE connection_id = %s AND subject = %s AND kind = 'profile' AND state = 'pending' ORDER BY seq
"""


async def insert(tx: Transaction, connection_id: str, deliveries: Sequence[NewDelivery]) -> None:
    """Insert deliveries; a fact that is recorded already is left alone."""
    await tx.execute(INSERT, _NEW_DELIVERIES.params(deliveries) | {"connection_id": connection_id})


async def replannable(
    tx: Transaction,
    connection_id: str,
    subjects: Sequence[str],
    *,
    states: Sequence[DeliveryState],
    failed_reasons: Sequence[str],
    skip_reasons: Sequence[str],
) -> list[DictRow]:
    """Return and lock events of customers: in these states, or failed or recently skipped for these reasons.

    Rows hold fact_key, kind, subject and fact.
    """
    params = {
        "connection_id": connection_id,
        "subjects": list(subjects),
        "states": list(states),
        "failed_reasons": list(failed_reasons),
        "skip_reasons": list(skip_reasons),
    }
    return await (await tx.execute(REPLANNABLE, params)).fetchall()


async def replan(tx: Transaction, connection_id: str, deliveries: Sequence[ReplannedDelivery]) -> None:
    """Save the new plans of deliveries."""
    keys = [delivery.fact_key for delivery in deliveries]
    await tx.execute(REPLAN, _REPLANNED.params(deliveries) | {"connection_id": connection_id, "fact_keys": keys})


async def fail_pending_events(tx: Transaction, connection_id: str, subject: str, *, reason: str) -> None:
    """Fail a customer's pending events."""
    await tx.execute(FAIL_PENDING_EVENTS, (reason, connection_id, subject))


async def fail_unidentified(
    tx: Transaction, connection_id: str, subject: str, *, current_reason: str, reason: str
) -> None:
    """Fail a customer's unidentified events that have a given reason."""
    await tx.execute(FAIL_UNIDENTIFIED, (reason, connection_id, subject, current_reason))


async def failed_events(tx: Transaction, connection_id: str, fact_key: str | None, limit: int) -> list[DictRow]:
    """Return and lock failed events that can be sent again: the one with a key, or the oldest.

    Rows hold fact_key, kind, subject and fact.
    """
    return await (await tx.execute(FAILED_EVENTS, (connection_id, fact_key, fact_key, limit))).fetchall()


async def retry_failed_profiles(tx: Transaction, connection_id: str, fact_key: str | None) -> list[str]:
    """Retry failed profile writes: the one with a key, or all.

    Writes of removed customers become pending; returns the other customers, who need a full write.
    """
    rows = await (await tx.execute(RETRY_FAILED_PROFILES, (connection_id, fact_key, fact_key))).fetchall()
    return sorted({row["subject"] for row in rows if not row["removed"]})


async def pending_profiles(tx: Transaction, connection_id: str, subject: str) -> list[DictRow]:
    """Return fact_key, request and fact of a customer's pending profile writes, the oldest first."""
    return await (await tx.execute(PENDING_PROFILES, (connection_id, subject))).fetchall()
