"""What Klaviyo did not take of some customers: contacts and values that are not sent again until they change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

REFUSE_CONTACT = """
-- The address or number of a customer, or of whom they became part of, is passed over from now on for the next.
UPDATE people SET
    refused_contacts = array_append(array_remove(refused_contacts, %(contact)s), %(contact)s),
    email = CASE WHEN lower(email) <> %(contact)s THEN email ELSE (
        SELECT usable.email FROM unnest(usable_emails) WITH ORDINALITY AS usable (email, place)
        WHERE lower(usable.email) <> ALL(array_append(refused_contacts, %(contact)s)) ORDER BY place LIMIT 1) END,
    taken_phone = CASE WHEN phone = %(contact)s THEN phone ELSE taken_phone END
WHERE connection_id = %(connection)s AND customer_id = (
    SELECT coalesce(merged_into, customer_id) FROM people
    WHERE connection_id = %(connection)s AND customer_id = %(customer)s)
RETURNING customer_id, email, nullif(phone, taken_phone) AS phone
"""

REFUSE_FIELDS = """
-- Klaviyo holds of these fields whatever it held before: they were not told, and are not told again as they are.
UPDATE people SET stated = stated || jsonb_build_object(
    'fields', coalesce(stated -> 'fields', '{}') - %(names)s::text[],
    'refused', coalesce(stated -> 'refused', '{}') || %(refused)s)
WHERE connection_id = %(connection)s AND customer_id = %(customer)s
"""

FORGET = """
-- All is tried again, of those who became part of another of that one: an admin says so.
UPDATE people SET refused_contacts = '{}', email = coalesce(usable_emails[1], email), stated = stated - 'refused',
    taken_phone = CASE WHEN cardinality(usable_emails) = 0 THEN NULL ELSE taken_phone END
WHERE connection_id = %(connection)s AND customer_id = ANY(
    %(customers)s::text[] || ARRAY(SELECT merged_into FROM people
        WHERE connection_id = %(connection)s AND customer_id = ANY(%(customers)s::text[]) AND merged_into IS NOT NULL))
"""


@dataclass(frozen=True, slots=True)
class Remaining:
    """By what a customer can still be known."""

    customer_id: str
    email: str | None
    phone: str | None


async def refuse_contact(
    tx: AsyncConnection[DictRow], connection_id: str, customer_id: str, contact: str
) -> Remaining | None:
    """Remember that Klaviyo does not take an address or number; returns what is left of a customer who is known."""
    params = {"connection": connection_id, "customer": customer_id, "contact": contact.lower()}
    row = await (await tx.execute(REFUSE_CONTACT, params)).fetchone()
    return None if row is None else Remaining(**row)


async def refuse_fields(
    tx: AsyncConnection[DictRow], connection_id: str, customer_id: str, refused: Mapping[str, Any]
) -> None:
    """Remember values, by the flat names of their fields, that Klaviyo does not take; None: it does not clear one."""
    params = {
        "connection": connection_id,
        "customer": customer_id,
        "names": list(refused),
        "refused": Jsonb(dict(refused)),
    }
    await tx.execute(REFUSE_FIELDS, params)


async def forget(tx: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]) -> None:
    """Forget what Klaviyo did not take of some customers."""
    await tx.execute(FORGET, {"connection": connection_id, "customers": list(customer_ids)})
