"""The customers with their identifiers and merges. They are stored, so that no event waits for a lookup."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.row_columns import RowColumns


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer with the identifiers chosen for Klaviyo and the content of the profile."""

    customer_id: str
    rev: int
    fingerprint: str
    contacts: dict[str, Any]
    email: str | None
    phone: str | None
    removed: bool = False
    """Deleted in Kustomer, or merged into another customer."""
    skip_reason: str | None = None
    """The code of the option that excludes the customer from Klaviyo."""
    profile: dict[str, Any] = field(default_factory=dict)
    """The mapped fields by their flat names."""
    masked: tuple[str, ...] = ()
    """Names of fields, and ``email`` and ``phone``, that the API key may not read."""
    notes: tuple[str, ...] = ()
    """What was dropped from the profile, and why."""
    open_count: int | None = None
    open_count_at: datetime | None = None
    observed_at: datetime | None = None
    """When Kustomer wrote the document, or when the customer was found to be removed."""
    usable_emails: tuple[str, ...] = ()
    """The addresses that Klaviyo may accept, the chosen one first."""
    usable_phones: tuple[str, ...] = ()
    """The numbers that Klaviyo may accept, the chosen one first."""


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The identifiers by which Klaviyo is to find a customer's profile."""

    email: str | None
    phone: str | None
    removed: bool = False
    skip_reason: str | None = None
    has_phone_conflict: bool = False
    """The customer has a number, but another Klaviyo profile has it too."""
    has_refused_contact: bool = False
    """Klaviyo refused an address or number of the customer."""


@dataclass(frozen=True, slots=True)
class CustomerIdentity:
    """Everything by which Klaviyo may know a customer."""

    customer_id: str
    email: str | None
    phone: str | None
    contacts: dict[str, Any]
    masked: tuple[str, ...]
    removed: bool
    klaviyo_profile_id: str | None


_CUSTOMERS = RowColumns(Customer)

SAVE = _CUSTOMERS.sql("""
-- An older revision never replaces a newer one; an equal one replaces it. A removed customer stays removed, unless the
-- document was written after the removal was found. A contact that the API key may not read stays as it was.
INSERT INTO customers (connection_id, {columns})
SELECT %(connection_id)s, {values} FROM {rows}
ON CONFLICT (connection_id, customer_id) DO UPDATE SET
    rev = greatest(customers.rev, excluded.rev), fingerprint = excluded.fingerprint, contacts = excluded.contacts,
    email = CASE WHEN 'email' = ANY(excluded.masked) THEN customers.email
                 ELSE first_usable(excluded.usable_emails, customers.refused_contacts) END,
    phone = CASE WHEN 'phone' = ANY(excluded.masked) THEN customers.phone
                 ELSE first_usable(excluded.usable_phones, customers.refused_contacts) END,
    usable_emails = CASE WHEN 'email' = ANY(excluded.masked) THEN customers.usable_emails
                         ELSE excluded.usable_emails END,
    usable_phones = CASE WHEN 'phone' = ANY(excluded.masked) THEN customers.usable_phones
                         ELSE excluded.usable_phones END,
    refused_contacts = CASE WHEN excluded.masked <> '{}' THEN customers.refused_contacts
        ELSE still_usable(customers.refused_contacts, excluded.usable_emails || excluded.usable_phones) END,
    removed = excluded.removed, observed_at = excluded.observed_at, skip_reason = excluded.skip_reason,
    profile = excluded.profile, open_count = excluded.open_count, open_count_at = excluded.open_count_at,
    masked = excluded.masked, notes = excluded.notes, updated_at = now()
WHERE excluded.removed OR (customers.rev <= excluded.rev
    AND (NOT customers.removed OR customers.observed_at < excluded.observed_at))
RETURNING customer_id
""")

