"""The newest observation of each conversation: the basis of a customer's number of open conversations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from kustomer_klaviyo.facts import Conversation
from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.row_columns import RowColumns


@dataclass(frozen=True, slots=True)
class ConversationRow:
    """An observation of a conversation."""

    conversation_id: str
    customer_id: str | None
    rev: int
    fingerprint: str
    observed: dict[str, Any]
    status_history: dict[str, bool]
    """Whether the conversation was open, by the epoch milliseconds of each change."""
    unanswered_rev: int = 0
    """The revision, if it shows an unanswered survey without a response id; otherwise 0."""


@dataclass(frozen=True, slots=True)
class NewestObservation:
    """The newest observation of a conversation."""

    customer_id: str | None
    """The customer that the newest observation with a customer names."""
    conversation: Conversation
    unanswered_rev: int = 0
    """The newest revision that shows an unanswered survey without a response id; 0 when none does."""


_CONVERSATIONS = RowColumns(ConversationRow)

SAVE = _CONVERSATIONS.sql("""
-- An older revision never replaces a newer one; one without a customer keeps the stored customer. Returns the
-- conversations that were new or newer, with their customer before and after.
WITH former AS (
    SELECT conversation_id, customer_id FROM conversations
    WHERE connection_id = %(connection_id)s AND conversation_id = ANY(%(conversation_ids)s::text[])
)
INSERT INTO conversations (connection_id, {columns})
SELECT %(connection_id)s, {values} FROM {rows}
ON CONFLICT (connection_id, conversation_id) DO UPDATE SET
    customer_id = coalesce(excluded.customer_id, conversations.customer_id), rev = excluded.rev,
    fingerprint = excluded.fingerprint, observed = excluded.observed,
    status_history = conversations.status_history || excluded.status_history,
    unanswered_rev = greatest(excluded.unanswered_rev, conversations.unanswered_rev)
WHERE conversations.rev <= excluded.rev
RETURNING customer_id, (SELECT former.customer_id FROM former WHERE former.conversation_id =
                        conversations.conversation_id) AS former_customer_id
