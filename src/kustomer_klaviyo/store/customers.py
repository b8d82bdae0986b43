"""Who the customers are, kept locally so that no event waits for a look-up; ordered by revision."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database

SAVE = """
-- An older revision never overrides a newer one; an equal one says the same again. Who is gone stays gone, unless a
-- document was written after that was found out. A contact that the key may not read stays as it was.
INSERT INTO people (connection_id, customer_id, rev, fingerprint, contacts, email, phone, gone, left_out, profile,
                    counted_open, counted_at, seen_at, masked, notes, usable_emails, usable_phones)
SELECT %s, customer_id, rev, fingerprint, contacts, email, phone, gone, left_out, profile, counted_open, counted_at,
       seen_at,
       ARRAY(SELECT jsonb_array_elements_text(masked)), ARRAY(SELECT jsonb_array_elements_text(notes)),
       ARRAY(SELECT jsonb_array_elements_text(usable_emails)), ARRAY(SELECT jsonb_array_elements_text(usable_phones))
FROM unnest(%s::text[], %s::int[], %s::text[], %s::jsonb[], %s::text[], %s::text[], %s::boolean[], %s::text[],
            %s::jsonb[], %s::int[], %s::timestamptz[], %s::timestamptz[], %s::jsonb[], %s::jsonb[], %s::jsonb[],
            %s::jsonb[])
     AS news (customer_id, rev, fingerprint, contacts, email, phone, gone, left_out, profile, counted_open, counted_at,
              seen_at, masked, notes, usable_emails, usable_phones)
ON CONFLICT (connection_id, customer_id) DO UPDATE SET
    rev = greatest(people.rev, excluded.rev), fingerprint = excluded.fingerprint, contacts = excluded.contacts,
    email = CASE WHEN 'email' = ANY(excluded.masked) THEN people.email
                 ELSE first_usable(excluded.usable_emails, people.refused_contacts) END,
    phone = CASE WHEN 'phone' = ANY(excluded.masked) THEN people.phone
                 ELSE first_usable(excluded.usable_phones, people.refused_contacts) END,
    usable_emails = CASE WHEN 'email' = ANY(excluded.masked) THEN people.usable_emails ELSE excluded.usable_emails END,
    usable_phones = CASE WHEN 'phone' = ANY(excluded.masked) THEN people.usable_phones ELSE excluded.usable_phones END,
    refused_contacts = CASE WHEN excluded.masked <> '{}' THEN people.refused_contacts
        ELSE still_usable(people.refused_contacts, excluded.usable_emails || excluded.usable_phones) END,
    gone = excluded.gone, seen_at = excluded.seen_at, left_out = excluded.left_out, profile = excluded.profile,
    counted_open = excluded.counted_open, counted_at = excluded.counted_at, masked = excluded.masked,
    notes = excluded.notes, updated_at = now()
