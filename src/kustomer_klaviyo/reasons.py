"""Why an event is not sent: codes, kept and compared. What an admin reads is rendered from them here alone."""

from enum import StrEnum


class Reason(StrEnum):
    """Why an event waits, was skipped or failed before anything was asked of Klaviyo."""

    LOOKING_UP = "looking_up_customer"
    NOT_READ = "customer_not_read"
    NO_IDENTIFIER = "no_identifier"
    NEVER_IDENTIFIED = "never_identified"
    PHONE_TAKEN = "phone_taken"
    CONTACTS_REFUSED = "contacts_refused"
    CUSTOMER_GONE = "customer_gone"
    NO_CUSTOMER = "no_customer"
    NEVER_ANY_CUSTOMER = "never_any_customer"
    BEFORE_SINCE = "before_since"
    SPAM = "spam"
    IMPORTED = "imported"
    DELETED = "conversation_deleted"


SENTENCES = {
    Reason.LOOKING_UP: "the customer is being looked up in Kustomer",
    Reason.NOT_READ: "the customer could not be read from Kustomer (see `status`); `retry` asks again",
    Reason.NO_IDENTIFIER: "no identifier: the customer has neither a usable email nor a phone yet",
    Reason.NEVER_IDENTIFIED: "no identifier: the customer had neither a usable email nor a phone for as many days as"
    " the option keep_unidentified_days says; `retry` looks again",
    Reason.PHONE_TAKEN: "no identifier: the customer has only a number, and Klaviyo keeps that under another profile",
    Reason.CONTACTS_REFUSED: "no identifier: Klaviyo takes none of the customer's addresses and numbers; correct them"
    " in Kustomer",
    Reason.CUSTOMER_GONE: "the customer no longer exists in Kustomer (deleted, or merged into another)",
    Reason.NO_CUSTOMER: "the conversation names no customer yet",
    Reason.NEVER_ANY_CUSTOMER: "the conversation named no customer for as many days as the option"
    " keep_unidentified_days says: there is nobody to tell of",
    Reason.BEFORE_SINCE: "before_since: it happened before this connection tells (`connect --since`), or longer ago"
    " than the option keep_deliveries_days says",
    Reason.SPAM: "spam: the conversation is marked as spam (option spam=skip)",
    Reason.IMPORTED: "imported: the conversation was imported into Kustomer (option imported=skip)",
    Reason.DELETED: "the conversation was deleted in Kustomer",
}


def code(reason: str | None) -> Reason | None:
    """Return the code that a kept reason is; None when it is a sentence of another part."""
    return Reason(reason) if reason in SENTENCES else None


def sentence(reason: str | None) -> str | None:
    """Return what an admin reads: the sentence of a code, and any other reason as it is."""
    known = code(reason)
    return reason if known is None else SENTENCES[known]
