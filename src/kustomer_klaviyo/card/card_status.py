"""Codes for what a card shows, and for why a part could not be fetched. ``card_view`` renders the sentences."""

from collections.abc import Iterable
from enum import StrEnum


class CardStatus(StrEnum):
    """What a card can show."""

    OK = "ok"
    """The customer's profile."""
    CUSTOMER_UNKNOWN = "customer_unknown"
    """Klaviyo has no profile with the customer's email or phone number."""
    NO_CONTACT = "no_contact"
    """The customer has neither an email nor a phone number."""
    MASKED = "masked"
    """The Kustomer key may not read the customer's contacts."""
    CUSTOMER_DELETED = "customer_deleted"
    """The customer was deleted in Kustomer, or merged into another."""
    NOT_IN_KUSTOMER = "not_in_kustomer"
    """Kustomer did not return the customer."""
    FETCHING = "fetching"
    """Nothing was fetched yet."""
    KLAVIYO_UNAVAILABLE = "klaviyo_unavailable"
    """Klaviyo does not respond."""
    RATE_LIMITED = "rate_limited"
    """Klaviyo's rate limit is used up."""
    KEY_REJECTED = "key_rejected"
    """Klaviyo rejects the key, or the key lacks a scope."""
    TOO_MANY_REQUESTS = "too_many_requests"
    """Cards are opened more often than agents can."""


class CardError(StrEnum):
    """Why a part of a card could not be fetched. The first one decides the status of a card that has no data."""

    KEY_REJECTED = "key_rejected"
    MISSING_SCOPE = "missing_scope"
    RATE_LIMITED = "rate_limited"
    NOT_IN_KUSTOMER = "not_in_kustomer"
    KLAVIYO_UNAVAILABLE = "klaviyo_unavailable"


STATUS_OF_ERROR = {
    CardError.KEY_REJECTED: CardStatus.KEY_REJECTED,
    CardError.MISSING_SCOPE: CardStatus.KEY_REJECTED,
    CardError.RATE_LIMITED: CardStatus.RATE_LIMITED,
    CardError.NOT_IN_KUSTOMER: CardStatus.NOT_IN_KUSTOMER,
    CardError.KLAVIYO_UNAVAILABLE: CardStatus.KLAVIYO_UNAVAILABLE,
}


def deciding_error(errors: Iterable[CardError]) -> CardError | None:
    """Return the error that decides the status of a card; None if there is none."""
    present = set(errors)
    return next((error for error in CardError if error in present), None)


def parse_card_error(code: str | None) -> CardError | None:
    """Return a stored error. An unknown code, stored by another version of the program, counts as unavailable."""
    if code is None:
        return None
    return CardError(code) if code in set(CardError) else CardError.KLAVIYO_UNAVAILABLE