WHERE excluded.gone OR (people.rev <= excluded.rev AND (NOT people.gone OR people.seen_at < excluded.seen_at))
RETURNING customer_id
"""

ADVANCE = """
-- Activity-only updates raise the revision, so that an older document arriving late stays older. Only where the same
-- identity stands already: a newer one may still wait in the inbox, and must not look old when its turn comes.
-- Whoever is locked is left for the next time and returned: waiting for one customer while others are locked here
-- would be a deadlock with whoever processes events.
WITH behind AS MATERIALIZED (
    SELECT connection_id, customer_id, news.rev
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[]) AS news (connection_id, customer_id, rev, fingerprint)
         JOIN people USING (connection_id, customer_id)
    WHERE people.fingerprint = news.fingerprint AND people.rev < news.rev
), free AS MATERIALIZED (
    SELECT people.connection_id, people.customer_id, behind.rev, people.fingerprint
    FROM behind JOIN people USING (connection_id, customer_id) FOR NO KEY UPDATE OF people SKIP LOCKED
), raised AS (
    UPDATE people SET rev = free.rev FROM free
    WHERE people.connection_id = free.connection_id AND people.customer_id = free.customer_id
      AND people.fingerprint = free.fingerprint AND people.rev < free.rev
)
SELECT connection_id, customer_id FROM behind EXCEPT SELECT connection_id, customer_id FROM free
"""

KNOWN = """
-- What is known of some customers' revisions and identities.
SELECT connection_id, customer_id, rev, fingerprint FROM people
WHERE (connection_id, customer_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

IDENTIFIED = """
-- The identifiers of some customers; who became part of another is known by the other's.
SELECT asked.customer_id, person.email, nullif(person.phone, person.taken_phone) AS phone, person.gone, person.left_out,
       person.phone = person.taken_phone AS is_taken, person.refused_contacts <> '{}' AS is_refused
FROM people AS asked JOIN people AS person ON person.connection_id = asked.connection_id
     AND person.customer_id = coalesce(asked.merged_into, asked.customer_id)
WHERE asked.connection_id = %s AND asked.customer_id = ANY(%s::text[])
"""

REACHABLE = """
-- By what Klaviyo may know some customers; who became part of another is that other.
SELECT asked.customer_id AS asked, person.customer_id, person.email, person.phone, person.contacts, person.masked,
       person.gone, person.klaviyo_id
FROM people AS asked JOIN people AS person ON person.connection_id = asked.connection_id
     AND person.customer_id = coalesce(asked.merged_into, asked.customer_id)
WHERE asked.connection_id = %s AND asked.customer_id = ANY(%s::text[])
"""

PROFILED = """
-- All that decides what is to be written of some customers, kept from being changed meanwhile.
SELECT customer_id, email, phone, gone, left_out, profile, masked, notes, counted_open, counted_at, stated, statements,
       klaviyo_id, merged_into, taken_phone, refused_contacts,
       ARRAY(SELECT DISTINCT seen #>> '{conversation,brand_id}' FROM conversations AS c
             WHERE c.connection_id = people.connection_id AND c.customer_id = ANY (people.customer_id || ARRAY(
                   SELECT part.customer_id FROM people AS part
                   WHERE part.connection_id = people.connection_id AND part.merged_into = people.customer_id))
       ) AS brands
FROM people WHERE connection_id = %s AND customer_id = ANY(%s::text[]) ORDER BY customer_id FOR UPDATE
"""

STATE = """
-- What Klaviyo is about to be told.
UPDATE people SET stated = news.stated, statements = news.statements
FROM unnest(%s::text[], %s::jsonb[], %s::int[]) AS news (customer_id, stated, statements)
WHERE people.connection_id = %s AND people.customer_id = news.customer_id
"""

DOUBT = """
-- What was told of some people may not be so: the next write says everything again. Of a write that failed, Klaviyo
-- still knows the former address or number, and still holds what was to be cleared.
UPDATE people SET stated = CASE WHEN stated = '{}' THEN stated ELSE
        stated || former || jsonb_build_object('doubt', true, 'fields',
            coalesce(stated -> 'fields', '{}') || coalesce(former -> 'fields', '{}')) END
FROM unnest(%s::text[], %s::jsonb[]) AS doubted (customer_id, former)
WHERE people.connection_id = %s AND people.customer_id = doubted.customer_id
"""

NAMED = """
-- Of which of these customers it is known where Klaviyo keeps them, and was seen lately.
SELECT customer_id FROM people
WHERE connection_id = %s AND customer_id = ANY(%s::text[]) AND klaviyo_id IS NOT NULL
  AND klaviyo_seen > now() - %s::interval
"""

NAME_PROFILES = """
-- Remember under which id Klaviyo keeps each person.
UPDATE people SET klaviyo_id = news.klaviyo_id, klaviyo_seen = now()
FROM unnest(%s::text[], %s::text[]) AS news (customer_id, klaviyo_id)
WHERE people.connection_id = %s AND people.customer_id = news.customer_id
"""

SHARERS = """
-- Living customers who have the address or the number of another, or were told of under it.
SELECT customer_id FROM people
WHERE connection_id = %(connection)s AND customer_id <> %(customer)s AND NOT gone
  AND (lower(email) = ANY(%(emails)s::text[]) OR phone = ANY(%(phones)s::text[])
       OR stated_email = ANY(%(emails)s::text[]))
"""

MERGE = """
-- A customer became part of another, or of whom that one had become part of since; so did those who had become part of
-- that customer before.
WITH survivor AS (
    SELECT coalesce(merged_into, customer_id) AS id FROM people
    WHERE connection_id = %(connection)s AND customer_id = %(target)s
)
UPDATE people SET merged_into = survivor.id FROM survivor
WHERE connection_id = %(connection)s AND (customer_id = %(source)s OR merged_into = %(source)s)
  AND customer_id <> survivor.id
RETURNING survivor.id
"""


FORGET_GONE = """
-- Whatever Kustomer says next of these customers is news.
UPDATE people SET gone = false, seen_at = NULL, rev = 0, fingerprint = ''
WHERE connection_id = %s AND customer_id = ANY(%s::text[])
"""

ALIASES = """
-- Who of these customers became part of whom, and who else became part of them.
SELECT customer_id, merged_into FROM people
WHERE connection_id = %(connection)s AND merged_into IS NOT NULL
  AND (customer_id = ANY(%(ids)s::text[]) OR merged_into = ANY(%(ids)s::text[] || ARRAY(
       SELECT merged_into FROM people
       WHERE connection_id = %(connection)s AND customer_id = ANY(%(ids)s::text[]) AND merged_into IS NOT NULL)))
"""


@dataclass(frozen=True, slots=True)
class Person:
    """A customer with the identifiers chosen for Klaviyo, and what their profile is to hold."""

    customer_id: str
    rev: int
    fingerprint: str
    contacts: dict[str, Any]
    email: str | None
    phone: str | None
    gone: bool = False
    """Kustomer no longer knows this customer: deleted, or merged into another."""
    left_out: str | None = None
    """Why a setting keeps the customer from Klaviyo altogether."""
    profile: dict[str, Any] = field(default_factory=dict)
    """The mapped fields by their flat names."""
    masked: tuple[str, ...] = ()
    """What the API key may not read, by the names of fields, ``email`` and ``phone``."""
    notes: tuple[str, ...] = ()
    """What was left out, and why."""
    counted_open: int | None = None
    counted_at: datetime | None = None
    seen_at: datetime | None = None
    """When Kustomer wrote the document, or was found to have none."""
    usable_emails: tuple[str, ...] = ()
    """The addresses that Klaviyo may take, the one chosen first."""
    usable_phones: tuple[str, ...] = ()
    """The numbers likewise."""


def vanished(customer_id: str) -> Person:
    """Return a customer of whom all that is known is that Kustomer no longer has them."""
    return Person(customer_id, 0, "gone", {}, None, None, gone=True, seen_at=datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What Klaviyo is to know a person by."""

    email: str | None
    phone: str | None
    gone: bool = False
    left_out: str | None = None
    is_taken: bool = False
    """There is a number, but Klaviyo keeps it under another profile."""
    is_refused: bool = False
    """Klaviyo did not take an address or number of theirs."""


@dataclass(frozen=True, slots=True)
class Reachable:
    """All by which Klaviyo may know a customer."""

    customer_id: str
    email: str | None
    phone: str | None
    contacts: dict[str, Any]
    masked: tuple[str, ...]
    gone: bool
    klaviyo_id: str | None


@dataclass(frozen=True, slots=True)
class Profiled:
    """All that is kept of a person for writing their profile."""

    customer_id: str
    email: str | None
    phone: str | None
    gone: bool
    left_out: str | None
    profile: dict[str, Any]
    masked: tuple[str, ...]
    notes: tuple[str, ...]
    counted_open: int | None
    counted_at: datetime | None
    stated: dict[str, Any]
    """What Klaviyo was last told."""
    statements: int
    """How often it was told something."""
    klaviyo_id: str | None
    merged_into: str | None
    taken_phone: str | None
    """A number that Klaviyo keeps under another profile, so that it is nothing to know this person by."""
    brands: tuple[str | None, ...]
    """Those of the person's conversations; None for a conversation without one."""
    refused_contacts: tuple[str, ...] = ()
    """Addresses and numbers that Klaviyo did not take."""


async def reachable(database: Database, connection_id: str, customer_ids: Sequence[str]) -> dict[str, Reachable]:
    """Return by what Klaviyo may know those of the customers who are known here."""
    rows = await database.fetch(REACHABLE, (connection_id, list(customer_ids)))
    return {row.pop("asked"): Reachable(**row | {"masked": tuple(row["masked"])}) for row in rows}


async def save(connection: AsyncConnection[DictRow], connection_id: str, people: Sequence[Person]) -> set[str]:
    """Keep the newest of each customer; returns those that were new or newer."""
    newest: dict[str, Person] = {}
    for person in people:
        known = newest.get(person.customer_id)
        if known is None or known.rev <= person.rev:
            newest[person.customer_id] = person
    # One order everywhere, so that two writers never wait for one another.
    rows = sorted(newest.values(), key=lambda person: person.customer_id)
    columns = (
        [person.customer_id for person in rows],
        [person.rev for person in rows],
        [person.fingerprint for person in rows],
        [Jsonb(person.contacts) for person in rows],
        [person.email for person in rows],
        [person.phone for person in rows],
        [person.gone for person in rows],
        [person.left_out for person in rows],
        [Jsonb(person.profile) for person in rows],
        [person.counted_open for person in rows],
        [person.counted_at for person in rows],
        [person.seen_at for person in rows],
        [Jsonb(person.masked) for person in rows],
        [Jsonb(person.notes) for person in rows],
        [Jsonb(person.usable_emails) for person in rows],
        [Jsonb(person.usable_phones) for person in rows],
    )
    saved = await (await connection.execute(SAVE, (connection_id, *columns))).fetchall()
    return {row["customer_id"] for row in saved}


async def advance(database: Database, news: Sequence[tuple[str, str, int, str]]) -> set[tuple[str, str]]:
    """Raise revisions of customers of whom nothing else changed: (connection, customer, revision, fingerprint).

    Returns the (connection, customer) pairs that are locked by somebody else now, to be tried again.
    """
    rows = await database.fetch(ADVANCE, tuple(map(list, zip(*news, strict=True))))
    return {(row["connection_id"], row["customer_id"]) for row in rows}


async def known(
    connection: AsyncConnection[DictRow], wanted: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], tuple[int, str]]:
    """Return (revision, fingerprint) of those (connection, customer) pairs that are known."""
    columns = ([pair[0] for pair in wanted], [pair[1] for pair in wanted])
    rows = await (await connection.execute(KNOWN, columns)).fetchall()
    return {(row["connection_id"], row["customer_id"]): (row["rev"], row["fingerprint"]) for row in rows}


async def identified(
    connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]
) -> dict[str, Identifiers]:
    """Return the identifiers of those customers that are known."""
    rows = await (await connection.execute(IDENTIFIED, (connection_id, list(customer_ids)))).fetchall()
    return {row.pop("customer_id"): Identifiers(**row | {"is_taken": bool(row["is_taken"])}) for row in rows}


