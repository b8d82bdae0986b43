"""Questions owed to Kustomer's API: customers not known yet, conversations worth another reading."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.store.database import Database


class Kind(StrEnum):
    """What is asked for."""

    CUSTOMER = "customer"
    CONVERSATION = "conversation"
    MERGE = "merge"
    """What became of a customer who is gone."""
    SWEEP = "sweep"
    """Which customers were deleted lately; asked again and again."""
    WEBHOOK = "webhook"
    """Whether our webhook is still switched on; asked again and again."""


FOR_EVER = (Kind.SWEEP, Kind.WEBHOOK)
"""Questions that are never answered for good."""


ASK = """
-- A question already owed is not owed twice; one that failed is asked anew, and so, once, is one that only a card had.
INSERT INTO lookups (connection_id, kind, id, key, due_at, for_card)
SELECT %s, kind, id, key, now() + make_interval(secs => delay), for_card
FROM unnest(%s::text[], %s::text[], %s::text[], %s::float8[], %s::boolean[]) AS asked (kind, id, key, delay, for_card)
ON CONFLICT (connection_id, kind, id) DO UPDATE
SET failed_at = NULL, error = NULL, tries = 0, due_at = excluded.due_at, key = excluded.key,
    for_card = lookups.for_card AND excluded.for_card
WHERE lookups.failed_at IS NOT NULL OR (lookups.for_card AND NOT excluded.for_card)
"""

DUE = """
-- The oldest questions that may be asked now, those that only cards have after all others; a reading whose fact was
-- told meanwhile is no longer needed.
SELECT kind, id, tries, key IS NOT NULL AND EXISTS (
    SELECT FROM deliveries WHERE deliveries.connection_id = lookups.connection_id AND deliveries.key = lookups.key
) AS answered
FROM lookups WHERE connection_id = %s AND failed_at IS NULL AND due_at <= now()
  AND (kind, id) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
ORDER BY for_card, due_at LIMIT %s
"""

LATER = """
-- No answer yet.
UPDATE lookups SET tries = tries + %s, due_at = %s, note = %s WHERE connection_id = %s AND kind = %s AND id = %s
"""

AGAIN = """
-- A question that is asked for ever is asked next at the given time.
UPDATE lookups SET tries = 0, due_at = %s, note = NULL WHERE connection_id = %s AND kind = %s AND id = %s
"""

FAILED = """
-- A question that leads nowhere as things are: an admin decides, or the next event that asks the same.
UPDATE lookups SET tries = tries + 1, failed_at = now(), note = %s, error = %s
WHERE connection_id = %s AND kind = %s AND id = %s
"""

ASK_FAILED = """
-- An admin says so: from the beginning.
UPDATE lookups SET tries = 0, due_at = now(), failed_at = NULL, error = NULL
WHERE connection_id = %s AND failed_at IS NOT NULL
"""

PLAN = """
-- A question asked for ever comes due an interval after it was last answered, however long the interval was then.
UPDATE lookups SET due_at = planned.at
FROM (SELECT value::timestamptz + make_interval(secs => %s) AS at FROM bookmarks
      WHERE connection_id = %s AND name = %s) AS planned
WHERE connection_id = %s AND kind = %s AND id = %s AND tries = 0 AND due_at > now() AND due_at <> planned.at
"""

ANSWERED = "DELETE FROM lookups WHERE connection_id = %s AND kind = %s AND id = %s"

NEXT_DUE = """
-- When a question is to be asked next, of those that are not being asked.
SELECT min(due_at) AS due_at FROM lookups WHERE connection_id = %s AND failed_at IS NULL
  AND (kind, id) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""


@dataclass(frozen=True, slots=True)
class Question:
    """Something to ask Kustomer."""

    kind: Kind
    id: str
    key: str | None = None
    """The key of the fact that the answer is expected to bring."""
    delay: float = 0.0
    """Seconds to wait before asking, since the answer may come by itself."""
    for_card: bool = False
    """Nothing but a card wants to know."""


@dataclass(frozen=True, slots=True)
class DueQuestion:
    """A question that may be asked now."""

    kind: Kind
    id: str
    tries: int
    answered: bool


async def ask(connection: AsyncConnection[DictRow], connection_id: str, questions: Sequence[Question]) -> None:
    """Owe questions."""
    columns = ([q.kind for q in questions], [q.id for q in questions], [q.key for q in questions])
    more = ([q.delay for q in questions], [q.for_card for q in questions])
    await connection.execute(ASK, (connection_id, *columns, *more))


async def due(
    database: Database, connection_id: str, limit: int, *, but: Iterable[tuple[Kind, str]] = ()
) -> list[DueQuestion]:
    """Return the questions that may be asked now, without those that are being asked."""
    asked = list(but)
    params = (connection_id, [kind for kind, _ in asked], [one for _, one in asked], limit)
    rows = await database.fetch(DUE, params)
    return [DueQuestion(Kind(row["kind"]), row["id"], row["tries"], row["answered"]) for row in rows]


async def answered(connection: AsyncConnection[DictRow], connection_id: str, question: DueQuestion) -> None:
    """Strike a question off."""
    await connection.execute(ANSWERED, (connection_id, question.kind, question.id))


async def later(
    database: Database, connection_id: str, question: DueQuestion, *, due_at: datetime, note: str, counts: bool = True
) -> None:
    """Ask again at the given time; a try that does not count lets the question wait no longer the next time."""
    await database.execute(LATER, (int(counts), due_at, note, connection_id, question.kind, question.id))


async def ask_failed(connection: AsyncConnection[DictRow], connection_id: str) -> int:
    """Ask again what was given up; returns how many questions that are."""
    return (await connection.execute(ASK_FAILED, (connection_id,))).rowcount


async def again(
    connection: AsyncConnection[DictRow], connection_id: str, question: DueQuestion, *, due_at: datetime
) -> None:
    """Ask a question anew at the given time, though it was answered."""
    await connection.execute(AGAIN, (due_at, connection_id, question.kind, question.id))


async def failed(
    connection: AsyncConnection[DictRow],
    connection_id: str,
    question: DueQuestion,
    *,
    reason: str,
    error: str | None = None,
) -> None:
    """Ask no more, for a reason; ``error`` is the traceback of a fault of ours."""
    await connection.execute(FAILED, (reason, error, connection_id, question.kind, question.id))


async def plan(
    connection: AsyncConnection[DictRow], connection_id: str, question: Question, *, last: str, seconds: float
) -> None:
    """Let a question that is asked for ever come due after an interval; ``last`` is the bookmark of its last time."""
    params = (seconds, connection_id, last, connection_id, question.kind, question.id)
    await connection.execute(PLAN, params)


async def next_due(database: Database, connection_id: str, *, but: Iterable[tuple[Kind, str]] = ()) -> datetime | None:
    """Return when the next question may be asked, of all but some; None when none is owed."""
    asked = list(but)
    params = (connection_id, [kind for kind, _ in asked], [one for _, one in asked])
    rows = await database.fetch(NEXT_DUE, params)
    due_at: datetime | None = rows[0]["due_at"]
    return due_at
