"""Stored card contents, so that an agent does not wait for Klaviyo, and requests to refresh them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database, Transaction


class RefreshReason(StrEnum):
    """Why a card is to be refreshed."""

    OPENED = "opened"
    """An agent opened it."""
    PREFETCH = "prefetch"
    """An agent is likely to open it soon."""


OPEN = """
-- Records that an agent opened a card, requests a refresh unless the card is fresh, and returns the stored content.
-- A card of a customer who is not stored here is requested only if allow_unknown is set: whoever holds the card secret
-- can make up customer ids.
WITH known AS (
    SELECT EXISTS (SELECT FROM customers WHERE connection_id = %(connection_id)s AND customer_id = %(customer_id)s)
        OR EXISTS (SELECT FROM cards WHERE connection_id = %(connection_id)s AND customer_id = %(customer_id)s
                   AND (document IS NOT NULL OR refresh_reason IS NOT NULL)) AS is_known
)
INSERT INTO cards AS stored (connection_id, customer_id, opened_at, refresh_reason, requested_at, due_at)
SELECT %(connection_id)s, %(customer_id)s, now(), 'opened', now(), now()
FROM known WHERE is_known OR %(allow_unknown)s
ON CONFLICT (connection_id, customer_id) DO UPDATE SET opened_at = now(),
    refresh_reason = CASE WHEN stored.fresh_until > now() AND stored.refresh_reason IS NULL THEN NULL
                          ELSE 'opened' END,
    requested_at = CASE WHEN stored.fresh_until > now() AND stored.refresh_reason IS NULL THEN NULL
                        ELSE coalesce(stored.requested_at, now()) END,
    due_at = CASE WHEN stored.refresh_reason = 'opened' THEN stored.due_at ELSE now() END
RETURNING document, fetched_at, error, refresh_reason IS NOT NULL AS is_refresh_requested, stored.due_at
"""

READ = """
-- Selects the stored content of a card.
SELECT document, fetched_at, error, refresh_reason IS NOT NULL AS is_refresh_requested, due_at FROM cards
WHERE connection_id = %s AND customer_id = %s
"""

REQUEST_PREFETCH = """
-- Requests a refresh of cards that agents are likely to open soon, unless the cards are fresh.
INSERT INTO cards AS stored (connection_id, customer_id, refresh_reason, requested_at, due_at)
SELECT connection_id, customer_id, 'prefetch', now(), now()
FROM unnest(%s::text[], %s::text[]) AS requested (connection_id, customer_id) ORDER BY 1, 2
ON CONFLICT (connection_id, customer_id) DO UPDATE SET
    refresh_reason = coalesce(stored.refresh_reason, 'prefetch'), requested_at = now(),
    due_at = coalesce(CASE WHEN stored.refresh_reason IS NOT NULL THEN stored.due_at END, now())
WHERE stored.fresh_until IS NULL OR stored.fresh_until <= now()
"""

DUE = """
-- Selects the cards to fetch next. Opened cards come first, the oldest request first; among these, cards of customers
-- who are not stored here come last, because their ids may be made up. Prefetches follow, the newest request first,
-- because agents open the cards of the latest events.
SELECT customer_id, refresh_reason, requested_at, document FROM cards
WHERE connection_id = %s AND refresh_reason IS NOT NULL AND due_at <= now() AND NOT customer_id = ANY(%s::text[])
ORDER BY refresh_reason = 'prefetch', NOT EXISTS (
    SELECT FROM customers
    WHERE customers.connection_id = cards.connection_id AND customers.customer_id = cards.customer_id
  ), CASE WHEN refresh_reason = 'prefetch' THEN -extract(epoch FROM requested_at)
                                           ELSE extract(epoch FROM requested_at) END
LIMIT %s
"""

NEXT_DUE = """
-- Selects when the next card is due, except some cards.
SELECT min(due_at) AS due_at FROM cards
WHERE connection_id = %s AND refresh_reason IS NOT NULL AND NOT customer_id = ANY(%s::text[])
"""

SAVE = """
-- Saves fetched cards. An incomplete card is requested again, at the given time. The rows are updated in one order, so
-- that two writers never deadlock.
UPDATE cards SET document = fetched.document, error = fetched.error,
    fetched_at = CASE WHEN fetched.is_complete THEN now() ELSE fetched_at END, fresh_until = fetched.fresh_until,
    refresh_reason = CASE WHEN fetched.retry_at IS NULL THEN NULL ELSE refresh_reason END,
    requested_at = CASE WHEN fetched.retry_at IS NULL THEN NULL ELSE requested_at END,
    due_at = coalesce(fetched.retry_at, due_at)
FROM (SELECT * FROM unnest(%s::text[], %s::jsonb[], %s::boolean[], %s::timestamptz[], %s::text[], %s::timestamptz[])
        AS given (customer_id, document, is_complete, fresh_until, error, retry_at) ORDER BY customer_id) AS fetched
WHERE cards.connection_id = %s AND cards.customer_id = fetched.customer_id
"""

EXPIRE_PREFETCHES = """
-- Withdraws old prefetch requests: the agent has opened the card already, or will not open it.
UPDATE cards SET refresh_reason = NULL, requested_at = NULL
WHERE connection_id = %s AND refresh_reason = 'prefetch' AND requested_at < now() - make_interval(mins => %s)
"""

INVALIDATE_UNKNOWN = """
-- Requests a refresh of cards that say the customer is unknown to Klaviyo, because Klaviyo now has a profile.
UPDATE cards SET fresh_until = now(), refresh_reason = coalesce(refresh_reason, 'prefetch'), requested_at = now(),
    due_at = now()
