"""What Klaviyo takes as a profile in request bodies. Knows nothing of the profiles there are.

Rules: developers.klaviyo.com/en/reference/profiles_api_overview
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email, is_phone
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import (
    as_object,
    check_values,
    refuse_unknown,
    resource_type,
)
from kustomer_klaviyo.sandbox.klaviyo.validation.property_patches import check_patches

LONGEST_EXTERNAL_ID = 255
LARGEST_IN_EVENT = 95_000
"""Bytes of a profile inside an event."""

IDENTIFIERS = ("email", "phone_number", "external_id", "anonymous_id", "_kx")
TEXTS = ("first_name", "last_name", "organization", "locale", "title", "image")
PROFILE_FIELDS = frozenset({*IDENTIFIERS, *TEXTS, "location", "properties"})
FIELDS_IN_SINGLE_EVENT = PROFILE_FIELDS | {"meta"}
"""Revisions up to 2026-07-15 have the patches among the attributes there, later ones beside them."""
LOCATION_FIELDS = frozenset(
    {"address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip"}
)
WITHOUT_ANONYMOUS_ID = "2026-01-15"
"""The first revision whose profile endpoints no longer take ``anonymous_id``."""


@dataclass(slots=True)
class ProfileIn:
    """A profile as a request names it."""

    id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    given: dict[str, Any] = field(default_factory=dict)
    """The attributes as the request has them."""
    without_phone: bool = False
    """The phone was invalid and is left out, since another identifier is there."""


def fields_of_profiles(revision: str) -> frozenset[str]:
    """Return the attributes that the profile endpoints of a revision take."""
    return PROFILE_FIELDS if revision < WITHOUT_ANONYMOUS_ID else PROFILE_FIELDS - {"anonymous_id"}


def read_profile(data: Any, pointer: str, *, known: frozenset[str] = PROFILE_FIELDS) -> ProfileIn:
    """Check a profile resource. Raises Refusal; an invalid phone beside another identifier is only left out."""
    data = as_object(data, pointer, "data")
    resource_type(data, "profile", pointer)
    at = f"{pointer}/attributes"
    given = as_object(data.get("attributes", {}), at, "attributes")
    attributes = dict(given)
    refuse_unknown(attributes, known, "profile", at)
    meta_at, meta = f"{at}/meta", attributes.pop("meta", None)
    if meta is None:
        meta_at, meta = f"{pointer}/meta", data.get("meta")
    _check_email(attributes.get("email"), f"{at}/email")
    _check_texts(attributes, at)
    _check_objects(attributes, at)
    profile_id = _profile_id(data.get("id"), f"{pointer}/id")
    without_phone = _drop_bad_phone(attributes, profile_id, f"{at}/phone_number")
    return ProfileIn(profile_id, attributes, {} if meta is None else check_patches(meta, meta_at), given, without_phone)


def read_profile_of_event(data: Any, pointer: str, *, known: frozenset[str] = PROFILE_FIELDS) -> ProfileIn:
    """Check the profile of an event: one identifier at least, and not too large. Raises Refusal."""
    profile = read_profile(data, pointer, known=known)
    require_identifier(profile, f"{pointer}/attributes")
    if len(msgspec.json.encode(profile.attributes)) > LARGEST_IN_EVENT:
        raise Refusal(
            413, "payload_too_large", "Payload too large.", "The profile of an event may have at most 95 KB.",
            pointer=f"{pointer}/attributes",
        )  # fmt: skip
    return profile


def require_identifier(profile: ProfileIn, pointer: str) -> None:
    """Raise Refusal when nothing names the person."""
    if profile.id is None and not any(_is_named(profile.attributes.get(name)) for name in IDENTIFIERS):
        raise invalid("One of id, email, phone_number, external_id, anonymous_id or _kx is required.", pointer)


def _is_named(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _profile_id(found: Any, pointer: str) -> str | None:
    if not isinstance(found, str | None):
        raise invalid("'id' must be a string.", pointer)
    return found or None


def _check_email(email: Any, pointer: str) -> None:
    if email is None:
        return
    if not isinstance(email, str) or not is_email(email):
        raise invalid("Invalid email address", pointer)


def _check_texts(attributes: dict[str, Any], pointer: str) -> None:
    for name in (*TEXTS, "anonymous_id", "_kx"):
        if not isinstance(attributes.get(name), str | None):
            raise invalid(f"'{name}' must be a string.", f"{pointer}/{name}")
    external_id = attributes.get("external_id")
    # A number is taken, as the real one takes it, but names nobody.
    if isinstance(external_id, bool) or not isinstance(external_id, str | int | None):
        raise invalid("'external_id' must be a string.", f"{pointer}/external_id")
    if external_id is not None and len(str(external_id)) > LONGEST_EXTERNAL_ID:
        raise invalid("'external_id' may have at most 255 characters.", f"{pointer}/external_id")


def _check_objects(attributes: dict[str, Any], pointer: str) -> None:
    if attributes.get("properties") is not None:
        properties = as_object(attributes["properties"], f"{pointer}/properties", "properties")
        check_values(properties, f"{pointer}/properties")
    if attributes.get("location") is None:
        return
    location = as_object(attributes["location"], f"{pointer}/location", "location")
    refuse_unknown(location, LOCATION_FIELDS, "location", f"{pointer}/location")
    for name, value in location.items():
        if isinstance(value, bool | list | dict):
            raise invalid(f"'{name}' must be a string.", f"{pointer}/location/{name}")


def _drop_bad_phone(attributes: dict[str, Any], profile_id: str | None, pointer: str) -> bool:
    phone = attributes.get("phone_number")
    if phone is None or is_phone(phone):
        return False
    others = [name for name in IDENTIFIERS if name != "phone_number" and _is_named(attributes.get(name))]
    if not others and profile_id is None:
        raise invalid("Invalid phone number format (Example of a valid format: +12345678901)", pointer)
    del attributes["phone_number"]
    return True
