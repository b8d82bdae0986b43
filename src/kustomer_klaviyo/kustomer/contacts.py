"""Reads the emails and phone numbers that belong to one Kustomer customer, without invisible characters. Pure.

Lists of contacts: developer.kustomer.com/kustomer-api-docs/reference/customers. ``emails``, ``phones`` and
``whatsapps`` belong to one customer; ``sharedEmails`` and ``sharedPhones`` belong to several.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from kustomer_klaviyo.facts import Contact
from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.kustomer.wire import Attributes, as_text, is_masked

INVISIBLE_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode categories that no address contains: control and format characters, lone surrogates, separators."""

NON_BREAKING_SPACES = str.maketrans(dict.fromkeys("\u00a0\u2007\u202f"))
_SCHEME = re.compile(r"\s*(mailto|tel|whatsapp)\s*:\s*", re.IGNORECASE)


def clean_contact(text: str) -> str:
    """Return a contact without its scheme, invisible characters and surrounding space, in compatibility form (NFKC)."""
    visible = text
    if not _is_plain(text):
        visible = "".join(char for char in text if unicodedata.category(char) not in INVISIBLE_CATEGORIES)
    plain = unicodedata.normalize("NFKC", visible.translate(NON_BREAKING_SPACES))
    return _SCHEME.sub("", plain, count=1).strip() if _SCHEME.match(plain) else plain.strip()


def digits(text: str) -> str:
    """Return a text's digits, of any script, as ASCII."""
    return "".join(str(unicodedata.decimal(char)) for char in text if char.isdecimal())


def normalize(contact: str) -> str:
    """Return a form that two spellings of one contact share: a case-folded address, or a number's digits."""
    text = clean_contact(contact)
    number = "" if "@" in text else digits(text)
    return number.lstrip("0") or number or text.casefold()


def own_emails(attributes: Attributes) -> tuple[Contact, ...]:
    """Return the email addresses that belong to this customer alone."""
    return _own([attributes.emails], attributes.shared_emails, "email")


def own_phones(attributes: Attributes) -> tuple[Contact, ...]:
    """Return the phone numbers that belong to this customer alone; WhatsApp numbers last."""
    return _own([attributes.phones, attributes.whatsapps], attributes.shared_phones, "phone")


def masked_contacts(attributes: Attributes) -> tuple[str, ...]:
    """Return the kinds of contacts that the API key may not read."""
    kinds = {"email": attributes.emails, "phone": attributes.phones}
    masked = [kind for kind, entries in kinds.items() if _has_masked(entries, kind)]
    if "phone" not in masked and _has_masked(attributes.whatsapps, "phone") and not own_phones(attributes):
        masked.append("phone")
    return tuple(masked)


def _own(lists: Sequence[Any], shared: Any, field: str) -> tuple[Contact, ...]:
    shared_contacts = {normalize(value) for value, _ in _read_contacts(shared, field)}
    contacts: dict[str, Contact] = {}
    for value, is_verified in (contact for entries in lists for contact in _read_contacts(entries, field)):
        key = normalize(value)
        if key not in shared_contacts:
            first = contacts.get(key, Contact(value))
            contacts[key] = Contact(first.value, verified=first.verified or is_verified)
    return tuple(contacts.values())


def _read_contacts(entries: Any, field: str) -> Iterable[tuple[str, bool]]:
    for entry in as_list(entries):
        text = as_text(as_object(entry).get(field))
        value = None if text is None else clean_contact(text)
        if value:
            yield value, as_object(entry).get("verified") is True


def _has_masked(entries: Any, field: str) -> bool:
    listed = as_list(entries)
    return is_masked(entries) or any(is_masked(entry) or is_masked(as_object(entry).get(field)) for entry in listed)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
