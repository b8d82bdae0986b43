"""Which emails and phone numbers of a Kustomer customer are their own, cleaned of what nobody sees. Pure.

Lists of contacts: developer.kustomer.com/kustomer-api-docs/reference/customers. ``emails``, ``phones`` and
``whatsapps`` hold a customer's own; ``sharedEmails`` and ``sharedPhones`` hold what several customers have.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from kustomer_klaviyo.facts import Contact
from kustomer_klaviyo.kustomer.wire import Attributes, as_list, as_object, as_text, is_masked

UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode that no address holds: control and format characters, halves of pairs, separators."""

HARD_SPACES = str.maketrans(dict.fromkeys("\u00a0\u2007\u202f"))
_SCHEME = re.compile(r"\s*(mailto|tel|whatsapp)\s*:\s*", re.IGNORECASE)


def clean(text: str) -> str:
    """Return a contact without its scheme, unseen characters and the space around it; wide letters become plain."""
    seen = "".join(one for one in text if unicodedata.category(one) not in UNSEEN) if not _is_plain(text) else text
    plain = unicodedata.normalize("NFKC", seen.translate(HARD_SPACES))
    return _SCHEME.sub("", plain, count=1).strip() if _SCHEME.match(plain) else plain.strip()


def digits(text: str) -> str:
    """Return a text's digits, of whatever script, as ASCII."""
    return "".join(str(unicodedata.decimal(one)) for one in text if one.isdecimal())


def comparable(contact: str) -> str:
    """Return what two spellings of one contact have in common: an address's folded text, a number's digits."""
    text = clean(contact)
    number = "" if "@" in text else digits(text)
    return number.lstrip("0") or number or text.casefold()


def own_emails(attributes: Attributes) -> tuple[Contact, ...]:
    """Return the email addresses that belong to this customer alone."""
    return _own([attributes.emails], attributes.shared_emails, "email")


def own_phones(attributes: Attributes) -> tuple[Contact, ...]:
    """Return the phone numbers that belong to this customer alone, those of WhatsApp after the others."""
    return _own([attributes.phones, attributes.whatsapps], attributes.shared_phones, "phone")


def masked_contacts(attributes: Attributes) -> tuple[str, ...]:
    """Name the kinds of contacts that the API key may not read."""
    kinds = {"email": attributes.emails, "phone": attributes.phones}
    masked = [kind for kind, listed in kinds.items() if _hides(listed, kind)]
    if "phone" not in masked and _hides(attributes.whatsapps, "phone") and not own_phones(attributes):
        masked.append("phone")
    return tuple(masked)


def _own(lists: Sequence[Any], shared: Any, field: str) -> tuple[Contact, ...]:
    strangers = {comparable(value) for value, _ in _listed(shared, field)}
    found: dict[str, Contact] = {}
    for value, is_verified in (one for listed in lists for one in _listed(listed, field)):
        key = comparable(value)
        if key not in strangers:
            first = found.get(key, Contact(value))
            found[key] = Contact(first.value, verified=first.verified or is_verified)
    return tuple(found.values())


def _listed(listed: Any, field: str) -> Iterable[tuple[str, bool]]:
    for entry in as_list(listed):
        text = as_text(as_object(entry).get(field))
        value = None if text is None else clean(text)
        if value:
            yield value, as_object(entry).get("verified") is True


def _hides(listed: Any, field: str) -> bool:
    entries = as_list(listed)
    return is_masked(listed) or any(is_masked(one) or is_masked(as_object(one).get(field)) for one in entries)


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()