BUMP_REVISIONS = """
-- An update without a relevant change only bumps the revision, so that an older document arriving late stays older.
-- Only where the fingerprint is the same: a newer document may still be in the inbox and must not look old. Locked rows
-- are skipped and returned: waiting for one customer while others are locked could deadlock with event processing.
WITH behind AS MATERIALIZED (
    SELECT connection_id, customer_id, new.rev
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::text[]) AS new (connection_id, customer_id, rev, fingerprint)
         JOIN customers USING (connection_id, customer_id)
    WHERE customers.fingerprint = new.fingerprint AND customers.rev < new.rev
), free AS MATERIALIZED (
    SELECT customers.connection_id, customers.customer_id, behind.rev, customers.fingerprint
    FROM behind JOIN customers USING (connection_id, customer_id) FOR NO KEY UPDATE OF customers SKIP LOCKED
), bumped AS (
    UPDATE customers SET rev = free.rev FROM free
    WHERE customers.connection_id = free.connection_id AND customers.customer_id = free.customer_id
      AND customers.fingerprint = free.fingerprint AND customers.rev < free.rev
)
SELECT connection_id, customer_id FROM behind EXCEPT SELECT connection_id, customer_id FROM free
"""

VERSIONS = """
-- Revisions and fingerprints of some customers.
SELECT connection_id, customer_id, rev, fingerprint FROM customers
WHERE (connection_id, customer_id) IN (SELECT * FROM unnest(%s::text[], %s::text[]))
"""

IDENTIFIERS = """
-- The identifiers of some customers; a merged customer has those of the merge target.
SELECT requested.customer_id, target.email, nullif(target.phone, target.conflicting_phone) AS phone, target.removed,
       target.skip_reason, coalesce(target.phone = target.conflicting_phone, false) AS has_phone_conflict,
       target.refused_contacts <> '{}' AS has_refused_contact
FROM customers AS requested JOIN customers AS target ON target.connection_id = requested.connection_id
     AND target.customer_id = coalesce(requested.merged_into, requested.customer_id)
WHERE requested.connection_id = %s AND requested.customer_id = ANY(%s::text[])
"""

IDENTITIES = """
-- What Klaviyo may know some customers by; a merged customer has the identity of the merge target.
SELECT requested.customer_id AS requested_id, target.customer_id, target.email, target.phone, target.contacts,
       target.masked, target.removed, target.klaviyo_profile_id
FROM customers AS requested JOIN customers AS target ON target.connection_id = requested.connection_id
     AND target.customer_id = coalesce(requested.merged_into, requested.customer_id)
WHERE requested.connection_id = %s AND requested.customer_id = ANY(%s::text[])
"""

SHARING_CONTACT = """
-- Other customers, not removed, who have one of these addresses or numbers, or whose profile was sent with the address.
SELECT customer_id FROM customers
WHERE connection_id = %(connection_id)s AND customer_id <> %(customer_id)s AND NOT removed
  AND (lower(email) = ANY(%(emails)s::text[]) OR phone = ANY(%(phones)s::text[])
       OR last_sent_email = ANY(%(emails)s::text[]))
"""

MERGE = """
-- A customer was merged into another, or into the one that the other was merged into since. Customers who had been
-- merged into the source follow.
WITH target AS (
    SELECT coalesce(merged_into, customer_id) AS id FROM customers
    WHERE connection_id = %(connection_id)s AND customer_id = %(target)s
)
UPDATE customers SET merged_into = target.id FROM target
WHERE connection_id = %(connection_id)s AND (customer_id = %(source)s OR merged_into = %(source)s)
  AND customer_id <> target.id
RETURNING target.id
"""

RESET_REMOVED = """
-- The next document of these customers counts as new.
UPDATE customers SET removed = false, observed_at = NULL, rev = 0, fingerprint = ''
WHERE connection_id = %s AND customer_id = ANY(%s::text[])
"""

MERGE_TARGETS = """
-- The merge targets of these customers, and of other customers with the same targets.
SELECT customer_id, merged_into FROM customers
WHERE connection_id = %(connection_id)s AND merged_into IS NOT NULL
  AND (customer_id = ANY(%(ids)s::text[]) OR merged_into = ANY(%(ids)s::text[] || ARRAY(
       SELECT merged_into FROM customers
       WHERE connection_id = %(connection_id)s AND customer_id = ANY(%(ids)s::text[]) AND merged_into IS NOT NULL)))
"""


