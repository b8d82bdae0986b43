"""What is told already: by its key, of each conversation, and of each customer."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.outbox import State

TOLD = """
-- Which keys are told, and whether a newer observation could still release them.
SELECT connection_id, key, held FROM deliveries
WHERE (connection_id, key) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

TOLD_OF = """
-- All that is told of some conversations; the facts of answers and of what was not sent yet, for what comes to be read.
SELECT conversation_id, key, kind, occurred_at, held, rev, state, subject, reason,
       CASE WHEN kind = 'satisfaction' OR state <> 'delivered' THEN fact END AS fact FROM deliveries
WHERE connection_id = %s AND conversation_id = ANY(%s::text[])
"""

SUPPORT = """
-- What was told of some customers, for the state of their support.
SELECT subject, max(occurred_at) FILTER (WHERE kind = 'opened') AS created_at,
       max(occurred_at) FILTER (WHERE kind = 'closed') AS done_at,
       (array_agg(fact ORDER BY occurred_at DESC) FILTER (WHERE kind = 'satisfaction'))[1] AS answer,
       count(fact ->> 'rating') FILTER (WHERE kind = 'satisfaction') AS ratings,
       coalesce(sum((fact ->> 'rating')::float8) FILTER (WHERE kind = 'satisfaction'), 0) AS ratings_sum
FROM deliveries
WHERE connection_id = %s AND subject = ANY(%s::text[]) AND kind IN ('opened', 'closed', 'satisfaction')
  AND state <> 'skipped'
GROUP BY subject
"""


@dataclass(frozen=True, slots=True)
class Told:
    """What was told of a conversation before."""

    key: str
    kind: str
    occurred_at: datetime
    held: bool
    rev: int
    state: State = State.DELIVERED
    subject: str = ""
    fact: dict[str, Any] | None = None
    """Where it may be needed: of a survey's answer, and of what was not sent yet."""
    reason: str | None = None


async def told(connection: AsyncConnection[DictRow], wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], bool]:
    """Return those (connection, key) pairs that are told, each with whether it is held by a setting."""
    columns = ([pair[0] for pair in wanted], [pair[1] for pair in wanted])
    rows = await (await connection.execute(TOLD, columns)).fetchall()
    return {(row["connection_id"], row["key"]): row["held"] for row in rows}


async def told_of(
    connection: AsyncConnection[DictRow], connection_id: str, conversation_ids: Sequence[str]
) -> dict[str, list[Told]]:
    """Return what is told of each conversation."""
    found: dict[str, list[Told]] = {}
    for row in await (await connection.execute(TOLD_OF, (connection_id, list(conversation_ids)))).fetchall():
        conversation_id, state = row.pop("conversation_id"), State(row.pop("state"))
        found.setdefault(conversation_id, []).append(Told(**row, state=state))
    return found


async def support(
    connection: AsyncConnection[DictRow], connection_id: str, subjects: Sequence[str]
) -> dict[str, DictRow]:
    """Return what was told of customers: created_at, done_at, the last answer's fact, ratings and ratings_sum."""
    rows = await (await connection.execute(SUPPORT, (connection_id, list(subjects)))).fetchall()
    return {row.pop("subject"): row for row in rows}
