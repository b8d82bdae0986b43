"""By what Klaviyo is to know a person, and what their profile is to hold: pure choices among what Kustomer holds."""

import hashlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import phonenumbers

from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.facts import Contact, PersonSeen
from kustomer_klaviyo.klaviyo.addresses import Taken, ascii_email, taken
from kustomer_klaviyo.kustomer.contacts import clean, comparable, digits
from kustomer_klaviyo.kustomer.wire import as_list
from kustomer_klaviyo.mapping.profile_mapping import apply, sources, text_of
from kustomer_klaviyo.store.customers import Person

LONGEST_E164 = len("+") + 15
"""Characters (ITU-T E.164)."""

ONLY_TAGS = "left out: the customer has none of the tags that are synced (option only_tags)"
ONLY_ATTRIBUTES = "left out: the customer's attributes are not those that are synced (option only_attributes)"


def identify(seen: PersonSeen, rules: Rules) -> Person:
    """Choose by what Klaviyo is to know the customer, and map the profile.

    Of emails and of phones the first that Klaviyo surely takes, else the first that it may take; verified ones first.
    """
    options = rules.options
    notes: list[str] = []
    emails = [one for one in _verified_first(seen.emails) if _is_own(one.value, options.placeholders, notes)]
    phones = [one for one in _verified_first(seen.phones) if _is_own(one.value, options.placeholders, notes)]
    usable = usable_emails(one.value for one in emails)
    numbers = [(one.value, e164(one.value, options.default_country)) for one in phones]
    dialled = _likeliest_first(number for _, number in numbers if number is not None)
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
        email=next(iter(usable), None),
        usable_emails=tuple(usable),
        phone=next(iter(dialled), None),
        usable_phones=tuple(dialled),
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
    packed = text.encode(errors="surrogatepass")
    return hashlib.blake2b(packed + sources(rules.mapping, seen.attributes), digest_size=12).hexdigest()


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
    """Say whether Klaviyo may take the text for an email address."""
    return taken(ascii_email(text)) is not Taken.NEVER


def usable_emails(texts: Iterable[str]) -> list[str]:
    """Return the addresses that Klaviyo may take, as it takes them, those first that it surely takes."""
    found = dict.fromkeys(map(ascii_email, map(clean, texts)))
    return sorted((one for one in found if taken(one) is not Taken.NEVER), key=taken, reverse=True)


def e164(text: str, country: str | None) -> str | None:
    """Return the number in E.164 when its length is possible anywhere in its country.

    A stricter test refuses numbers in real use; a laxer one takes what can be dialled within one town only.
    """
    try:
        number = phonenumbers.parse(clean(text), country)
    except phonenumbers.NumberParseException:
        return None
    if phonenumbers.is_possible_number_with_reason(number) != phonenumbers.ValidationResult.IS_POSSIBLE:
        return None
    written: str = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return written if len(written) <= LONGEST_E164 else None


def is_placeholder(contact: str, placeholders: Iterable[str]) -> bool:
    """Say whether a contact is one that many share because nobody has it, however it is spelt."""
    text = comparable(contact)
    if "@" in text:
        return any(fnmatchcase(text, comparable(one)) for one in placeholders if "@" in one)
    numbers = {comparable(one) for one in placeholders if "@" not in one}
    return bool(digits(text)) and bool({text, text.removeprefix("1")} & numbers)


def _likeliest_first(numbers: Iterable[str]) -> list[str]:
    """Return numbers, those first that are in use for all that is known of their country."""
    found = list(dict.fromkeys(numbers))
    if len(found) < 2:
        return found
    return sorted(found, key=lambda one: not phonenumbers.is_valid_number(phonenumbers.parse(one)))


def _is_own(contact: str, placeholders: Sequence[str], notes: list[str]) -> bool:
    if not is_placeholder(contact, placeholders):
        return True
    notes.append(f"{contact} left out: a placeholder, not a contact (option placeholders)")
    return False


def _verified_first(contacts: Iterable[Contact]) -> list[Contact]:
    return sorted(contacts, key=lambda contact: not contact.verified)
