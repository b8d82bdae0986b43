"""What cards show, kept so that an agent never waits for Klaviyo; and which cards are wanted next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database


class Wish(StrEnum):
    """Why a card is wanted."""

    OPENED = "opened"
    """An agent looks at it."""
    AHEAD = "ahead"
    """An agent is likely to look at it soon."""


OPEN = """
-- An agent opens a card: what is kept of it; and a wish, when that is older than it should be. Of somebody of whom
-- nothing is known here a new wish is made only if it may be: whoever holds the secret can make customers up.
WITH known AS (
    SELECT EXISTS (SELECT FROM people WHERE connection_id = %(connection)s AND customer_id = %(customer)s)
        OR EXISTS (SELECT FROM insights WHERE connection_id = %(connection)s AND customer_id = %(customer)s
                   AND (document IS NOT NULL OR wish IS NOT NULL)) AS is_known
)
INSERT INTO insights AS kept (connection_id, customer_id, opened_at, wish, wished_at, due_at)
SELECT %(connection)s, %(customer)s, now(), 'opened', now(), now() FROM known WHERE is_known OR %(may_ask)s
ON CONFLICT (connection_id, customer_id) DO UPDATE SET opened_at = now(),
    wish = CASE WHEN kept.fresh_until > now() AND kept.wish IS NULL THEN NULL ELSE 'opened' END,
    wished_at = CASE WHEN kept.fresh_until > now() AND kept.wish IS NULL THEN NULL
                     ELSE coalesce(kept.wished_at, now()) END,
    due_at = CASE WHEN kept.wish = 'opened' THEN kept.due_at ELSE now() END
RETURNING document, fetched_at, trouble, wish IS NOT NULL AS is_wanted, kept.due_at
"""

READ = """
-- What is kept of a card.
SELECT document, fetched_at, trouble, wish IS NOT NULL AS is_wanted, due_at FROM insights
WHERE connection_id = %s AND customer_id = %s
"""

AHEAD = """
-- Cards that agents are likely to open soon, unless they are fresh.
INSERT INTO insights AS kept (connection_id, customer_id, wish, wished_at, due_at)
SELECT connection_id, customer_id, 'ahead', now(), now()
FROM unnest(%s::text[], %s::text[]) AS wished (connection_id, customer_id) ORDER BY 1, 2
ON CONFLICT (connection_id, customer_id) DO UPDATE SET wish = coalesce(kept.wish, 'ahead'), wished_at = now(),
    due_at = coalesce(CASE WHEN kept.wish IS NOT NULL THEN kept.due_at END, now())
WHERE kept.fresh_until IS NULL OR kept.fresh_until <= now()
"""

DUE = """
-- The cards to fetch next: those that agents look at, the longest wanted first, and of them last those of whom nothing
-- is known here, who may be made up; then those wished for ahead, the latest first, since it is the latest news that
-- agents look after.
SELECT customer_id, wish, wished_at, document FROM insights
WHERE connection_id = %s AND wish IS NOT NULL AND due_at <= now() AND NOT customer_id = ANY(%s::text[])
ORDER BY wish = 'ahead', NOT EXISTS (
    SELECT FROM people WHERE people.connection_id = insights.connection_id AND people.customer_id = insights.customer_id
  ), CASE WHEN wish = 'ahead' THEN -extract(epoch FROM wished_at)
                              ELSE extract(epoch FROM wished_at) END
LIMIT %s
"""

NEXT_DUE = """
-- When a card is to be fetched next, of all but some.
SELECT min(due_at) AS due_at FROM insights
WHERE connection_id = %s AND wish IS NOT NULL AND NOT customer_id = ANY(%s::text[])
"""

SAVE = """
-- Cards were fetched, wholly or in part; what is missing of one is still wished for, at the time given. In one order
-- everywhere, so that two writers never wait for one another.
UPDATE insights SET document = news.document, trouble = news.trouble,
    fetched_at = CASE WHEN news.is_whole THEN now() ELSE fetched_at END, fresh_until = news.fresh_until,
    wish = CASE WHEN news.again_at IS NULL THEN NULL ELSE wish END,
    wished_at = CASE WHEN news.again_at IS NULL THEN NULL ELSE wished_at END,
    due_at = coalesce(news.again_at, due_at)
FROM (SELECT * FROM unnest(%s::text[], %s::jsonb[], %s::boolean[], %s::timestamptz[], %s::text[], %s::timestamptz[])
        AS given (customer_id, document, is_whole, fresh_until, trouble, again_at) ORDER BY customer_id) AS news
