"""Whether each conversation is open, as last seen: what the count of a person's open conversations rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.facts import Conversation
from kustomer_klaviyo.store.database import Database

SAVE = """
-- An older revision never overrides a newer one; one that names no customer leaves it whose it was. Returns those that
-- are news, with whose they were before.
WITH former AS (
    SELECT conversation_id, customer_id FROM conversations
    WHERE connection_id = %(connection)s AND conversation_id = ANY(%(ids)s::text[])
)
INSERT INTO conversations (connection_id, conversation_id, customer_id, rev, fingerprint, seen, turns, unanswered_rev)
SELECT %(connection)s, * FROM unnest(%(ids)s::text[], %(customers)s::text[], %(revs)s::int[], %(fingerprints)s::text[],
                                     %(seen)s::jsonb[], %(turns)s::jsonb[], %(unanswered)s::int[])
ON CONFLICT (connection_id, conversation_id) DO UPDATE SET
    customer_id = coalesce(excluded.customer_id, conversations.customer_id), rev = excluded.rev,
    fingerprint = excluded.fingerprint, seen = excluded.seen, turns = conversations.turns || excluded.turns,
    unanswered_rev = greatest(excluded.unanswered_rev, conversations.unanswered_rev)
WHERE conversations.rev <= excluded.rev
RETURNING customer_id, (SELECT former.customer_id FROM former WHERE former.conversation_id =
                        conversations.conversation_id) AS former_customer_id
