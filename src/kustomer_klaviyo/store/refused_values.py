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
    refused_contacts = array_remove(refused_contacts, lower(%(contact)s::text)) || lower(%(contact)s::text),
    email = CASE WHEN lower(email) <> lower(%(contact)s::text) THEN email
                 ELSE first_usable(usable_emails, refused_contacts || lower(%(contact)s::text)) END,
    phone = CASE WHEN phone <> %(contact)s::text THEN phone
                 ELSE first_usable(usable_phones, refused_contacts || lower(%(contact)s::text)) END
WHERE connection_id = %(connection)s AND customer_id = (
    SELECT coalesce(merged_into, customer_id) FROM people
    WHERE connection_id = %(connection)s AND customer_id = %(customer)s)
RETURNING customer_id, email, nullif(phone, taken_phone) AS phone
"""

NOTE = """
-- What waits of a customer, or of who became part of them, says that a contact was left out.
UPDATE deliveries SET fact = jsonb_set(fact, '{notes}', coalesce(fact -> 'notes', '[]') || to_jsonb(%(note)s::text))
WHERE connection_id = %(connection)s AND state = 'waiting' AND kind <> 'profile' AND subject = ANY(
    %(customer)s::text || ARRAY(SELECT customer_id FROM people
                                WHERE connection_id = %(connection)s AND merged_into = %(customer)s))
"""

TAKEN_PHONE = """
-- Remember that somebody's number belongs to another profile, and perhaps was told as a property; null forgets it.
UPDATE people SET taken_phone = %(phone)s, stated = CASE WHEN %(phone)s::text IS NULL THEN stated
    WHEN %(property)s::text IS NULL THEN stated || '{"phone": null}' ELSE
        jsonb_set(stated || '{"phone": null}', ARRAY['fields', %(property)s], to_jsonb(%(phone)s::text)) END
WHERE connection_id = %(connection)s AND customer_id = %(customer)s AND taken_phone IS DISTINCT FROM %(phone)s
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
UPDATE people SET refused_contacts = '{}', stated = stated - 'refused',
    email = coalesce(usable_emails[1], email), phone = coalesce(usable_phones[1], phone)
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
    params = {"connection": connection_id, "customer": customer_id, "contact": contact}
    row = await (await tx.execute(REFUSE_CONTACT, params)).fetchone()
    return None if row is None else Remaining(**row)


async def note(tx: AsyncConnection[DictRow], connection_id: str, customer_id: str, text: str) -> None:
    """Note something on each event that waits of a customer."""
    await tx.execute(NOTE, {"connection": connection_id, "customer": customer_id, "note": text})


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


async def note_taken_phone(
    tx: AsyncConnection[DictRow],
    connection_id: str,
    customer_id: str,
    phone: str | None,
    *,
    told_as: str | None,
) -> bool:
    """Remember a number that belongs to another profile, told as a property if that names one; None forgets it.

    Returns whether that was news.
    """
    params = {"connection": connection_id, "customer": customer_id, "phone": phone, "property": told_as}
    return (await tx.execute(TAKEN_PHONE, params)).rowcount > 0


async def forget(tx: AsyncConnection[DictRow], connection_id: str, customer_ids: Sequence[str]) -> None:
    """Forget what Klaviyo did not take of some customers."""
    await tx.execute(FORGET, {"connection": connection_id, "customers": list(customer_ids)})
