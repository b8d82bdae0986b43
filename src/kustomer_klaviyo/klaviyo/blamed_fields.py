"""What of a request Klaviyo blames by its JSON pointers, and the request without it. Pure.

Errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from kustomer_klaviyo.cleaning import clean
from kustomer_klaviyo.klaviyo.event_request import EventCall
from kustomer_klaviyo.klaviyo.profile_request import PROPERTY, ProfileCall, Value
from kustomer_klaviyo.outcomes import Outcome, Refused

INVALID = (400, 422)
"""Statuses by which a value is refused; 409 says that it is another profile's."""

NOT_TAKEN = "Klaviyo does not take it"

EXTERNAL_ID = "external_id"
PHONE_NUMBER = "phone_number"
IDENTIFIERS = ("email", PHONE_NUMBER, EXTERNAL_ID)

_IN_PROFILE = re.compile(r"/data/(?:attributes/profile/data/)?attributes/(?!profile/)(.+)\Z", re.DOTALL)
_CLEARING = re.compile(r"/data/(?:attributes/)?meta(?:/|\Z)")
_EVENT_CONTACT = re.compile(r"/data/attributes/profile/(?:data/)?(?:attributes/)?(email|phone_number)(?:/|\Z)")
_EVENT_PROPERTY = re.compile(r"/data/attributes/properties(?:/(.+))?\Z", re.DOTALL)


def refused_fields(call: ProfileCall, outcome: Outcome) -> dict[str, Value | None]:
    """Return what can be left out of a profile so that Klaviyo takes the rest; nothing where it blames who it is.

    By the flat names of fields, and ``phone_number`` and ``external_id``; with the values refused.
    """
    names = _blamed_names(call, outcome)
    if _contact_of(names, call) is not None:
        return {}
    given = dict(call.fields) | {PHONE_NUMBER: call.phone, EXTERNAL_ID: call.external_id}
    return {name: given[name] for name in names if name in given and (name not in IDENTIFIERS or given[name])}


def without(call: ProfileCall, names: Iterable[str]) -> ProfileCall:
    """Return a change without some of its fields; a number is kept as a property."""
    left_out = set(names)
    rest = replace(call, fields={name: value for name, value in call.fields.items() if name not in left_out})
    if EXTERNAL_ID in left_out:
        rest = replace(rest, external_id=None)
    return rest.without_phone() if PHONE_NUMBER in left_out else rest


def refused_contact(call: ProfileCall | EventCall, outcome: Outcome) -> str | None:
    """Return the address or number that Klaviyo does not take and by which the person was to be known."""
    if isinstance(call, ProfileCall):
        return _contact_of(_blamed_names(call, outcome), call)
    found = {match.group(1) for one in _pointers(outcome) if (match := _EVENT_CONTACT.match(one))}
    return _contact_of(found, call)


def refused_properties(call: EventCall, outcome: Outcome) -> set[str]:
    """Return the properties of an event that can be left out so that Klaviyo takes the rest."""
    matches = [match for one in _pointers(outcome) if (match := _EVENT_PROPERTY.match(one))]
    return {name for one in matches for name in _named(one.group(1), call.properties)}


def without_properties(call: EventCall, names: Iterable[str]) -> EventCall:
    """Return an event without some of its properties."""
    left_out = set(names)
    return replace(call, properties={name: value for name, value in call.properties.items() if name not in left_out})


def _pointers(outcome: Outcome) -> tuple[str, ...]:
    return outcome.pointers if isinstance(outcome, Refused) and outcome.status in INVALID else ()


def _contact_of(names: Iterable[str], call: ProfileCall | EventCall) -> str | None:
    if "email" in names and call.email:
        return call.email
    return call.phone if PHONE_NUMBER in names and not call.email else None


def _blamed_names(call: ProfileCall, outcome: Outcome) -> set[str]:
    return {name for one in _pointers(outcome) for name in _blamed_by(one, call)}


def _blamed_by(pointer: str, call: ProfileCall) -> set[str]:
    """Return what of a profile one pointer blames: a field, or all below a place."""
    if _CLEARING.match(pointer):
        return {name for name, value in call.fields.items() if value is None and name.startswith(PROPERTY)}
    match = _IN_PROFILE.match(pointer)
    if match is None:
        return set()
    top, _, below = match.group(1).partition("/")
    if top in IDENTIFIERS:
        return {top}
    part = f"{top}."
    inner = {name.removeprefix(part): name for name in call.fields if name.startswith(part)}
    if inner:
        return {inner[name] for name in _named(below or None, inner)}
    return {top} & set(call.fields)


def _named(path: str | None, names: Iterable[str]) -> set[str]:
    """Return which of some names a pointer's path leads to, or into: the longest; all of them without a path.

    A name may hold slashes, escaped as ``~1`` (RFC 6901) or not at all.
    """
    if path is None:
        return set(names)
    spellings = {path, path.replace("~1", "/").replace("~0", "~")}
    found = [name for name in names for one in spellings if _leads_to(one, clean(name))]
    return {max(found, key=len)} if found else set()


def _leads_to(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/")
