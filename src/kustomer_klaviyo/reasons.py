"""Why something was not sent, not processed or not looked up: codes that are stored and compared, and their sentences.

Only this module renders a code as a sentence. Variable detail, such as a vendor's own words, is stored in its own
column (``response_detail``, ``hold_detail``, ``note``) and passed to ``sentence``.
"""

from enum import StrEnum
from typing import overload


class Reason(StrEnum):
    """Why a delivery is in its state, or why a connection's deliveries are held."""

    # Unidentified: waiting for a customer or a contact.
    LOOKING_UP_CUSTOMER = "looking_up_customer"
    NO_CUSTOMER = "no_customer"
    NO_IDENTIFIER = "no_identifier"
    PHONE_CONFLICT = "phone_conflict"
    CONTACTS_REFUSED = "contacts_refused"
    # The customer never became known.
    CUSTOMER_NOT_READ = "customer_not_read"
    CUSTOMER_REMOVED = "customer_removed"
    NEVER_IDENTIFIED = "never_identified"
    NEVER_ANY_CUSTOMER = "never_any_customer"
    # Skipped by a setting.
    BEFORE_SINCE = "before_since"
    SPAM = "spam"
    KUSTOMER_IMPORT = "kustomer_import"
    CONVERSATION_DELETED = "conversation_deleted"
    NOT_ROUTED_HERE = "not_routed_here"
    ONLY_TAGS = "only_tags"
    ONLY_ATTRIBUTES = "only_attributes"
    NOT_IN_KLAVIYO = "not_in_klaviyo"
    # The end of an attempt; four of them also hold the connection.
    REJECTED = "rejected"
    FAILED_REPEATEDLY = "failed_repeatedly"
    NOT_FINISHED = "not_finished"
    FACT_UNREADABLE = "fact_unreadable"
    LIKELY_DROPPED = "likely_dropped"
    RATE_LIMITED = "rate_limited"
    KLAVIYO_UNAVAILABLE = "klaviyo_unavailable"
    ACCESS_DENIED = "access_denied"
    KEY_REJECTED = "key_rejected"
    FALLBACK_KEY_IN_USE = "fallback_key_in_use"
    """A note on the connection, which does not hold it."""
    # Profile writes.
    UP_TO_DATE = "up_to_date"
    PROFILES_NOT_WANTED = "profiles_not_wanted"
    PROFILE_REMOVED = "profile_removed"
    ERASURE_SCOPE_MISSING = "erasure_scope_missing"
    NEXT_CONTACT = "next_contact"
    WITHOUT_REFUSED_FIELDS = "without_refused_fields"
    REPLACED_BY_FULL_RESEND = "replaced_by_full_resend"
    BULK_IMPORTED = "bulk_imported"
    BULK_IMPORT_CANCELLED = "bulk_import_cancelled"
    BULK_IMPORT_FAILED = "bulk_import_failed"
    # Customers that were merged or deleted in Kustomer.
    CUSTOMER_MERGED = "customer_merged"
    CUSTOMER_ERASED = "customer_erased"
    DELETED_PROFILE_KEPT = "deleted_profile_kept"
    DELETED_PROFILE_SHARED = "deleted_profile_shared"
    DELETED_PROFILE_CLEARED = "deleted_profile_cleared"
    DELETED_NOTHING_SENT = "deleted_nothing_sent"


class DeliveryNote(StrEnum):
    """What happened during a write that Klaviyo accepted."""

    PHONE_KEPT_AS_PROPERTY = "phone_kept_as_property"
    PHONE_REJECTED = "phone_rejected"
    EMAIL_CONFLICT = "email_conflict"
    FORMER_CONTACT_UNKNOWN = "former_contact_unknown"
    PROFILE_RECREATED = "profile_recreated"
    PROFILES_MERGED = "profiles_merged"
    MERGE_FAILED = "merge_failed"
    VALUE_REJECTED = "value_rejected"


class LookupReason(StrEnum):
    """Why a lookup has no usable response."""

    KUSTOMER_KEY_REJECTED = "kustomer_key_rejected"
    KUSTOMER_REFUSED = "kustomer_refused"
    KUSTOMER_RATE_LIMITED = "kustomer_rate_limited"
    KUSTOMER_UNAVAILABLE = "kustomer_unavailable"
    KUSTOMER_UNREADABLE = "kustomer_unreadable"
    LOOKUP_FAULT = "lookup_fault"


class InboxReason(StrEnum):
    """Why an event was not processed as it was received."""

    UNREADABLE = "unreadable"
    TOO_LARGE = "too_large"
    FAULT = "fault"


Code = Reason | DeliveryNote | LookupReason | InboxReason