WHERE connection_id = %s AND customer_id = ANY(%s::text[]) AND document->>'status' = 'customer_unknown'
"""

DELETE = "DELETE FROM cards WHERE connection_id = %s AND customer_id = ANY(%s::text[])"

DELETE_UNUSED = """
-- Deletes cards that were not used recently and are not requested.
DELETE FROM cards WHERE connection_id = %(connection_id)s AND refresh_reason IS NULL
  AND due_at < now() - make_interval(days => %(days)s)
  AND greatest(opened_at, fetched_at, due_at) < now() - make_interval(days => %(days)s)
"""


@dataclass(frozen=True, slots=True)
class StoredCard:
    """The stored content of a card."""

    document: dict[str, Any] | None
    fetched_at: datetime | None
    error: str | None
    """Why the last fetch was incomplete; None when it was complete."""
    is_refresh_requested: bool
    """Whether the card, or its missing part, is to be fetched."""
    due_at: datetime
    """When it is to be fetched."""


@dataclass(frozen=True, slots=True)
class DueCard:
    """A card to fetch."""

    customer_id: str
    refresh_reason: RefreshReason
    requested_at: datetime
    document: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FetchedCard:
    """The result of fetching a card."""

    customer_id: str
    document: dict[str, Any] | None
    is_complete: bool
    """Whether a later fetch could add nothing."""
    fresh_until: datetime | None
    error: str | None
    retry_at: datetime | None
    """When to fetch the missing part; None when nothing is missing."""


async def open_card(
    db: Database, connection_id: str, customer_id: str, *, allow_unknown: bool = True
) -> StoredCard | None:
    """Record that an agent opened a card, request a refresh unless it is fresh, and return the stored content.

    Returns None when the customer is not stored here and ``allow_unknown`` is false.
    """
    params = {"connection_id": connection_id, "customer_id": customer_id, "allow_unknown": allow_unknown}
    rows = await db.fetch(OPEN, params)
    if not rows:
        return None
    if rows[0]["is_refresh_requested"]:
        await db.execute("SELECT pg_notify('work', %s)", (connection_id,))
    return StoredCard(**rows[0])


async def read(db: Database, connection_id: str, customer_id: str) -> StoredCard | None:
    """Return the stored content of a card, or None."""
    rows = await db.fetch(READ, (connection_id, customer_id))
    return StoredCard(**rows[0]) if rows else None


async def request_prefetch(db: Database, customers: Iterable[tuple[str, str]]) -> None:
    """Request the cards of (connection id, customer id) pairs before an agent opens them."""
    pairs = sorted(set(customers))
    await db.execute(REQUEST_PREFETCH, ([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    for connection_id in sorted({pair[0] for pair in pairs}):
        await db.execute("SELECT pg_notify('work', %s)", (connection_id,))


async def due(db: Database, connection_id: str, limit: int, *, exclude: Iterable[str]) -> list[DueCard]:
    """Return the cards to fetch next, except those of the customers in ``exclude``."""
    rows = await db.fetch(DUE, (connection_id, list(exclude), limit))
    return [
        DueCard(row["customer_id"], RefreshReason(row["refresh_reason"]), row["requested_at"], row["document"])
        for row in rows
    ]


async def next_due(db: Database, connection_id: str, *, exclude: Iterable[str] = ()) -> datetime | None:
    """Return when the next card is due, except those of the customers in ``exclude``; None when none is requested."""
    due_at: datetime | None = (await db.fetch(NEXT_DUE, (connection_id, list(exclude))))[0]["due_at"]
    return due_at


async def save(db: Database, connection_id: str, cards: Sequence[FetchedCard]) -> None:
    """Save fetched cards."""
    columns: tuple[list[Any], ...] = (
        [card.customer_id for card in cards],
        [None if card.document is None else Jsonb(card.document) for card in cards],
        [card.is_complete for card in cards],
        [card.fresh_until for card in cards],
        [card.error for card in cards],
        [card.retry_at for card in cards],
    )
    await db.execute(SAVE, (*columns, connection_id))


async def expire_prefetches(db: Database, connection_id: str, *, minutes: int) -> int:
    """Withdraw prefetch requests that are older than ``minutes``; return how many."""
    return await db.execute(EXPIRE_PREFETCHES, (connection_id, minutes))


async def invalidate_unknown(tx: Transaction, connection_id: str, customer_ids: list[str]) -> None:
    """Request a refresh of cards that say these customers are unknown to Klaviyo."""
    await tx.execute(INVALIDATE_UNKNOWN, (connection_id, customer_ids))


async def delete(tx: Transaction, connection_id: str, customer_ids: Iterable[str]) -> None:
    """Delete the cards of some customers."""
    await tx.execute(DELETE, (connection_id, list(customer_ids)))


async def delete_unused(db: Database, connection_id: str, *, days: int) -> int:
    """Delete cards that were not used for ``days``; return how many."""
    return await db.execute(DELETE_UNUSED, {"connection_id": connection_id, "days": days})
