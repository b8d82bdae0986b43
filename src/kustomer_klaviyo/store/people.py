"""Who the customers are, kept locally so that no event waits for a look-up; ordered by revision."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Database

SAVE = """
-- An older revision never overrides a newer one; an equal one says the same again.
INSERT INTO people (connection_id, customer_id, rev, fingerprint, contacts, email, phone, gone)
SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::text[], %s::jsonb[], %s::text[], %s::text[], %s::boolean[])
ON CONFLICT (connection_id, customer_id) DO UPDATE SET
    rev = excluded.rev, fingerprint = excluded.fingerprint, contacts = excluded.contacts, email = excluded.email,
    phone = excluded.phone, gone = excluded.gone, updated_at = now()
WHERE people.rev <= excluded.rev
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
-- The identifiers of some customers.
SELECT customer_id, email, phone, gone FROM people WHERE connection_id = %s AND customer_id = ANY(%s::text[])
"""


FORGET_GONE = "DELETE FROM people WHERE connection_id = %s AND gone AND customer_id = ANY(%s::text[])"


@dataclass(frozen=True, slots=True)
class Person:
    """A customer with the identifiers chosen for Klaviyo."""

    customer_id: str
    rev: int
    fingerprint: str
    contacts: dict[str, Any]
    email: str | None
    phone: str | None
    gone: bool = False
    """Kustomer no longer knows this customer: deleted, or merged into another."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """What Klaviyo is to know a person by."""

    email: str | None
    phone: str | None
    gone: bool = False


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
    return {row["customer_id"]: Identifiers(row["email"], row["phone"], row["gone"]) for row in rows}


async def forget_gone(connection: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]) -> None:
    """Forget that customers were gone, so that they are asked for again."""
    await connection.execute(FORGET_GONE, (connection_id, list(customer_ids)))