_SENTENCES: dict[Code, tuple[str, str]] = {
    Reason.LOOKING_UP_CUSTOMER: ("the customer is being looked up in Kustomer", ""),
    Reason.NO_CUSTOMER: ("the conversation names no customer yet", ""),
    Reason.NO_IDENTIFIER: ("no identifier: the customer has neither a usable email nor a phone yet", ""),
    Reason.PHONE_CONFLICT: (
        "no identifier: the customer has only a phone number, and it belongs to another Klaviyo profile",
        "Add an email address in Kustomer",
    ),
    Reason.CONTACTS_REFUSED: (
        "no identifier: Klaviyo accepts none of the customer's addresses and numbers",
        "Correct them in Kustomer",
    ),
    Reason.CUSTOMER_NOT_READ: (
        "the customer could not be read from Kustomer",
        "`status` shows why; `retry` looks the customer up again",
    ),
    Reason.CUSTOMER_REMOVED: ("the customer no longer exists in Kustomer (deleted, or merged into another)", ""),
    Reason.NEVER_IDENTIFIED: (
        "no identifier: the customer had no usable email or phone within the option unidentified_retention_days",
        "`retry` checks again",
    ),
    Reason.NEVER_ANY_CUSTOMER: (
        "the conversation named no customer within the option unidentified_retention_days",
        "",
    ),
    Reason.BEFORE_SINCE: (
        "before_since: it happened before `connect --since`, or before the option delivery_retention_days",
        "",
    ),
    Reason.SPAM: ("spam: the conversation is marked as spam (option spam=skip)", ""),
    Reason.KUSTOMER_IMPORT: (
        "kustomer_import: the conversation was imported into Kustomer (option kustomer_imports=skip)",
        "",
    ),
    Reason.CONVERSATION_DELETED: ("the conversation was deleted in Kustomer", ""),
    Reason.NOT_ROUTED_HERE: (
        "routed elsewhere: conversations of this brand do not go to this connection",
        "`kustomer-klaviyo routes show` lists the routes",
    ),
    Reason.ONLY_TAGS: ("the customer has none of the synced tags (option only_tags)", ""),
    Reason.ONLY_ATTRIBUTES: ("the customer's attributes are not the synced ones (option only_attributes)", ""),
    Reason.NOT_IN_KLAVIYO: ("the customer has no Klaviyo profile (option update_only)", ""),
    Reason.REJECTED: ("Klaviyo rejected it", "Correct the data, then run `retry`"),
    Reason.FAILED_REPEATEDLY: (
        "it failed repeatedly while others got through",
        "`retry` sends it again",
    ),
    Reason.NOT_FINISHED: (
        "the attempt was not finished",
        "Klaviyo may have received it; `retry` sends it again",
    ),
    Reason.FACT_UNREADABLE: ("the stored event can no longer be read", ""),
    Reason.LIKELY_DROPPED: (
        "accepted, but Klaviyo is known to drop events for addresses at example.com and test.com silently",
        "",
    ),
    Reason.RATE_LIMITED: ("Klaviyo's rate limit was reached", "Sending resumes by itself"),
    Reason.KLAVIYO_UNAVAILABLE: ("Klaviyo could not be reached", "Sending resumes by itself"),
    Reason.ACCESS_DENIED: (
        "Klaviyo denied access",
        "Delivery is tried again at intervals; events are kept until then",
    ),
    Reason.KEY_REJECTED: (
        "Klaviyo rejected the API key",
        "Add a valid key with `kustomer-klaviyo connect`; events are kept until then",
    ),
    Reason.FALLBACK_KEY_IN_USE: ("Klaviyo rejects the current API key; the previous key is used", "Add a new key"),
    Reason.UP_TO_DATE: ("Klaviyo already has all of it", ""),
    Reason.PROFILES_NOT_WANTED: ("profiles are not written for this customer (option profiles)", ""),
    Reason.PROFILE_REMOVED: ("the Klaviyo profile no longer exists", ""),
    Reason.ERASURE_SCOPE_MISSING: (
        "the Klaviyo key lacks the scope data-privacy:write",
        "Add a key that has it, then run `retry`",
    ),
    Reason.NEXT_CONTACT: (
        "superseded: Klaviyo does not accept a contact; the profile is written under the next one",
        "",
    ),
    Reason.WITHOUT_REFUSED_FIELDS: (
        "superseded: Klaviyo does not accept some values; the profile is written without them",
        "",
    ),
    Reason.REPLACED_BY_FULL_RESEND: ("superseded: the whole profile is sent again", ""),
    Reason.BULK_IMPORTED: ("imported in bulk", ""),
    Reason.BULK_IMPORT_CANCELLED: (
        "Klaviyo cancelled the bulk import, or does not report its result",
        "The profile is sent again by itself",
    ),
    Reason.BULK_IMPORT_FAILED: (
        "Klaviyo's bulk import failed for this profile",
        "The profile is sent again alone",
    ),
    Reason.CUSTOMER_MERGED: (
        "the customer was merged into another one in Kustomer; the support state is sent there",
        "",
    ),
    Reason.CUSTOMER_ERASED: (
        "the customer was deleted in Kustomer: Klaviyo is asked to erase the profile (option on_deletion=erase)",
        "",
    ),
    Reason.DELETED_PROFILE_KEPT: (
        "the customer was deleted in Kustomer: the profile stays as it is (option on_deletion=nothing)",
        "",
    ),
    Reason.DELETED_PROFILE_SHARED: (
        "the customer was deleted in Kustomer: the profile stays, since another customer has the same contact",
        "",
    ),
    Reason.DELETED_PROFILE_CLEARED: (
        "the customer was deleted in Kustomer: the values that were sent are cleared (option on_deletion=clear)",
        "",
    ),
    Reason.DELETED_NOTHING_SENT: ("the customer was deleted in Kustomer: nothing had been sent", ""),
    DeliveryNote.PHONE_KEPT_AS_PROPERTY: (
        "the phone number belongs to another Klaviyo profile and is kept as a property",
        "",
    ),
    DeliveryNote.PHONE_REJECTED: ("Klaviyo does not accept the phone number; it is kept as a property", ""),
    DeliveryNote.EMAIL_CONFLICT: ("the new email address belongs to another Klaviyo profile, which is used now", ""),
    DeliveryNote.FORMER_CONTACT_UNKNOWN: ("Klaviyo has no profile with the former email or phone", ""),
    DeliveryNote.PROFILE_RECREATED: ("the Klaviyo profile no longer existed; a new one was created", ""),
    DeliveryNote.PROFILES_MERGED: ("two Klaviyo profiles were merged (option merge_profiles)", ""),
    DeliveryNote.MERGE_FAILED: ("merging the Klaviyo profiles failed", ""),
    DeliveryNote.VALUE_REJECTED: ("Klaviyo does not accept a value, which was left out", ""),
    LookupReason.KUSTOMER_KEY_REJECTED: (
        "Kustomer rejected the API key",
        "Add a valid key with `kustomer-klaviyo connect`",
    ),
    LookupReason.KUSTOMER_REFUSED: ("Kustomer refused the request", "`retry` looks it up again"),
    LookupReason.KUSTOMER_RATE_LIMITED: ("Kustomer's rate limit was reached", "Lookups resume by themselves"),
    LookupReason.KUSTOMER_UNAVAILABLE: ("Kustomer could not be reached", "Lookups resume by themselves"),
    LookupReason.KUSTOMER_UNREADABLE: ("Kustomer's response cannot be read", "`retry` looks it up again"),
    LookupReason.LOOKUP_FAULT: (
        "an error of this program; its traceback is stored with the lookup",
        "`retry` looks it up again",
    ),
    InboxReason.UNREADABLE: (
        "unreadable: the body is no JSON object",
        "It is stored as received; after an upgrade `retry` processes it again",
    ),
    InboxReason.TOO_LARGE: ("too large: the body is larger than the limit, and only its beginning is stored", ""),
    InboxReason.FAULT: (
        "an error of this program; its traceback is stored with the event and logged",
        "Please report it; after an upgrade `retry` processes the event again",
    ),
}
"""What happened and what to do next (may be empty), by code."""

_CODES: dict[str, Code] = {str(code): code for code in _SENTENCES}


def parse_code(reason: str | None) -> Code | None:
    """Return the code of a stored reason; None for any other text."""
    return None if reason is None else _CODES.get(reason)


@overload
def sentence(reason: str, detail: str | None = None) -> str: ...


@overload
def sentence(reason: None, detail: None = None) -> None: ...


@overload
def sentence(reason: str | None, detail: str | None = None) -> str | None: ...


def sentence(reason: str | None, detail: str | None = None) -> str | None:
    """Render a stored reason as a sentence, with its detail and what to do next; an unknown code as it is.

    Without a reason, the detail is a note, such as the one on a delivered event.
    """
    if reason is None:
        return detail
    code = parse_code(reason)
    if code is None:
        return reason
    cause, next_step = _SENTENCES[code]
    explanation = f"{cause} ({detail.rstrip('.')})" if detail else cause
    return f"{explanation}. {next_step}" if next_step else explanation
