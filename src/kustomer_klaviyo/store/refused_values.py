"""Contacts and profile values that Klaviyo refused: they are not sent again until they change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg.types.json import Jsonb

from kustomer_klaviyo.store.database import Transaction

REFUSE_CONTACT = """
-- Klaviyo refused an address or number of a customer (or of the merge target): the next usable one replaces it.
UPDATE customers SET
    refused_contacts = array_remove(refused_contacts, lower(%(contact)s::text)) || lower(%(contact)s::text),
    email = CASE WHEN lower(email) <> lower(%(contact)s::text) THEN email
                 ELSE first_usable(usable_emails, refused_contacts || lower(%(contact)s::text)) END,
    phone = CASE WHEN phone <> %(contact)s::text THEN phone
                 ELSE first_usable(usable_phones, refused_contacts || lower(%(contact)s::text)) END
WHERE connection_id = %(connection_id)s AND customer_id = (
    SELECT coalesce(merged_into, customer_id) FROM customers
    WHERE connection_id = %(connection_id)s AND customer_id = %(customer_id)s)
RETURNING customer_id, email, nullif(phone, conflicting_phone) AS phone
"""

ADD_NOTE = """
-- A note on the pending events of a customer, and of customers who were merged into that one.
UPDATE deliveries SET fact = jsonb_set(fact, '{notes}', coalesce(fact -> 'notes', '[]') || to_jsonb(%(note)s::text))
WHERE connection_id = %(connection_id)s AND state = 'pending' AND kind <> 'profile' AND subject = ANY(
    %(customer_id)s::text || ARRAY(SELECT customer_id FROM customers
                                   WHERE connection_id = %(connection_id)s AND merged_into = %(customer_id)s))
"""

SET_CONFLICTING_PHONE = """
-- The customer's number belongs to another profile, and may have been sent as a property; null ends the conflict.
UPDATE customers SET conflicting_phone = %(phone)s, last_sent = CASE WHEN %(phone)s::text IS NULL THEN last_sent
    WHEN %(property)s::text IS NULL THEN last_sent || '{"phone": null}' ELSE
        jsonb_set(last_sent || '{"phone": null}', ARRAY['fields', %(property)s], to_jsonb(%(phone)s::text)) END
WHERE connection_id = %(connection_id)s AND customer_id = %(customer_id)s
  AND conflicting_phone IS DISTINCT FROM %(phone)s
"""

REFUSE_FIELDS = """
-- Klaviyo refused these values: it still has what it had before. They are not sent again while they stay the same.
UPDATE customers SET last_sent = last_sent || jsonb_build_object(
    'fields', coalesce(last_sent -> 'fields', '{}') - %(names)s::text[],
    'refused', coalesce(last_sent -> 'refused', '{}') || %(refused)s)
WHERE connection_id = %(connection_id)s AND customer_id = %(customer_id)s
"""

CLEAR_REFUSALS = """
-- An admin retries: everything that Klaviyo refused of some customers, and of their merge targets, is sent again.
UPDATE customers SET refused_contacts = '{}', last_sent = last_sent - 'refused',
    email = coalesce(usable_emails[1], email), phone = coalesce(usable_phones[1], phone)
WHERE connection_id = %(connection_id)s AND customer_id = ANY(
    %(customer_ids)s::text[] || ARRAY(SELECT merged_into FROM customers
        WHERE connection_id = %(connection_id)s AND customer_id = ANY(%(customer_ids)s::text[])
          AND merged_into IS NOT NULL))
"""


@dataclass(frozen=True, slots=True)
class RemainingContacts:
    """The identifiers that a customer has left."""

    customer_id: str
    email: str | None
    phone: str | None


async def refuse_contact(
    tx: Transaction, connection_id: str, customer_id: str, contact: str
) -> RemainingContacts | None:
    """Save that Klaviyo refused an address or number; returns what is left, or None for an unknown customer."""
    params = {"connection_id": connection_id, "customer_id": customer_id, "contact": contact}
    row = await (await tx.execute(REFUSE_CONTACT, params)).fetchone()
    return None if row is None else RemainingContacts(**row)


async def add_note(tx: Transaction, connection_id: str, customer_id: str, text: str) -> None:
    """Add a note to each pending event of a customer."""
    await tx.execute(ADD_NOTE, {"connection_id": connection_id, "customer_id": customer_id, "note": text})


async def refuse_fields(tx: Transaction, connection_id: str, customer_id: str, refused: Mapping[str, Any]) -> None:
    """Save values that Klaviyo refused, by the flat names of their fields; None means that it did not clear a field."""
    params = {
        "connection_id": connection_id,
        "customer_id": customer_id,
        "names": list(refused),
        "refused": Jsonb(dict(refused)),
    }
    await tx.execute(REFUSE_FIELDS, params)


async def set_conflicting_phone(
    tx: Transaction,
    connection_id: str,
    customer_id: str,
    phone: str | None,
    *,
    sent_as_property: str | None,
) -> bool:
    """Save a number that belongs to another profile; None ends the conflict. Returns whether this changed anything.

    ``sent_as_property`` is the property in which the number was sent, if it was.
    """
    params = {
        "connection_id": connection_id,
        "customer_id": customer_id,
        "phone": phone,
        "property": sent_as_property,
    }
    return (await tx.execute(SET_CONFLICTING_PHONE, params)).rowcount > 0


async def clear_refusals(tx: Transaction, connection_id: str, customer_ids: Sequence[str]) -> None:
    """Clear what Klaviyo refused of some customers, so that it is sent again."""
    await tx.execute(CLEAR_REFUSALS, {"connection_id": connection_id, "customer_ids": list(customer_ids)})
