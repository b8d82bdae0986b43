"""Queued reads from Kustomer's API: unknown customers, and conversations that need another read."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from kustomer_klaviyo.reasons import LookupReason
from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.row_columns import RowColumns


class LookupKind(StrEnum):
    """What is looked up."""

    CUSTOMER = "customer"
    CONVERSATION = "conversation"
    MERGE = "merge"
    """What a removed customer was merged into."""
    SWEEP = "sweep"
    """Which customers were deleted recently."""
    WEBHOOK = "webhook"
    """Whether this connection's webhook is still switched on."""


RECURRING = (LookupKind.SWEEP, LookupKind.WEBHOOK)
"""Lookups that are repeated at intervals and never complete."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """Something to read from Kustomer."""

    kind: LookupKind
    id: str
    expected_fact_key: str | None = None
    """The key of the fact that the response is expected to contain."""
    delay_seconds: float = 0.0
    """How long to wait first, because a webhook may bring the same."""
    for_card: bool = False
    """Only a card needs the response."""


@dataclass(frozen=True, slots=True)
class DueLookup:
    """A lookup that may run now."""

    kind: LookupKind
    id: str
    attempts: int
    is_obsolete: bool
    """The expected fact was recorded meanwhile."""


_LOOKUPS = RowColumns(Lookup)

ENQUEUE = _LOOKUPS.sql("""
-- A queued lookup is not queued again; a failed one starts again, and so does one that only a card needed.
INSERT INTO lookups (connection_id, kind, id, expected_fact_key, due_at, for_card)
SELECT %(connection_id)s, kind, id, expected_fact_key, now() + make_interval(secs => delay_seconds), for_card
FROM {rows}
ON CONFLICT (connection_id, kind, id) DO UPDATE
SET failed_at = NULL, error_traceback = NULL, attempts = 0, due_at = excluded.due_at,
    expected_fact_key = excluded.expected_fact_key, for_card = lookups.for_card AND excluded.for_card
WHERE lookups.failed_at IS NOT NULL OR (lookups.for_card AND NOT excluded.for_card)
""")

DUE = """
-- The oldest lookups that may run now; those for cards come last. A lookup whose fact is recorded is obsolete.
SELECT kind, id, attempts, expected_fact_key IS NOT NULL AND EXISTS (
    SELECT FROM deliveries
    WHERE deliveries.connection_id = lookups.connection_id AND deliveries.fact_key = lookups.expected_fact_key
) AS is_obsolete
FROM lookups WHERE connection_id = %s AND failed_at IS NULL AND due_at <= now()
  AND (kind, id) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
ORDER BY for_card, due_at LIMIT %s
"""

RESCHEDULE = """
-- No usable response yet.
UPDATE lookups SET attempts = attempts + %s, due_at = %s, reason = %s, note = %s
WHERE connection_id = %s AND kind = %s AND id = %s
"""

REPEAT = """
-- A recurring lookup got its response; it runs again at the given time.
UPDATE lookups SET attempts = 0, due_at = %s, reason = NULL, note = NULL
WHERE connection_id = %s AND kind = %s AND id = %s
"""

FAIL = """
-- A lookup that cannot succeed now: an admin retries it, or the next event that requests it.
UPDATE lookups SET attempts = attempts + 1, failed_at = now(), reason = %s, note = %s, error_traceback = %s
WHERE connection_id = %s AND kind = %s AND id = %s
"""

RETRY_FAILED = """
-- An admin retries the failed lookups.
UPDATE lookups SET attempts = 0, due_at = now(), failed_at = NULL, error_traceback = NULL
WHERE connection_id = %s AND failed_at IS NOT NULL
"""

ENQUEUE_RECURRING = """
-- Recurring lookups of many connections that are not queued, or that failed.
INSERT INTO lookups (connection_id, kind, id)
SELECT wanted.connection_id, wanted.kind, wanted.id
FROM unnest(%s::text[], %s::text[], %s::text[]) AS wanted (connection_id, kind, id)
WHERE NOT EXISTS (SELECT FROM lookups AS queued WHERE queued.connection_id = wanted.connection_id
                  AND queued.kind = wanted.kind AND queued.id = wanted.id AND queued.failed_at IS NULL)
ON CONFLICT (connection_id, kind, id) DO UPDATE
SET failed_at = NULL, error_traceback = NULL, attempts = 0, due_at = now() WHERE lookups.failed_at IS NOT NULL
"""

SET_INTERVALS = """
-- A recurring lookup is due an interval after its last response, whatever the interval was then.
UPDATE lookups SET due_at = planned.at
FROM (SELECT wanted.connection_id, value::timestamptz + make_interval(secs => wanted.seconds) AS at
      FROM unnest(%s::text[], %s::float8[]) AS wanted (connection_id, seconds)
      JOIN bookmarks ON bookmarks.connection_id = wanted.connection_id AND bookmarks.name = %s) AS planned
WHERE lookups.connection_id = planned.connection_id AND kind = %s AND id = %s
  AND attempts = 0 AND due_at > now() AND due_at <> planned.at