"""

KNOWN = """
-- What is known of some conversations' revisions and standing.
SELECT connection_id, conversation_id, rev, fingerprint FROM conversations
WHERE (connection_id, conversation_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

ADVANCE = """
-- Of conversations seen unchanged the revision is raised, so that an older document arriving late stays older. As with
-- customers: whoever is locked is left for the next time and returned.
WITH behind AS MATERIALIZED (
    SELECT connection_id, conversation_id, news.rev
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[])
         AS news (connection_id, conversation_id, rev, fingerprint)
         JOIN conversations USING (connection_id, conversation_id)
    WHERE conversations.fingerprint = news.fingerprint AND conversations.rev < news.rev
), free AS MATERIALIZED (
    SELECT conversations.connection_id, conversations.conversation_id, behind.rev, conversations.fingerprint
    FROM behind JOIN conversations USING (connection_id, conversation_id)
    FOR NO KEY UPDATE OF conversations SKIP LOCKED
), raised AS (
    UPDATE conversations SET rev = free.rev FROM free
    WHERE conversations.connection_id = free.connection_id AND conversations.conversation_id = free.conversation_id
      AND conversations.fingerprint = free.fingerprint AND conversations.rev < free.rev
)
SELECT connection_id, conversation_id FROM behind EXCEPT SELECT connection_id, conversation_id FROM free
"""

NEWEST = """
-- How some conversations stand by the newest observation.
SELECT conversation_id, customer_id, (seen -> 'conversation') || jsonb_build_object('rev', rev) AS conversation,
       unanswered_rev
FROM conversations
WHERE connection_id = %s AND conversation_id = ANY(%s::text[])
"""

BEGAN = """
-- How many open conversations some customers began since their conversations were counted; all open ones but spam where
-- nobody counted.
SELECT customer_id, count(*) AS n
FROM unnest(%s::text[], %s::timestamptz[]) AS asked (id, counted_at)
     JOIN conversations ON customer_id = asked.id AND connection_id = %s
WHERE (seen ->> 'is_open')::boolean
  AND CASE WHEN counted_at IS NULL THEN NOT (seen #>> '{conversation,spam}')::boolean
           ELSE (seen ->> 'opened_at')::timestamptz > counted_at END
GROUP BY customer_id
"""

TURNED = """
-- The conversations that were there when some customers' conversations were counted, and turned since.
SELECT customer_id, seen || jsonb_build_object('turns', turns) AS seen
FROM unnest(%s::text[], %s::timestamptz[]) AS asked (id, counted_at)
     JOIN conversations ON customer_id = asked.id AND connection_id = %s
WHERE (seen ->> 'since')::timestamptz > counted_at AND (seen ->> 'opened_at')::timestamptz <= counted_at
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """A conversation as last seen."""

    conversation_id: str
    customer_id: str | None
    rev: int
    fingerprint: str
    document: dict[str, Any]
    turns: dict[str, bool]
    """When it opened or was done, by epoch milliseconds."""
    unanswered_rev: int = 0
    """The revision, where it shows a survey without a name that is not answered (yet)."""


@dataclass(frozen=True, slots=True)
class Newest:
    """A conversation by the newest observation of it."""

    customer_id: str | None
    """The newest that any observation named."""
    conversation: Conversation
    unanswered_rev: int = 0
    """The latest revision at which a survey without a name was seen unanswered; 0 when none was."""


async def save(connection: AsyncConnection[DictRow], connection_id: str, seen: Sequence[Seen]) -> set[str]:
    """Keep the newest of each conversation; returns the customers whom that concerns."""
    newest: dict[str, Seen] = {}
    turns: dict[str, dict[str, bool]] = {}
    for one in seen:
        turns.setdefault(one.conversation_id, {}).update(one.turns)
        known = newest.get(one.conversation_id)
        newest[one.conversation_id] = one if known is None else _joined(known, one)
    rows = sorted(newest.values(), key=lambda one: one.conversation_id)
    params = {
        "connection": connection_id,
        "ids": [one.conversation_id for one in rows],
        "customers": [one.customer_id for one in rows],
        "revs": [one.rev for one in rows],
        "fingerprints": [one.fingerprint for one in rows],
        "seen": [Jsonb(one.document) for one in rows],
        "turns": [Jsonb(turns[one.conversation_id]) for one in rows],
        "unanswered": [one.unanswered_rev for one in rows],
    }
    saved = await (await connection.execute(SAVE, params)).fetchall()
    concerned = {row["customer_id"] for row in saved} | {row["former_customer_id"] for row in saved}
    return {one for one in concerned if one is not None}


def _joined(one: Seen, other: Seen) -> Seen:
    """Return the newer observation, with what only the older one says."""
    older, newer = (other, one) if other.rev < one.rev else (one, other)
    return replace(
        newer,
        customer_id=newer.customer_id or older.customer_id,
        unanswered_rev=max(older.unanswered_rev, newer.unanswered_rev),
    )


async def newest(
    connection: AsyncConnection[DictRow], connection_id: str, conversation_ids: Sequence[str]
) -> dict[str, Newest]:
    """Return how those conversations stand that were seen."""
    rows = await (await connection.execute(NEWEST, (connection_id, list(conversation_ids)))).fetchall()
    return {
        row["conversation_id"]: Newest(
            row["customer_id"], msgspec.convert(row["conversation"], Conversation), row["unanswered_rev"]
        )
        for row in rows
    }


async def known(
    connection: AsyncConnection[DictRow], wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, str]]:
    """Return (revision, fingerprint) of those (connection, conversation) pairs that are known."""
    columns = ([pair[0] for pair in wanted], [pair[1] for pair in wanted])
    rows = await (await connection.execute(KNOWN, columns)).fetchall()
    return {(row["connection_id"], row["conversation_id"]): (row["rev"], row["fingerprint"]) for row in rows}


async def advance(database: Database, news: Sequence[tuple[str, str, int, str]]) -> set[tuple[str, str]]:
    """Raise revisions of conversations of which nothing else changed: (connection, id, revision, fingerprint).

    Returns the (connection, id) pairs that are locked by somebody else now, to be tried again.
    """
    rows = await database.fetch(ADVANCE, tuple(map(list, zip(*news, strict=True))))
    return {(row["connection_id"], row["conversation_id"]) for row in rows}


async def began(
    connection: AsyncConnection[DictRow], connection_id: str, counted_at: Mapping[str, datetime | None]
) -> dict[str, int]:
    """Return how many open conversations each customer began since theirs were counted at a time."""
    params = (list(counted_at), list(counted_at.values()), connection_id)
    rows = await (await connection.execute(BEGAN, params)).fetchall()
    return {row["customer_id"]: row["n"] for row in rows}


async def turned(
    connection: AsyncConnection[DictRow], connection_id: str, counted_at: Mapping[str, datetime | None]
) -> dict[str, list[dict[str, Any]]]:
    """Return the conversations of each customer, as last seen, that were counted at a time and turned since."""
    found: dict[str, list[dict[str, Any]]] = {}
    params = (list(counted_at), list(counted_at.values()), connection_id)
    for row in await (await connection.execute(TURNED, params)).fetchall():
        found.setdefault(row["customer_id"], []).append(row["seen"])
    return found
