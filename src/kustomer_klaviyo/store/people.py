"""Who the customers are, kept locally so that no event waits for a look-up; ordered by revision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database

SAVE = """
-- An older revision never overrides a newer one; an equal one says the same again; being gone outlives every revision.
-- A contact that the key may not read stays as it was.
INSERT INTO people (connection_id, customer_id, rev, fingerprint, contacts, email, phone, gone, left_out, profile,
                    counted_open, counted_at, masked, notes)
SELECT %s, customer_id, rev, fingerprint, contacts, email, phone, gone, left_out, profile, counted_open, counted_at,
       ARRAY(SELECT jsonb_array_elements_text(masked)), ARRAY(SELECT jsonb_array_elements_text(notes))
FROM unnest(%s::text[], %s::int[], %s::text[], %s::jsonb[], %s::text[], %s::text[], %s::boolean[], %s::text[],
            %s::jsonb[], %s::int[], %s::timestamptz[], %s::jsonb[], %s::jsonb[])
     AS news (customer_id, rev, fingerprint, contacts, email, phone, gone, left_out, profile, counted_open, counted_at,
              masked, notes)
ON CONFLICT (connection_id, customer_id) DO UPDATE SET
    rev = greatest(people.rev, excluded.rev), fingerprint = excluded.fingerprint, contacts = excluded.contacts,
    email = CASE WHEN 'email' = ANY(excluded.masked) THEN people.email ELSE excluded.email END,
    phone = CASE WHEN 'phone' = ANY(excluded.masked) THEN people.phone ELSE excluded.phone END,
    gone = excluded.gone, left_out = excluded.left_out, profile = excluded.profile,
    counted_open = excluded.counted_open, counted_at = excluded.counted_at, masked = excluded.masked,
    notes = excluded.notes, updated_at = now()
WHERE people.rev <= excluded.rev OR excluded.gone
RETURNING customer_id
"""

ADVANCE = """
-- Activity-only updates raise the revision, so that an older document arriving late stays older. Only where the same
-- identity stands already: a newer one may still wait in the inbox, and must not look old when its turn comes.
UPDATE people SET rev = news.rev
FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[]) AS news (connection_id, customer_id, rev, fingerprint)
WHERE people.connection_id = news.connection_id AND people.customer_id = news.customer_id
  AND people.fingerprint = news.fingerprint AND people.rev < news.rev