"""

CLAIM_RECURRING = """
-- Takes recurring lookups that are due. They are due again after a while, in case that their process ends meanwhile.
UPDATE lookups SET due_at = now() + make_interval(secs => %s)
FROM (SELECT connection_id, kind, id FROM lookups
      WHERE failed_at IS NULL AND kind IN ('sweep', 'webhook') AND due_at <= now()
      ORDER BY due_at LIMIT %s FOR UPDATE SKIP LOCKED) AS due
WHERE lookups.connection_id = due.connection_id AND lookups.kind = due.kind AND lookups.id = due.id
RETURNING lookups.connection_id, lookups.kind, lookups.id, lookups.attempts
"""

COMPLETE = "DELETE FROM lookups WHERE connection_id = %s AND kind = %s AND id = %s"

NEXT_DUE = """
-- When the next lookup is due, of those that are not running.
SELECT min(due_at) AS due_at FROM lookups WHERE connection_id = %s AND failed_at IS NULL
  AND (kind, id) NOT IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""


async def enqueue(tx: Transaction, connection_id: str, lookups: Sequence[Lookup]) -> None:
    """Queue lookups."""
    await tx.execute(ENQUEUE, _LOOKUPS.params(lookups) | {"connection_id": connection_id})


async def due(
    db: Database, connection_id: str, limit: int, *, exclude: Iterable[tuple[LookupKind, str]] = ()
) -> list[DueLookup]:
    """Return the lookups that may run now, except some, such as those that are running."""
    rows = await db.fetch(DUE, (connection_id, *_columns(exclude), limit))
    return [DueLookup(LookupKind(row["kind"]), row["id"], row["attempts"], row["is_obsolete"]) for row in rows]


async def complete(tx: Transaction, connection_id: str, lookup: DueLookup) -> None:
    """Delete a lookup that got its response."""
    await tx.execute(COMPLETE, (connection_id, lookup.kind, lookup.id))


async def reschedule(
    db: Database,
    connection_id: str,
    lookup: DueLookup,
    *,
    due_at: datetime,
    reason: LookupReason,
    note: str,
    counts_attempt: bool = True,
) -> None:
    """Run a lookup again at the given time. An attempt that does not count leaves the backoff as it is."""
    params = (int(counts_attempt), due_at, reason, note, connection_id, lookup.kind, lookup.id)
    await db.execute(RESCHEDULE, params)


async def repeat(tx: Transaction, connection_id: str, lookup: DueLookup, *, due_at: datetime) -> None:
    """Run a recurring lookup, which got its response, again at the given time."""
    await tx.execute(REPEAT, (due_at, connection_id, lookup.kind, lookup.id))


async def fail(
    tx: Transaction,
    connection_id: str,
    lookup: DueLookup,
    *,
    reason: LookupReason,
    note: str,
    error_traceback: str | None = None,
) -> None:
    """Fail a lookup; ``error_traceback`` is the traceback of an error of this program."""
    await tx.execute(FAIL, (reason, note, error_traceback, connection_id, lookup.kind, lookup.id))


async def retry_failed(tx: Transaction, connection_id: str) -> int:
    """Queue failed lookups for another attempt; returns how many."""
    return (await tx.execute(RETRY_FAILED, (connection_id,))).rowcount


async def enqueue_recurring(tx: Transaction, wanted: Sequence[tuple[str, Lookup]]) -> None:
    """Queue recurring lookups, each of a connection, unless they are queued."""
    columns = ([connection_id for connection_id, _ in wanted], *_columns((each.kind, each.id) for _, each in wanted))
    await tx.execute(ENQUEUE_RECURRING, columns)


async def claim_recurring(db: Database, limit: int, *, seconds: float) -> list[tuple[str, DueLookup]]:
    """Take recurring lookups that are due, each with its connection. Others may take them again after some seconds."""
    return [
        (row["connection_id"], DueLookup(LookupKind(row["kind"]), row["id"], row["attempts"], is_obsolete=False))
        for row in await db.fetch(CLAIM_RECURRING, (seconds, limit))
    ]


async def set_intervals(tx: Transaction, seconds: Mapping[str, float], lookup: Lookup, *, bookmark: str) -> None:
    """Set the interval of a recurring lookup by connection; the bookmark holds the time of its last response."""
    params = (list(seconds), list(map(float, seconds.values())), bookmark, lookup.kind, lookup.id)
    await tx.execute(SET_INTERVALS, params)


async def next_due(
    db: Database, connection_id: str, *, exclude: Iterable[tuple[LookupKind, str]] = ()
) -> datetime | None:
    """Return when the next lookup is due, except some; None when there is none."""
    rows = await db.fetch(NEXT_DUE, (connection_id, *_columns(exclude)))
    due_at: datetime | None = rows[0]["due_at"]
    return due_at


def _columns(pairs: Iterable[tuple[LookupKind, str]]) -> tuple[list[str], list[str]]:
    listed = list(pairs)
    return [kind for kind, _ in listed], [lookup_id for _, lookup_id in listed]
