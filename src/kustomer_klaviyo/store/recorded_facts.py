"""Facts that are recorded already: by key, by conversation and by customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Transaction
from kustomer_klaviyo.store.outbox import DeliveryKind, DeliveryState

FIND = """
-- Which facts are recorded, and whether a newer observation may still release them.
SELECT connection_id, fact_key, releasable FROM deliveries
WHERE (connection_id, fact_key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

OF_CONVERSATIONS = """
-- All recorded facts of some conversations; with the content of survey answers and of what is not delivered yet.
SELECT conversation_id, fact_key, kind, occurred_at, releasable, rev, state, subject, reason,
       CASE WHEN kind = 'csat' OR state <> 'delivered' THEN fact END AS fact FROM deliveries
WHERE connection_id = %s AND conversation_id = ANY(%s::text[])
"""

SUPPORT_HISTORY = """
-- A summary of the recorded facts of some customers.
SELECT subject, max(occurred_at) FILTER (WHERE kind = 'created') AS created_at,
       max(occurred_at) FILTER (WHERE kind = 'done') AS done_at,
       (array_agg(fact ORDER BY occurred_at DESC) FILTER (WHERE kind = 'csat'))[1] AS last_csat,
       count(fact ->> 'rating') FILTER (WHERE kind = 'csat') AS rating_count,
       coalesce(sum((fact ->> 'rating')::float8) FILTER (WHERE kind = 'csat'), 0) AS rating_sum
FROM deliveries
WHERE connection_id = %s AND subject = ANY(%s::text[]) AND kind IN ('created', 'done', 'csat')
  AND state <> 'skipped'
GROUP BY subject
"""


@dataclass(frozen=True, slots=True)
class RecordedFact:
    """A fact that has a delivery already."""

    fact_key: str
    kind: DeliveryKind
    occurred_at: datetime
    releasable: bool
    rev: int
    state: DeliveryState = DeliveryState.DELIVERED
    subject: str = ""
    fact: dict[str, Any] | None = None
    """The content of a survey answer, or of a fact that is not delivered yet; None otherwise."""
    reason: str | None = None


async def find(tx: Transaction, fact_keys: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Return which of these (connection, fact key) pairs are recorded, each with whether it is releasable."""
    columns = ([connection_id for connection_id, _ in fact_keys], [key for _, key in fact_keys])
    rows = await (await tx.execute(FIND, columns)).fetchall()
    return {(row["connection_id"], row["fact_key"]): row["releasable"] for row in rows}


async def of_conversations(
    tx: Transaction, connection_id: str, conversation_ids: Sequence[str]
) -> dict[str, list[RecordedFact]]:
    """Return the recorded facts of each conversation."""
    facts: dict[str, list[RecordedFact]] = {}
    for row in await (await tx.execute(OF_CONVERSATIONS, (connection_id, list(conversation_ids)))).fetchall():
        codes = {"kind": DeliveryKind(row["kind"]), "state": DeliveryState(row["state"])}
        facts.setdefault(row.pop("conversation_id"), []).append(RecordedFact(**(row | codes)))
    return facts


async def support_history(tx: Transaction, connection_id: str, subjects: Sequence[str]) -> dict[str, DictRow]:
    """Return for each customer created_at, done_at, last_csat (the fact), rating_count and rating_sum."""
    rows = await (await tx.execute(SUPPORT_HISTORY, (connection_id, list(subjects)))).fetchall()
    return {row.pop("subject"): row for row in rows}