"""

KNOWN = """
-- What is known of some customers' revisions and identities.
SELECT connection_id, customer_id, rev, fingerprint FROM people
WHERE (connection_id, customer_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

IDENTIFIED = """
-- The identifiers of some customers; who became part of another is known by the other's.
SELECT asked.customer_id, person.email, person.phone, person.gone, person.left_out
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
       klaviyo_id, merged_into,
       ARRAY(SELECT DISTINCT seen #>> '{conversation,brand_id}' FROM conversations AS c
             WHERE c.connection_id = people.connection_id AND c.customer_id = people.customer_id) AS brands
FROM people WHERE connection_id = %s AND customer_id = ANY(%s::text[]) ORDER BY customer_id FOR UPDATE
"""

STATE = """
-- What Klaviyo is about to be told.
UPDATE people SET stated = news.stated, statements = news.statements
FROM unnest(%s::text[], %s::jsonb[], %s::int[]) AS news (customer_id, stated, statements)
WHERE people.connection_id = %s AND people.customer_id = news.customer_id
"""

UNSTATE = """
-- A write failed: the next one says everything again. The address by which Klaviyo knows the person stays known.
UPDATE people SET stated = stated - 'fields' WHERE connection_id = %s AND customer_id = ANY(%s::text[])
"""

NAMED = """
-- Of which of these customers it is known where Klaviyo keeps them.
SELECT customer_id FROM people
WHERE connection_id = %s AND customer_id = ANY(%s::text[]) AND klaviyo_id IS NOT NULL
"""

NAME_PROFILES = """
-- Remember under which id Klaviyo keeps each person.
UPDATE people SET klaviyo_id = news.klaviyo_id
FROM unnest(%s::text[], %s::text[]) AS news (customer_id, klaviyo_id)
WHERE people.connection_id = %s AND people.customer_id = news.customer_id
  AND people.klaviyo_id IS DISTINCT FROM news.klaviyo_id
"""

MERGE = """
-- A customer became part of another; so did those who had become part of that customer before.
UPDATE people SET merged_into = %(target)s
WHERE connection_id = %(connection)s AND (customer_id = %(source)s OR merged_into = %(source)s)
"""


FORGET_GONE = """
-- Whatever Kustomer says next of these customers is news.
UPDATE people SET gone = false, rev = 0, fingerprint = '' WHERE connection_id = %s AND customer_id = ANY(%s::text[])
"""

ALIASES = """
-- Who of these customers became part of whom, and who else became part of them.
SELECT customer_id, merged_into FROM people
WHERE connection_id = %(connection)s AND merged_into IS NOT NULL
  AND (customer_id = ANY(%(ids)s::text[]) OR merged_into = ANY(%(ids)s::text[])
       OR merged_into IN (SELECT merged_into FROM people
                          WHERE connection_id = %(connection)s AND customer_id = ANY(%(ids)s::text[])))
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


def vanished(customer_id: str) -> Person:
    """Return a customer of whom all that is known is that Kustomer no longer has them."""
    return Person(customer_id, 0, "gone", {}, None, None, gone=True)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What Klaviyo is to know a person by."""

    email: str | None
    phone: str | None
    gone: bool = False
    left_out: str | None = None


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
    brands: tuple[str | None, ...]
    """Those of the person's conversations; None for a conversation without one."""


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
        [Jsonb(person.masked) for person in rows],
        [Jsonb(person.notes) for person in rows],
    )
    saved = await (await connection.execute(SAVE, (connection_id, *columns))).fetchall()
    return {row["customer_id"] for row in saved}


async def advance(database: Database, news: Sequence[tuple[str, str, int, str]]) -> None:
    """Raise revisions of customers of whom nothing else changed: (connection, customer, revision, fingerprint)."""
    await database.execute(ADVANCE, tuple(map(list, zip(*sorted(news), strict=True))))


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
    return {row["customer_id"]: Identifiers(row["email"], row["phone"], row["gone"], row["left_out"]) for row in rows}


async def profiled(
    connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]
) -> list[Profiled]:
    """Return what is kept of those customers that are known, locked until the transaction ends."""
    rows = await (await connection.execute(PROFILED, (connection_id, sorted(customer_ids)))).fetchall()
    lists = ("masked", "notes", "brands")
    return [Profiled(**(row | {name: tuple(row[name]) for name in lists})) for row in rows]


async def state(
    connection: AsyncConnection[DictRow], connection_id: str, news: Sequence[tuple[str, dict[str, Any], int]]
) -> None:
    """Keep what Klaviyo is about to be told: (customer, statement, how many there were with it)."""
    columns = ([one[0] for one in news], [Jsonb(one[1]) for one in news], [one[2] for one in news])
    await connection.execute(STATE, (*columns, connection_id))


async def unstate(connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]) -> None:
    """Let the next write of these customers say everything again."""
    await connection.execute(UNSTATE, (connection_id, list(customer_ids)))


async def named(database: Database, connection_id: str, customer_ids: Sequence[str]) -> set[str]:
    """Return those of the customers whose Klaviyo profile ids are remembered."""
    return {row["customer_id"] for row in await database.fetch(NAMED, (connection_id, list(customer_ids)))}


async def name_profiles(
    connection: AsyncConnection[DictRow], connection_id: str, ids: Mapping[str, str | None]
) -> None:
    """Remember the Klaviyo profile ids of customers; None forgets one that is no longer there."""
    await connection.execute(NAME_PROFILES, (list(ids), list(ids.values()), connection_id))


async def merge(connection: AsyncConnection[DictRow], connection_id: str, *, source: str, target: str) -> None:
    """Remember that a customer became part of another."""
    await connection.execute(MERGE, {"connection": connection_id, "source": source, "target": target})


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