async def profiled(
    connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]
) -> list[Profiled]:
    """Return what is kept of those customers that are known, locked until the transaction ends."""
    rows = await (await connection.execute(PROFILED, (connection_id, sorted(customer_ids)))).fetchall()
    lists = ("masked", "notes", "refused_contacts", "brands")
    return [Profiled(**(row | {name: tuple(row[name]) for name in lists})) for row in rows]


async def state(
    connection: AsyncConnection[DictRow], connection_id: str, news: Sequence[tuple[str, dict[str, Any], int]]
) -> None:
    """Keep what Klaviyo is about to be told: (customer, statement, how many there were with it)."""
    columns = ([one[0] for one in news], [Jsonb(one[1]) for one in news], [one[2] for one in news])
    await connection.execute(STATE, (*columns, connection_id))


async def doubt(
    connection: AsyncConnection[DictRow], connection_id: str, doubted: Mapping[str, Mapping[str, Any]]
) -> None:
    """Let the next write of some customers say everything again.

    Each with what Klaviyo still has otherwise than it was last told: ``email``, ``phone``, ``fields``.
    """
    await connection.execute(DOUBT, (list(doubted), [Jsonb(former) for former in doubted.values()], connection_id))


async def named(database: Database, connection_id: str, customer_ids: Sequence[str], *, age: timedelta) -> set[str]:
    """Return those of the customers whose Klaviyo profiles were seen, no longer ago than that."""
    rows = await database.fetch(NAMED, (connection_id, list(customer_ids), age))
    return {row["customer_id"] for row in rows}