""")

VERSIONS = """
-- Revisions and fingerprints of some conversations.
SELECT connection_id, conversation_id, rev, fingerprint FROM conversations
WHERE (connection_id, conversation_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

BUMP_REVISIONS = """
-- An update without a relevant change only bumps the revision, so that an older document arriving late stays older. As
-- with customers, locked rows are skipped and returned.
WITH behind AS MATERIALIZED (
    SELECT connection_id, conversation_id, new.rev
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[])
         AS new (connection_id, conversation_id, rev, fingerprint)
         JOIN conversations USING (connection_id, conversation_id)
    WHERE conversations.fingerprint = new.fingerprint AND conversations.rev < new.rev
), free AS MATERIALIZED (
    SELECT conversations.connection_id, conversations.conversation_id, behind.rev, conversations.fingerprint
    FROM behind JOIN conversations USING (connection_id, conversation_id)
    FOR NO KEY UPDATE OF conversations SKIP LOCKED
), bumped AS (
    UPDATE conversations SET rev = free.rev FROM free
    WHERE conversations.connection_id = free.connection_id AND conversations.conversation_id = free.conversation_id
      AND conversations.fingerprint = free.fingerprint AND conversations.rev < free.rev
)
SELECT connection_id, conversation_id FROM behind EXCEPT SELECT connection_id, conversation_id FROM free
"""

NEWEST = """
-- The newest observations of some conversations.
SELECT conversation_id, customer_id, (observed -> 'conversation') || jsonb_build_object('rev', rev) AS conversation,
       unanswered_rev
FROM conversations
WHERE connection_id = %s AND conversation_id = ANY(%s::text[])
"""

COUNT_OPEN_SINCE = """
-- How many open conversations some customers began after Kustomer's count. Without a count: how many open conversations
-- they have that are not spam.
SELECT customer_id, count(*) AS open_conversations
FROM unnest(%s::text[], %s::timestamptz[]) AS requested (id, counted_at)
     JOIN conversations ON customer_id = requested.id AND connection_id = %s
WHERE (observed ->> 'is_open')::boolean
  AND CASE WHEN counted_at IS NULL THEN NOT (observed #>> '{conversation,spam}')::boolean
           ELSE (observed ->> 'created_at')::timestamptz > counted_at END
GROUP BY customer_id
"""

CHANGED_SINCE = """
-- Conversations that existed at the time of Kustomer's count and changed their status since.
SELECT customer_id, observed || jsonb_build_object('status_history', status_history) AS observed
FROM unnest(%s::text[], %s::timestamptz[]) AS requested (id, counted_at)
     JOIN conversations ON customer_id = requested.id AND connection_id = %s
WHERE (observed ->> 'status_changed_at')::timestamptz > counted_at
  AND (observed ->> 'created_at')::timestamptz <= counted_at
"""


async def save(tx: Transaction, connection_id: str, observations: Sequence[ConversationRow]) -> set[str]:
    """Save the newest observation of each conversation.

    Returns the customers of the conversations that changed, the former customers too.
    """
    rows = _merge_by_conversation(observations)
    params = _CONVERSATIONS.params(rows) | {
        "connection_id": connection_id,
        "conversation_ids": [row.conversation_id for row in rows],
    }
    saved = await (await tx.execute(SAVE, params)).fetchall()
    customer_ids = {row["customer_id"] for row in saved} | {row["former_customer_id"] for row in saved}
    return {customer_id for customer_id in customer_ids if customer_id is not None}


def _merge_by_conversation(observations: Iterable[ConversationRow]) -> list[ConversationRow]:
    """Return one observation per conversation, in one order everywhere, so that two writers never deadlock."""
    merged: dict[str, ConversationRow] = {}
    for row in observations:
        known = merged.get(row.conversation_id)
        merged[row.conversation_id] = row if known is None else _merge(known, row)
    return sorted(merged.values(), key=lambda row: row.conversation_id)


def _merge(first: ConversationRow, second: ConversationRow) -> ConversationRow:
    """Return the newer observation, with what only the older one shows. The second is the newer of equal revisions."""
    older, newer = (second, first) if second.rev < first.rev else (first, second)
    return replace(
        newer,
        customer_id=newer.customer_id or older.customer_id,
        status_history=first.status_history | second.status_history,
        unanswered_rev=max(older.unanswered_rev, newer.unanswered_rev),
    )


async def newest(tx: Transaction, connection_id: str, conversation_ids: Sequence[str]) -> dict[str, NewestObservation]:
    """Return the newest observation of each known conversation."""
    rows = await (await tx.execute(NEWEST, (connection_id, list(conversation_ids)))).fetchall()
    return {
        row["conversation_id"]: NewestObservation(
            row["customer_id"], msgspec.convert(row["conversation"], Conversation), row["unanswered_rev"]
        )
        for row in rows
    }


async def versions(tx: Transaction, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, str]]:
    """Return (revision, fingerprint) of each known (connection, conversation) pair."""
    columns = ([connection_id for connection_id, _ in pairs], [conversation_id for _, conversation_id in pairs])
    rows = await (await tx.execute(VERSIONS, columns)).fetchall()
    return {(row["connection_id"], row["conversation_id"]): (row["rev"], row["fingerprint"]) for row in rows}


async def bump_revisions(db: Database, bumps: Sequence[tuple[str, str, int, str]]) -> set[tuple[str, str]]:
    """Bump the revisions of unchanged conversations, given as (connection, conversation, revision, fingerprint).

    Returns the (connection, conversation) pairs that another transaction locks now: try them again later.
    """
    rows = await db.fetch(BUMP_REVISIONS, tuple(map(list, zip(*bumps, strict=True))))
    return {(row["connection_id"], row["conversation_id"]) for row in rows}


async def count_open_since(
    tx: Transaction, connection_id: str, counted_at: Mapping[str, datetime | None]
) -> dict[str, int]:
    """Return how many open conversations each customer began after Kustomer's count of them."""
    params = (list(counted_at), list(counted_at.values()), connection_id)
    rows = await (await tx.execute(COUNT_OPEN_SINCE, params)).fetchall()
    return {row["customer_id"]: row["open_conversations"] for row in rows}


async def changed_since(
    tx: Transaction, connection_id: str, counted_at: Mapping[str, datetime | None]
) -> dict[str, list[dict[str, Any]]]:
    """Return each customer's conversations that Kustomer had counted and that changed their status since."""
    changed: dict[str, list[dict[str, Any]]] = {}
    params = (list(counted_at), list(counted_at.values()), connection_id)
    for row in await (await tx.execute(CHANGED_SINCE, params)).fetchall():
        changed.setdefault(row["customer_id"], []).append(row["observed"])
    return changed
