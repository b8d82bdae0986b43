"""Finds the fields that Klaviyo rejects by the JSON pointers of its errors, and drops them from the request. Pure.

Errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import re
from collections.abc import Iterable
from dataclasses import replace

from kustomer_klaviyo.cleaning import clean
from kustomer_klaviyo.klaviyo.event_request import EventRequest
from kustomer_klaviyo.klaviyo.profile_request import PROPERTY, ProfileRequest, Value
from kustomer_klaviyo.outcomes import Outcome, Refused

INVALID = (400, 422)
"""Statuses that reject a value. 409 means instead that it belongs to another profile."""

EXTERNAL_ID = "external_id"
PHONE_NUMBER = "phone_number"
IDENTIFIERS = ("email", PHONE_NUMBER, EXTERNAL_ID)

_IN_PROFILE = re.compile(r"/data/(?:attributes/profile/data/)?attributes/(?!profile/)(.+)\Z", re.DOTALL)
_CLEARING = re.compile(r"/data/(?:attributes/)?meta(?:/|\Z)")
_EVENT_CONTACT = re.compile(r"/data/attributes/profile/(?:data/)?(?:attributes/)?(email|phone_number)(?:/|\Z)")
_EVENT_PROPERTY = re.compile(r"/data/attributes/properties(?:/(.+))?\Z", re.DOTALL)


def rejected_fields(request: ProfileRequest, outcome: Outcome) -> dict[str, Value | None]:
    """Return the rejected values that can be dropped from a profile; none if its identifying contact is rejected.

    Keys are the flat names of fields, ``phone_number`` and ``external_id``.
    """
    names = _rejected_names(request, outcome)
    if _identifying_contact(names, request) is not None:
        return {}
    values = dict(request.fields) | {PHONE_NUMBER: request.phone, EXTERNAL_ID: request.external_id}
    return {name: values[name] for name in names if name in values and (name not in IDENTIFIERS or values[name])}


def drop_fields(request: ProfileRequest, names: Iterable[str]) -> ProfileRequest:
    """Return a profile request without some fields. A phone number is kept as a property."""
    dropped = set(names)
    rest = replace(request, fields={name: value for name, value in request.fields.items() if name not in dropped})
    if EXTERNAL_ID in dropped:
        rest = replace(rest, external_id=None)
    return rest.without_phone() if PHONE_NUMBER in dropped else rest


def rejected_contact(request: ProfileRequest | EventRequest, outcome: Outcome) -> str | None:
    """Return the identifying email or phone number if Klaviyo rejects it."""
    if isinstance(request, ProfileRequest):
        return _identifying_contact(_rejected_names(request, outcome), request)
    names = {match.group(1) for pointer in _pointers(outcome) if (match := _EVENT_CONTACT.match(pointer))}
    return _identifying_contact(names, request)


def rejected_properties(request: EventRequest, outcome: Outcome) -> set[str]:
    """Return the rejected properties that can be dropped from an event."""
    matches = [match for pointer in _pointers(outcome) if (match := _EVENT_PROPERTY.match(pointer))]
    return {name for match in matches for name in _names_at(match.group(1), request.properties)}


def drop_properties(request: EventRequest, names: Iterable[str]) -> EventRequest:
    """Return an event request without some properties."""
    dropped = set(names)
    properties = {name: value for name, value in request.properties.items() if name not in dropped}
    return replace(request, properties=properties)


def _pointers(outcome: Outcome) -> tuple[str, ...]:
    return outcome.pointers if isinstance(outcome, Refused) and outcome.status in INVALID else ()


def _identifying_contact(names: Iterable[str], request: ProfileRequest | EventRequest) -> str | None:
    if "email" in names and request.email:
        return request.email
    return request.phone if PHONE_NUMBER in names and not request.email else None


def _rejected_names(request: ProfileRequest, outcome: Outcome) -> set[str]:
    return {name for pointer in _pointers(outcome) for name in _names_at_pointer(pointer, request)}


def _names_at_pointer(pointer: str, request: ProfileRequest) -> set[str]:
    """Return the parts of a profile that a pointer refers to: one field, or all fields below a path."""
    if _CLEARING.match(pointer):
        return {name for name, value in request.fields.items() if value is None and name.startswith(PROPERTY)}
    match = _IN_PROFILE.match(pointer)
    if match is None:
        return set()
    top, _, below = match.group(1).partition("/")
    if top in IDENTIFIERS:
        return {top}
    prefix = f"{top}."
    inner = {name.removeprefix(prefix): name for name in request.fields if name.startswith(prefix)}
    if inner:
        return {inner[name] for name in _names_at(below or None, inner)}
    return {top} & set(request.fields)


def _names_at(path: str | None, names: Iterable[str]) -> set[str]:
    """Return the name at or above a pointer's path, the longest if several match; all names without a path.

    A name may contain slashes, escaped as ``~1`` (RFC 6901) or not escaped.
    """
    if path is None:
        return set(names)
    spellings = {path, path.replace("~1", "/").replace("~0", "~")}
    matches = [name for name in names for spelling in spellings if _is_at(spelling, clean(name))]
    return {max(matches, key=len)} if matches else set()


def _is_at(path: str, name: str) -> bool:
    return path == name or path.startswith(f"{name}/")