async def sharers(
    connection: AsyncConnection[DictRow], connection_id: str, customer_id: str, identifiers: Collection[str]
) -> list[str]:
    """Return the other customers who are there and have one of these addresses or numbers."""
    params = {
        "connection": connection_id,
        "customer": customer_id,
        "emails": [one.lower() for one in identifiers if "@" in one],
        "phones": [one for one in identifiers if "@" not in one],
    }
    rows = await (await connection.execute(SHARERS, params)).fetchall()
    return [row["customer_id"] for row in rows]


async def name_profiles(
    connection: AsyncConnection[DictRow], connection_id: str, ids: Mapping[str, str | None]
) -> None:
    """Remember the Klaviyo profile ids of customers; None forgets one that is no longer there."""
    await connection.execute(NAME_PROFILES, (list(ids), list(ids.values()), connection_id))


async def merge(connection: AsyncConnection[DictRow], connection_id: str, *, source: str, target: str) -> str | None:
    """Remember that a customer became part of another; returns the one whom both are now.

    None when they are one already, or the target is not known.
    """
    params = {"connection": connection_id, "source": source, "target": target}
    row = await (await connection.execute(MERGE, params)).fetchone()
    return None if row is None else row["id"]


async def aliases(
    connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]
) -> dict[str, str]:
    """Return into whom customers were merged: these ones, and those who became part of the same person."""
    params = {"connection": connection_id, "ids": list(customer_ids)}
    rows = await (await connection.execute(ALIASES, params)).fetchall()
    return {row["customer_id"]: row["merged_into"] for row in rows}


async def forget_gone(connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]) -> None:
    """Forget that customers were gone, so that they are asked for again."""
    await connection.execute(FORGET_GONE, (connection_id, list(customer_ids)))
