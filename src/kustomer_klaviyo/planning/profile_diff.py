"""Which profile writes are owed: what a person's profile is to hold against what was last stated to Klaviyo. Pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.klaviyo.blamed_fields import EXTERNAL_ID, NOT_TAKEN
from kustomer_klaviyo.klaviyo.profile_request import LARGEST_PROFILE, PHONE_PROPERTY, Fields, ProfileCall, Value
from kustomer_klaviyo.planning.support_state import STATE
from kustomer_klaviyo.store.customers import Profiled

LARGEST_FIELDS = LARGEST_PROFILE - 5_000
"""Bytes; the rest is left for identifiers and for what surrounds the fields."""


class Stated(msgspec.Struct, frozen=True):
    """What Klaviyo was last told of a person, or is about to be."""

    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    fields: dict[str, Any] = {}
    refused: dict[str, Any] = {}
    """Values that Klaviyo does not take, by their fields: not told again until they change."""
    doubt: bool = False
    """It may not have got there, or not to the profile that is the person's now: all is to be said again."""


@dataclass(frozen=True, slots=True)
class Owed:
    """A profile write, and what will have been stated with it."""

    call: ProfileCall
    stated: Stated
    notes: tuple[str, ...] = field(default=())


def owed_profile(person: Profiled, support: Fields, rules: Rules) -> Owed | None:
    """Return the write that brings the profile up to date; None when nothing is to be written."""
    if person.gone:
        return None
    if person.left_out is not None or not _is_wanted(person, rules):
        return _withdrawn(person)
    phone = None if person.phone == person.taken_phone else person.phone
    if person.email is None and phone is None:
        return None
    stated = read_stated(person.stated)
    wanted, too_large = _fitted(person.profile | support | _kept_phone(person))
    unknown = {*person.masked, *(name for name in STATE if rules.options.support_state and name not in support)}
    external_id = f"kustomer:{rules.express.org}:{person.customer_id}" if rules.options.external_id else None
    refused = _still_refused(stated, wanted, external_id, unknown)
    wanted = {name: value for name, value in wanted.items() if name not in refused}
    # What Klaviyo holds of a field whose last value it refused is not known: it is told, or cleared, in any case.
    held = dict.fromkeys(stated.refused.keys() - {EXTERNAL_ID}) | stated.fields
    changed = changes(held, wanted, unknown={*unknown, *refused}, doubt=stated.doubt)
    external_id = None if EXTERNAL_ID in refused else external_id
    news = Stated(person.email, phone, external_id, _after(stated.fields, changed), refused)
    if news == stated:
        return None
    email_changed = stated.email is not None and stated.email != person.email
    phone_decides = stated.email is None and stated.phone is not None
    call = ProfileCall(
        fields=changed,
        email=person.email,
        phone=phone,
        external_id=external_id,
        former_email=stated.email if email_changed else None,
        former_phone=stated.phone if phone_decides and stated.phone != phone else None,
        is_whole=stated.doubt or not stated.fields,
    )
    return Owed(call, news, (*person.notes, *too_large, *_refusals(person, refused)))


def _still_refused(stated: Stated, wanted: Fields, external_id: str | None, unknown: Collection[str]) -> dict[str, Any]:
    """Return what Klaviyo refused and would be told again, or is not known any more."""
    now: dict[str, Any] = {**wanted, EXTERNAL_ID: external_id}
    return {name: value for name, value in stated.refused.items() if name in unknown or _is_same(value, now.get(name))}


def _refusals(person: Profiled, refused: Collection[str]) -> list[str]:
    """Say what is left out because Klaviyo did not take it."""
    contacts = [f"{one} left out: {NOT_TAKEN}" for one in person.refused_contacts]
    return [*contacts, *(f"{name} left out: {NOT_TAKEN}" for name in refused)]


def _kept_phone(person: Profiled) -> Fields:
    """Return a number that belongs to another profile as a mere property."""
    is_taken = person.phone is not None and person.phone == person.taken_phone and person.email is not None
    return {PHONE_PROPERTY: person.phone} if is_taken and person.phone else {}


def _withdrawn(person: Profiled) -> Owed | None:
    """Return the write that takes back the state of support of someone who is not told of any more.

    Left as it is, an open conversation would keep them from every campaign for ever.
    """
    call, stated = cleared(person, only=STATE), read_stated(person.stated)
    if call is None:
        return None
    kept = {name: value for name, value in stated.fields.items() if name not in STATE}
    refused = {name: value for name, value in stated.refused.items() if name not in STATE}
    return Owed(call, msgspec.structs.replace(stated, fields=kept, refused=refused))


def cleared(person: Profiled, *, only: Collection[str] | None = None) -> ProfileCall | None:
    """Return the write that takes back the fields we wrote, all or some; None when there are none."""
    stated = read_stated(person.stated)
    written = {**stated.fields, **stated.refused}.keys() - {EXTERNAL_ID}
    names = sorted(name for name in written if only is None or name in only)
    if not names or not (stated.email or stated.phone):
        return None
    phone = None if stated.email else stated.phone
    return ProfileCall(dict.fromkeys(names), email=stated.email, phone=phone, must_exist=True)


def erased(person: Profiled) -> ProfileCall | None:
    """Return the wish to have the person erased; None when Klaviyo was never told of them."""
    stated = read_stated(person.stated)
    if not (stated.email or stated.phone):
        return None
    return ProfileCall(email=stated.email, phone=None if stated.email else stated.phone, erase=True)


def changes(
    stated: Mapping[str, Value | None], wanted: Fields, *, unknown: Collection[str] = (), doubt: bool = False
) -> dict[str, Value | None]:
    """Return what differs: new values, and None for what is no longer there; what is not known is left as it is.

    With ``doubt`` every value counts as new.
    """
    news: dict[str, Value | None] = {
        name: value
        for name, value in wanted.items()
        if doubt or name not in stated or not _is_same(stated[name], value)
    }
    return news | {name: None for name in stated if name not in wanted and name not in unknown}


def read_stated(document: dict[str, Any]) -> Stated:
    """Return what was kept of the last statement."""
    return msgspec.convert(document, Stated)


def _is_same(one: Value | None, other: Value | None) -> bool:
    # True equals 1 in Python, but not in a segment.
    return type(one) is type(other) and one == other


def _after(stated: Fields, changed: dict[str, Value | None]) -> Fields:
    merged = stated | changed
    return {name: value for name, value in merged.items() if value is not None}


def _is_wanted(person: Profiled, rules: Rules) -> bool:
    wish = rules.options.profiles
    return wish == "everyone" or (wish == "conversations" and any(rules.away(brand) is None for brand in person.brands))


def _fitted(fields: Fields) -> tuple[Fields, list[str]]:
    """Leave the largest values out until Klaviyo takes the rest."""
    kept, notes = dict(fields), []
    size = len(msgspec.json.encode(kept))
    for name in sorted(kept, key=lambda one: len(msgspec.json.encode(kept[one])), reverse=True):
        if size <= LARGEST_FIELDS:
            break
        size -= len(msgspec.json.encode(kept.pop(name)))
        notes.append(f"{name} left out: the profile would be larger than Klaviyo takes")
    return kept, notes