WHERE insights.connection_id = %s AND insights.customer_id = news.customer_id
"""

GIVE_UP_AHEAD = """
-- Wishes ahead that are old by now: the agent has looked, or never will.
UPDATE insights SET wish = NULL, wished_at = NULL
WHERE connection_id = %s AND wish = 'ahead' AND wished_at < now() - make_interval(mins => %s)
"""

KNOWN_BY_NOW = """
-- Klaviyo knows some customers by now: cards that say otherwise are fetched anew before somebody looks again.
UPDATE insights SET fresh_until = now(), wish = coalesce(wish, 'ahead'), wished_at = now(), due_at = now()
WHERE connection_id = %s AND customer_id = ANY(%s::text[]) AND document->>'status' = 'unknown'
"""

FORGET = "DELETE FROM insights WHERE connection_id = %s AND customer_id = ANY(%s::text[])"

PURGE = """
-- Cards that nobody looked at lately, nor wishes to.
DELETE FROM insights WHERE connection_id = %(connection)s AND wish IS NULL
  AND due_at < now() - make_interval(days => %(days)s)
  AND greatest(opened_at, fetched_at, due_at) < now() - make_interval(days => %(days)s)
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A card as it is kept."""

    document: dict[str, Any] | None
    fetched_at: datetime | None
    trouble: str | None
    """Why the last fetch did not bring all; None when it did."""
    is_wanted: bool
    """It is to be fetched, or what is missing of it."""
    due_at: datetime
    """When that is."""


@dataclass(frozen=True, slots=True)
class DueCard:
    """A card to fetch."""

    customer_id: str
    wish: Wish
    wished_at: datetime
    document: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch brought of one card."""

    customer_id: str
    document: dict[str, Any] | None
    is_whole: bool
    """Nothing is missing that Klaviyo would tell later."""
    fresh_until: datetime | None
    trouble: str | None
    again_at: datetime | None
    """When what is missing is to be fetched; None when nothing is."""


async def opened(database: Database, connection_id: str, customer_id: str, *, may_ask: bool = True) -> Kept | None:
    """Note that an agent looks at a card, wish for it where it is not fresh, and return what is kept.

    None when nothing is known of the customer, and nobody may be asked about such a one now.
    """
    params = {"connection": connection_id, "customer": customer_id, "may_ask": may_ask}
    rows = await database.fetch(OPEN, params)
    if not rows:
        return None
    if rows[0]["is_wanted"]:
        await database.execute("SELECT pg_notify('work', %s)", (connection_id,))
    return Kept(**rows[0])


async def read(database: Database, connection_id: str, customer_id: str) -> Kept | None:
    """Return what is kept of a card."""
    rows = await database.fetch(READ, (connection_id, customer_id))
    return Kept(**rows[0]) if rows else None


async def wish_ahead(database: Database, wished: Iterable[tuple[str, str]]) -> None:
    """Wish for the cards of (connection, customer) pairs before anybody looks at them."""
    pairs = sorted(set(wished))
    await database.execute(AHEAD, ([pair[0] for pair in pairs], [pair[1] for pair in pairs]))
    for connection_id in sorted({pair[0] for pair in pairs}):
        await database.execute("SELECT pg_notify('work', %s)", (connection_id,))


async def due(database: Database, connection_id: str, limit: int, *, but: Iterable[str]) -> list[DueCard]:
    """Return the cards to fetch next, without those that are being fetched."""
    rows = await database.fetch(DUE, (connection_id, list(but), limit))
    return [DueCard(row["customer_id"], Wish(row["wish"]), row["wished_at"], row["document"]) for row in rows]


async def next_due(database: Database, connection_id: str, *, but: Iterable[str] = ()) -> datetime | None:
    """Return when the next card is to be fetched, of all but some; None when none is wished for."""
    due_at: datetime | None = (await database.fetch(NEXT_DUE, (connection_id, list(but))))[0]["due_at"]
    return due_at


async def save(database: Database, connection_id: str, news: Sequence[Fetched]) -> None:
    """Keep what a fetch brought."""
    columns: tuple[list[Any], ...] = (
        [new.customer_id for new in news],
        [None if new.document is None else Jsonb(new.document) for new in news],
        [new.is_whole for new in news],
        [new.fresh_until for new in news],
        [new.trouble for new in news],
        [new.again_at for new in news],
    )
    await database.execute(SAVE, (*columns, connection_id))


async def give_up_ahead(database: Database, connection_id: str, *, minutes: int) -> int:
    """Drop wishes ahead older than so many minutes."""
    return await database.execute(GIVE_UP_AHEAD, (connection_id, minutes))


async def known_by_now(connection: AsyncConnection[DictRow], connection_id: str, customer_ids: list[str]) -> None:
    """Note that Klaviyo has profiles of some customers."""
    await connection.execute(KNOWN_BY_NOW, (connection_id, customer_ids))


async def forget(connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Iterable[str]) -> None:
    """Forget the cards of some customers."""
    await connection.execute(FORGET, (connection_id, list(customer_ids)))


async def purge(database: Database, connection_id: str, *, days: int) -> int:
    """Forget cards that nobody looked at for so many days; returns how many."""
    return await database.execute(PURGE, {"connection": connection_id, "days": days})
