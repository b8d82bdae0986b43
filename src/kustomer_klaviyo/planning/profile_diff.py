"""Decides which profile write is needed: the difference between a profile and what was last sent to Klaviyo. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.klaviyo.profile_request import MAX_PROFILE_BYTES, PHONE_PROPERTY, Fields, ProfileRequest, Value
from kustomer_klaviyo.klaviyo.rejected_fields import EXTERNAL_ID
from kustomer_klaviyo.planning.support_state import SUPPORT_PROPERTIES
from kustomer_klaviyo.reasons import DeliveryNote, sentence
from kustomer_klaviyo.store.sent_profiles import CustomerProfile

MAX_FIELD_BYTES = MAX_PROFILE_BYTES - 5_000
"""The rest is reserved for identifiers and the enclosing document."""


class SentProfile(msgspec.Struct, frozen=True):
    """The profile that was last sent to Klaviyo, or is about to be."""

    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    fields: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    """Values that Klaviyo refused, by field: not sent again until they change."""
    resend_all: bool = False
    """It may not have arrived, or arrived in another profile: the next write sends everything."""


@dataclass(frozen=True, slots=True)
class ProfileUpdate:
    """A profile write, and the profile that has been sent with it."""

    request: ProfileRequest
    sent: SentProfile
    notes: tuple[str, ...] = field(default=())


def diff_profile(customer: CustomerProfile, support: Fields, rules: ConnectionRules) -> ProfileUpdate | None:
    """Return the write that brings the profile up to date; None if it is up to date."""
    if customer.removed:
        return None
    if customer.skip_reason is not None or not _is_wanted(customer, rules):
        return _withdraw_support_state(customer)
    phone = None if customer.phone == customer.conflicting_phone else customer.phone
    if customer.email is None and phone is None:
        return None
    last = read_sent_profile(customer.last_sent)
    wanted, size_notes = _drop_oversized(customer.profile | support | _phone_property(customer))
    unknown = {*customer.masked}
    if rules.options.support_state:
        unknown |= set(SUPPORT_PROPERTIES) - support.keys()
    external_id = f"kustomer:{rules.event_settings.org}:{customer.customer_id}" if rules.options.external_id else None
    refused = _still_refused(last, wanted, external_id, unknown)
    wanted = {name: value for name, value in wanted.items() if name not in refused}
    # If Klaviyo refused the last value of a field, its current value is unknown: the field is sent or cleared anyway.
    present = dict.fromkeys(last.refused.keys() - {EXTERNAL_ID}) | last.fields
    changed = changes(present, wanted, unknown={*unknown, *refused}, resend_all=last.resend_all)
    external_id = None if EXTERNAL_ID in refused else external_id
    sent = SentProfile(customer.email, phone, external_id, _apply(last.fields, changed), refused)
    if sent == last:
        return None
    notes = (*customer.notes, *size_notes, *_refusal_notes(customer, refused))
    return ProfileUpdate(_request(last, sent, changed), sent, notes)


def _request(last: SentProfile, sent: SentProfile, changed: Mapping[str, Value | None]) -> ProfileRequest:
    email_changed = last.email is not None and last.email != sent.email
    phone_identified = last.email is None and last.phone is not None
    return ProfileRequest(
        fields=changed,
        email=sent.email,
        phone=sent.phone,
        external_id=sent.external_id,
        former_email=last.email if email_changed else None,
        former_phone=last.phone if phone_identified and last.phone != sent.phone else None,
        is_whole=last.resend_all or not last.fields,
    )


def _still_refused(
    last: SentProfile, wanted: Fields, external_id: str | None, unknown: Collection[str]
) -> dict[str, Any]:
    """Return the refused values that are unchanged or unknown."""
    current: dict[str, Any] = {**wanted, EXTERNAL_ID: external_id}
    return {
        name: value for name, value in last.refused.items() if name in unknown or _is_same(value, current.get(name))
    }


def _refusal_notes(customer: CustomerProfile, refused: Collection[str]) -> list[str]:
    return [sentence(DeliveryNote.VALUE_REJECTED, value) for value in (*customer.refused_contacts, *refused)]


def _phone_property(customer: CustomerProfile) -> Fields:
    """Return a number that belongs to another profile as a property."""
    has_conflict = customer.phone is not None and customer.phone == customer.conflicting_phone
    return {PHONE_PROPERTY: customer.phone} if has_conflict and customer.phone and customer.email is not None else {}


def _withdraw_support_state(customer: CustomerProfile) -> ProfileUpdate | None:
    """Return the write that clears the support state of a customer for whom nothing is sent any more.

    Otherwise an open conversation would exclude them from every campaign permanently.
    """
    request, last = clear_request(customer, only=SUPPORT_PROPERTIES), read_sent_profile(customer.last_sent)
    if request is None:
        return None
    fields = {name: value for name, value in last.fields.items() if name not in SUPPORT_PROPERTIES}
    refused = {name: value for name, value in last.refused.items() if name not in SUPPORT_PROPERTIES}
    return ProfileUpdate(request, msgspec.structs.replace(last, fields=fields, refused=refused))


def clear_request(customer: CustomerProfile, *, only: Collection[str] | None = None) -> ProfileRequest | None:
    """Return the write that clears sent fields, all or some; None if there are none."""
    last = read_sent_profile(customer.last_sent)
    sent = {**last.fields, **last.refused}.keys() - {EXTERNAL_ID}
    names = sorted(name for name in sent if only is None or name in only)
    if not names or not (last.email or last.phone):
        return None
    phone = None if last.email else last.phone
    return ProfileRequest(dict.fromkeys(names), email=last.email, phone=phone, must_exist=True)


def erasure_request(customer: CustomerProfile) -> ProfileRequest | None:
    """Return the request to erase the profile; None if nothing was sent."""
    last = read_sent_profile(customer.last_sent)
    if not (last.email or last.phone):
        return None
    return ProfileRequest(email=last.email, phone=None if last.email else last.phone, erase=True)


def changes(
    present: Mapping[str, Value | None], wanted: Fields, *, unknown: Collection[str] = (), resend_all: bool = False
) -> dict[str, Value | None]:
    """Return the changed values, and None for removed ones; unknown ones stay as they are.

    With ``resend_all`` every value counts as changed.
    """
    changed: dict[str, Value | None] = {
        name: value
        for name, value in wanted.items()
        if resend_all or name not in present or not _is_same(present[name], value)
    }
    return changed | {name: None for name in present if name not in wanted and name not in unknown}


def read_sent_profile(document: dict[str, Any]) -> SentProfile:
    """Return a stored profile."""
    return msgspec.convert(document, SentProfile)


def _is_same(value: Value | None, other: Value | None) -> bool:
    # True equals 1 in Python, but not in a segment.
    return type(value) is type(other) and value == other


def _apply(fields: Fields, changed: Mapping[str, Value | None]) -> Fields:
    return {name: value for name, value in {**fields, **changed}.items() if value is not None}


def _is_wanted(customer: CustomerProfile, rules: ConnectionRules) -> bool:
    if rules.options.profiles == "conversations":
        return any(rules.is_routed_here(brand) for brand in customer.brands)
    return rules.options.profiles == "everyone"


def _drop_oversized(fields: Fields) -> tuple[Fields, list[str]]:
    """Drop the largest values until Klaviyo accepts the rest; returns the rest and notes."""
    remaining, notes = dict(fields), []
    size = len(msgspec.json.encode(remaining))
    for name in sorted(remaining, key=lambda name: len(msgspec.json.encode(remaining[name])), reverse=True):
        if size <= MAX_FIELD_BYTES:
            break
        size -= len(msgspec.json.encode(remaining.pop(name)))
        notes.append(f"{name} left out: the profile would be larger than Klaviyo accepts")
    return remaining, notes
