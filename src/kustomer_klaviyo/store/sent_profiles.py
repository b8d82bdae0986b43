"""The profile of each customer: what it is to contain, and what was last sent to Klaviyo."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database, Transaction

LOCK_PROFILES = """
-- All that decides about profile writes of some customers, locked against changes.
SELECT customer_id, email, phone, removed, skip_reason, profile, masked, notes, open_count, open_count_at, last_sent,
       sent_version, klaviyo_profile_id, merged_into, conflicting_phone, refused_contacts,
       ARRAY(SELECT DISTINCT observed #>> '{conversation,brand_id}' FROM conversations AS c
             WHERE c.connection_id = customers.connection_id AND c.customer_id = ANY (customers.customer_id || ARRAY(
                   SELECT source.customer_id FROM customers AS source
                   WHERE source.connection_id = customers.connection_id
                     AND source.merged_into = customers.customer_id))
       ) AS brands
FROM customers WHERE connection_id = %s AND customer_id = ANY(%s::text[]) ORDER BY customer_id FOR UPDATE
"""

SAVE_SENT = """
-- What is about to be sent to Klaviyo.
UPDATE customers SET last_sent = new.last_sent, sent_version = new.sent_version
FROM unnest(%s::text[], %s::jsonb[], %s::int[]) AS new (customer_id, last_sent, sent_version)
WHERE customers.connection_id = %s AND customers.customer_id = new.customer_id
"""

MARK_FOR_FULL_RESEND = """
-- last_sent may not be what Klaviyo has: the next write sends everything. After a failed write, Klaviyo still has the
-- former address or number, and the fields that the write was to clear.
UPDATE customers SET last_sent = CASE WHEN last_sent = '{}' THEN last_sent ELSE
        last_sent || former || jsonb_build_object('resend_all', true, 'fields',
            coalesce(last_sent -> 'fields', '{}') || coalesce(former -> 'fields', '{}')) END
FROM unnest(%s::text[], %s::jsonb[]) AS marked (customer_id, former)
WHERE customers.connection_id = %s AND customers.customer_id = marked.customer_id
"""

WITH_CONFIRMED_PROFILE = """
-- Customers whose Klaviyo profile id was confirmed recently.
SELECT customer_id FROM customers
WHERE connection_id = %s AND customer_id = ANY(%s::text[]) AND klaviyo_profile_id IS NOT NULL
  AND klaviyo_confirmed_at > now() - %s::interval
"""

SET_PROFILE_IDS = """
-- The Klaviyo profile ids of some customers.
UPDATE customers SET klaviyo_profile_id = new.klaviyo_profile_id, klaviyo_confirmed_at = now()
FROM unnest(%s::text[], %s::text[]) AS new (customer_id, klaviyo_profile_id)
WHERE customers.connection_id = %s AND customers.customer_id = new.customer_id
"""


@dataclass(frozen=True, slots=True)
class CustomerProfile:
    """All that is stored of a customer for profile writes."""

    customer_id: str
    email: str | None
    phone: str | None
    removed: bool
    skip_reason: str | None
    profile: dict[str, Any]
    masked: tuple[str, ...]
    notes: tuple[str, ...]
    open_count: int | None
    open_count_at: datetime | None
    last_sent: dict[str, Any]
    """The profile last sent to Klaviyo."""
    sent_version: int
    """How many profile writes there were."""
    klaviyo_profile_id: str | None
    merged_into: str | None
    conflicting_phone: str | None
    """A number that another Klaviyo profile has, so that it does not identify this customer."""
    brands: tuple[str | None, ...]
    """The brands of the customer's conversations; None for a conversation without a brand."""
    refused_contacts: tuple[str, ...] = ()
    """Addresses and numbers that Klaviyo refused."""


async def lock_profiles(tx: Transaction, connection_id: str, customer_ids: Sequence[str]) -> list[CustomerProfile]:
    """Return the profiles of the known customers, locked until the transaction ends."""
    rows = await (await tx.execute(LOCK_PROFILES, (connection_id, sorted(customer_ids)))).fetchall()
    arrays = ("masked", "notes", "refused_contacts", "brands")
    return [CustomerProfile(**(row | {name: tuple(row[name]) for name in arrays})) for row in rows]


async def save_sent(tx: Transaction, connection_id: str, sent: Sequence[tuple[str, dict[str, Any], int]]) -> None:
    """Save what is about to be sent, given as (customer, last_sent, sent_version)."""
    customer_ids, documents, versions = map(list, zip(*sent, strict=True))
    await tx.execute(SAVE_SENT, (customer_ids, [Jsonb(document) for document in documents], versions, connection_id))


async def mark_for_full_resend(
    tx: Transaction, connection_id: str, former_values: Mapping[str, Mapping[str, Any]]
) -> None:
    """Make the next write of some customers send everything.

    Each customer comes with what Klaviyo still has in place of what was last sent: ``email``, ``phone``, ``fields``.
    """
    former = [Jsonb(values) for values in former_values.values()]
    await tx.execute(MARK_FOR_FULL_RESEND, (list(former_values), former, connection_id))


async def with_confirmed_profile(
    db: Database, connection_id: str, customer_ids: Sequence[str], *, max_age: timedelta
) -> set[str]:
    """Return the customers whose Klaviyo profile was confirmed within ``max_age``."""
    rows = await db.fetch(WITH_CONFIRMED_PROFILE, (connection_id, list(customer_ids), max_age))
    return {row["customer_id"] for row in rows}


async def set_profile_ids(tx: Transaction, connection_id: str, profile_ids: Mapping[str, str | None]) -> None:
    """Save the Klaviyo profile ids of customers; None for a profile that no longer exists."""
    await tx.execute(SET_PROFILE_IDS, (list(profile_ids), list(profile_ids.values()), connection_id))