def removed_customer(customer_id: str) -> Customer:
    """Return a customer who no longer exists in Kustomer and is not known otherwise."""
    return Customer(customer_id, 0, "removed", {}, None, None, removed=True, observed_at=datetime.now(UTC))


async def save(tx: Transaction, connection_id: str, observed: Sequence[Customer]) -> set[str]:
    """Save the newest revision of each customer; returns the ids of those that were new or newer."""
    newest: dict[str, Customer] = {}
    for customer in observed:
        known = newest.get(customer.customer_id)
        if known is None or known.rev <= customer.rev:
            newest[customer.customer_id] = customer
    # In one order everywhere, so that two writers never deadlock.
    rows = sorted(newest.values(), key=lambda customer: customer.customer_id)
    saved = await tx.execute(SAVE, _CUSTOMERS.params(rows) | {"connection_id": connection_id})
    return {row["customer_id"] for row in await saved.fetchall()}


async def bump_revisions(db: Database, bumps: Sequence[tuple[str, str, int, str]]) -> set[tuple[str, str]]:
    """Bump the revisions of unchanged customers, given as (connection, customer, revision, fingerprint).

    Returns the (connection, customer) pairs that another transaction locks now: try them again later.
    """
    rows = await db.fetch(BUMP_REVISIONS, tuple(map(list, zip(*bumps, strict=True))))
    return {(row["connection_id"], row["customer_id"]) for row in rows}


async def versions(tx: Transaction, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[int, str]]:
    """Return (revision, fingerprint) of each known (connection, customer) pair."""
    columns = ([connection_id for connection_id, _ in pairs], [customer_id for _, customer_id in pairs])
    rows = await (await tx.execute(VERSIONS, columns)).fetchall()
    return {(row["connection_id"], row["customer_id"]): (row["rev"], row["fingerprint"]) for row in rows}


async def identifiers(tx: Transaction, connection_id: str, customer_ids: Sequence[str]) -> dict[str, Identifiers]:
    """Return the identifiers of each known customer."""
    rows = await (await tx.execute(IDENTIFIERS, (connection_id, list(customer_ids)))).fetchall()
    return {row.pop("customer_id"): Identifiers(**row) for row in rows}


async def identities(db: Database, connection_id: str, customer_ids: Sequence[str]) -> dict[str, CustomerIdentity]:
    """Return the identity of each known customer."""
    rows = await db.fetch(IDENTITIES, (connection_id, list(customer_ids)))
    return {row.pop("requested_id"): CustomerIdentity(**row | {"masked": tuple(row["masked"])}) for row in rows}


async def sharing_contact(
    tx: Transaction, connection_id: str, customer_id: str, contacts: Collection[str]
) -> list[str]:
    """Return other customers, not removed, who have one of these addresses or numbers."""
    params = {
        "connection_id": connection_id,
        "customer_id": customer_id,
        "emails": [contact.lower() for contact in contacts if "@" in contact],
        "phones": [contact for contact in contacts if "@" not in contact],
    }
    rows = await (await tx.execute(SHARING_CONTACT, params)).fetchall()
    return [row["customer_id"] for row in rows]


async def merge(tx: Transaction, connection_id: str, *, source: str, target: str) -> str | None:
    """Merge a customer into another; returns the final target.

    Returns None when they are merged already, or when the target is not known.
    """
    params = {"connection_id": connection_id, "source": source, "target": target}
    row = await (await tx.execute(MERGE, params)).fetchone()
    return None if row is None else row["id"]


async def merge_targets(tx: Transaction, connection_id: str, customer_ids: Sequence[str]) -> dict[str, str]:
    """Return the merge target of each merged customer among these, and of others with the same targets."""
    params = {"connection_id": connection_id, "ids": list(customer_ids)}
    rows = await (await tx.execute(MERGE_TARGETS, params)).fetchall()
    return {row["customer_id"]: row["merged_into"] for row in rows}


async def reset_removed(tx: Transaction, connection_id: str, customer_ids: Sequence[str]) -> None:
    """Reset the removal of customers, so that the response to the next lookup is saved."""
    await tx.execute(RESET_REMOVED, (connection_id, list(customer_ids)))
