"""By what Klaviyo is to know a person: a pure choice among the contacts Kustomer holds for them."""

import hashlib
import re
from collections.abc import Iterable

import phonenumbers

from kustomer_klaviyo.facts import Contact, PersonSeen
from kustomer_klaviyo.store.people import Person

LONGEST_EMAIL = 99
"""Klaviyo takes fewer than 100 characters (developers.klaviyo.com/en/reference/events_api_overview)."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z")


def identify(seen: PersonSeen, *, country: str | None) -> Person:
    """Choose one email (the first verified, else the first usable) and one phone likewise.

    Country is the ISO code for numbers written without one.
    """
    emails = (contact.value for contact in _verified_first(seen.emails))
    phones = (e164(contact.value, country) for contact in _verified_first(seen.phones))
    return Person(
        customer_id=seen.customer_id,
        rev=seen.rev,
        fingerprint=fingerprint(seen),
        contacts={
            "emails": [{"value": contact.value, "verified": contact.verified} for contact in seen.emails],
            "phones": [{"value": contact.value, "verified": contact.verified} for contact in seen.phones],
        },
        email=next((email for email in emails if is_email(email)), None),
        phone=next((phone for phone in phones if phone is not None), None),
    )


def fingerprint(seen: PersonSeen) -> str:
    """Return a short text that changes whenever the customer's contacts do."""
    text = "\n".join(f"{contact.value}\t{contact.verified}" for contact in (*seen.emails, Contact(""), *seen.phones))
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def is_email(text: str) -> bool:
    """Say whether Klaviyo would take the text for an email address."""
    return len(text) <= LONGEST_EMAIL and _EMAIL.match(text) is not None


def e164(text: str, country: str | None) -> str | None:
    """Return the number in E.164 when it is possible; a stricter test refuses numbers in real use."""
    try:
        number = phonenumbers.parse(text.removeprefix("whatsapp:"), country)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _verified_first(contacts: Iterable[Contact]) -> list[Contact]:
    return sorted(contacts, key=lambda contact: not contact.verified)
