"""By what Klaviyo is to know a person, and what their profile is to hold: pure choices among what Kustomer holds."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import phonenumbers

from kustomer_klaviyo.facts import Contact, PersonSeen
from kustomer_klaviyo.flow.mapping import apply, sources, text_of
from kustomer_klaviyo.flow.rules import Rules
from kustomer_klaviyo.kustomer.wire import as_list
from kustomer_klaviyo.store.people import Person

LONGEST_EMAIL = 99
"""Klaviyo takes fewer than 100 characters (developers.klaviyo.com/en/reference/events_api_overview)."""

ONLY_TAGS = "left out: the customer has none of the tags that are synced (option only_tags)"
ONLY_ATTRIBUTES = "left out: the customer's attributes are not those that are synced (option only_attributes)"

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\Z")
_NOT_DIGITS = re.compile(r"[^0-9]+")


def identify(seen: PersonSeen, rules: Rules) -> Person:
    """Choose one email (the first verified, else the first usable) and one phone likewise, and map the profile."""
    options = rules.options
    notes: list[str] = []
    emails = [one for one in _verified_first(seen.emails) if _is_own(one.value, options.placeholders, notes)]
    phones = [one for one in _verified_first(seen.phones) if _is_own(one.value, options.placeholders, notes)]
    numbers = [(one.value, e164(one.value, options.default_country)) for one in phones]
    notes += [f"phone {text} left out: not a possible number" for text, number in numbers if number is None]
    notes += [f"email {one.value} left out: not an address Klaviyo takes" for one in emails if not is_email(one.value)]
    mapped = apply(rules.mapping, seen.customer_id, seen.attributes)
    return Person(
        customer_id=seen.customer_id,
        rev=seen.rev,
        fingerprint=fingerprint(seen, rules),
        contacts={
            "emails": [{"value": contact.value, "verified": contact.verified} for contact in seen.emails],
            "phones": [{"value": contact.value, "verified": contact.verified} for contact in seen.phones],
        },
        email=next((one.value for one in emails if is_email(one.value)), None),
        phone=next((number for _, number in numbers if number is not None), None),
        gone=seen.gone,
        left_out=left_out(seen, rules),
        profile=mapped.fields,
        masked=(*seen.masked, *mapped.masked),
        notes=(*notes, *mapped.notes),
        counted_open=None if seen.counted is None else seen.counted.open,
        counted_at=None if seen.counted is None else seen.counted.at,
        seen_at=seen.at,
    )


def fingerprint(seen: PersonSeen, rules: Rules) -> str:
    """Return a short text that changes whenever anything of the customer does that we tell of."""
    contacts = "\n".join(f"{one.value}\t{one.verified:d}" for one in (*seen.emails, Contact(""), *seen.phones))
    counted = None if seen.counted is None else seen.counted.open
    text = f"{contacts}\n{counted}\n{seen.gone:d}\n{seen.masked}\n{left_out(seen, rules)}\n{rules.digest}\n"
    return hashlib.blake2b(text.encode() + sources(rules.mapping, seen.attributes), digest_size=12).hexdigest()


def left_out(seen: PersonSeen, rules: Rules) -> str | None:
    """Return why a setting leaves the customer out altogether; None when none does."""
    options = rules.options
    if options.only_tags and not set(options.only_tags) & {str(tag) for tag in as_list(seen.attributes.get("tags"))}:
        return ONLY_TAGS
    wanted = options.only_attributes.items()
    if any((text_of(path, seen.attributes) or "").lower() != value.lower() for path, value in wanted):
        return ONLY_ATTRIBUTES
    return None


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


def is_placeholder(contact: str, placeholders: Iterable[str]) -> bool:
    """Say whether a contact is one that many share because nobody has it."""
    if "@" in contact:
        return any(fnmatchcase(contact.lower(), one.lower()) for one in placeholders if "@" in one)
    digits = _NOT_DIGITS.sub("", contact)
    numbers = [_NOT_DIGITS.sub("", one) for one in placeholders if "@" not in one]
    return any(number and digits in (number, f"1{number}") for number in numbers)


def _is_own(contact: str, placeholders: Sequence[str], notes: list[str]) -> bool:
    if not is_placeholder(contact, placeholders):
        return True
    notes.append(f"{contact} left out: a placeholder, not a contact (option placeholders)")
    return False


def _verified_first(contacts: Iterable[Contact]) -> list[Contact]:
    return sorted(contacts, key=lambda contact: not contact.verified)
