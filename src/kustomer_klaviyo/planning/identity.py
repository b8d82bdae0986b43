"""Chooses the identifier and the profile fields to send for a customer, from a Kustomer document. Pure."""

import hashlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import phonenumbers

from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import Contact, CustomerObserved
from kustomer_klaviyo.klaviyo.addresses import EmailSupport, ascii_email, email_support
from kustomer_klaviyo.kustomer.contacts import clean_contact, digits, normalize
from kustomer_klaviyo.mapping.profile_mapping import map_profile, read_sources
from kustomer_klaviyo.planning.skip_reasons import customer_skip_reason
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.customers import Customer

LONGEST_E164 = len("+") + 15
"""Characters (ITU-T E.164)."""


def identify(customer: CustomerObserved, rules: ConnectionRules) -> Customer:
    """Choose the email and phone that identify the customer in Klaviyo, and map the profile.

    Contacts that Klaviyo surely accepts come before those that it may accept; among these, verified ones come first.
    """
    options = rules.options
    notes: list[str] = []
    emails = _own_contacts(customer.emails, options.placeholders, notes)
    phones = _own_contacts(customer.phones, options.placeholders, notes)
    usable = usable_emails(emails)
    numbers = [(text, e164(text, options.default_country)) for text in phones]
    dialable = _valid_first(number for _, number in numbers if number is not None)
    notes += [f"phone {text} left out: not a possible number" for text, number in numbers if number is None]
    notes += [f"email {text} left out: Klaviyo does not accept it" for text in emails if not is_email(text)]
    mapped = map_profile(rules.mapping, customer.customer_id, customer.attributes)
    skip_reason, open_count = customer_skip_reason(customer, rules), customer.open_count
    return Customer(
        customer_id=customer.customer_id,
        rev=customer.rev,
        fingerprint=_fingerprint(customer, rules, skip_reason),
        contacts={"emails": _as_json(customer.emails), "phones": _as_json(customer.phones)},
        email=next(iter(usable), None),
        usable_emails=tuple(usable),
        phone=next(iter(dialable), None),
        usable_phones=tuple(dialable),
        removed=customer.removed,
        skip_reason=skip_reason,
        profile=mapped.fields,
        masked=(*customer.masked, *mapped.masked),
        notes=(*notes, *mapped.notes),
        open_count=None if open_count is None else open_count.count,
        open_count_at=None if open_count is None else open_count.counted_at,
        observed_at=customer.updated_at,
    )


def customer_fingerprint(customer: CustomerObserved, rules: ConnectionRules) -> str:
    """Return a short text that changes whenever anything that is sent about the customer changes."""
    return _fingerprint(customer, rules, customer_skip_reason(customer, rules))


def _fingerprint(customer: CustomerObserved, rules: ConnectionRules, skip_reason: Reason | None) -> str:
    contacts = (*customer.emails, Contact(""), *customer.phones)
    lines = "\n".join(f"{contact.value}\t{contact.verified:d}" for contact in contacts)
    count = None if customer.open_count is None else customer.open_count.count
    text = f"{lines}\n{count}\n{customer.removed:d}\n{customer.masked}\n{skip_reason}\n{rules.digest}\n"
    encoded = text.encode(errors="surrogatepass")
    return hashlib.blake2b(encoded + read_sources(rules.mapping, customer.attributes), digest_size=12).hexdigest()


def _as_json(contacts: Iterable[Contact]) -> list[dict[str, Any]]:
    return [{"value": contact.value, "verified": contact.verified} for contact in contacts]


def is_email(text: str) -> bool:
    """Return whether Klaviyo may accept the text as an email address."""
    return email_support(ascii_email(text)) is not EmailSupport.UNSUPPORTED


def usable_emails(texts: Iterable[str]) -> list[str]:
    """Return the addresses that Klaviyo may accept, in ASCII; the ones that it surely accepts first."""
    addresses = dict.fromkeys(map(ascii_email, map(clean_contact, texts)))
    accepted = (address for address in addresses if email_support(address) is not EmailSupport.UNSUPPORTED)
    return sorted(accepted, key=email_support, reverse=True)


def e164(text: str, country: str | None) -> str | None:
    """Return the number in E.164 if its length is possible anywhere in its country.

    A stricter test rejects numbers in real use; a laxer one accepts numbers that work within one town only.
    """
    try:
        number = phonenumbers.parse(clean_contact(text), country)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    formatted: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return formatted if len(formatted) <= LONGEST_E164 else None


def is_placeholder(contact: str, placeholders: Iterable[str]) -> bool:
    """Return whether a contact is a placeholder that many customers share, in whatever spelling."""
    text = normalize(contact)
    if "@" in text:
        return any(fnmatchcase(text, normalize(pattern)) for pattern in placeholders if "@" in pattern)
    numbers = {normalize(number) for number in placeholders if "@" not in number}
    return bool(digits(text)) and bool({text, text.removeprefix("1")} & numbers)


def _valid_first(numbers: Iterable[str]) -> list[str]:
    """Return the distinct numbers, valid ones of their country first."""
    distinct = list(dict.fromkeys(numbers))
    if len(distinct) < 2:
        return distinct
    return sorted(distinct, key=lambda number: not phonenumbers.is_valid_number(phonenumbers.parse(number)))


def _own_contacts(contacts: Iterable[Contact], placeholders: Sequence[str], notes: list[str]) -> list[str]:
    """Return the values of contacts, verified ones first, without placeholders."""
    own = []
    for contact in sorted(contacts, key=lambda contact: not contact.verified):
        if is_placeholder(contact.value, placeholders):
            notes.append(f"{contact.value} left out: a placeholder, not a contact (option placeholders)")
        else:
            own.append(contact.value)
    return own
