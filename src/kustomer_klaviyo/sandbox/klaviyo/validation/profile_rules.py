"""Validation of profiles in request bodies. Independent of stored profiles.

Rules: developers.klaviyo.com/en/reference/profiles_api_overview
"""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.contact_rules import is_email, is_phone
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import check_values
from kustomer_klaviyo.sandbox.klaviyo.validation.property_patches import check_patches
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import as_object, check_type, refuse_unknown

MAX_EXTERNAL_ID_LENGTH = 255
MAX_EVENT_PROFILE_BYTES = 95_000

IDENTIFIERS = ("email", "phone_number", "external_id", "anonymous_id", "_kx")
TEXT_FIELDS = ("first_name", "last_name", "organization", "locale", "title", "image")
PROFILE_FIELDS = frozenset({*IDENTIFIERS, *TEXT_FIELDS, "location", "properties"})
EVENT_PROFILE_FIELDS = PROFILE_FIELDS | {"meta"}
"""In events, revisions up to 2026-07-15 have ``meta`` inside the attributes, later ones next to them."""
LOCATION_FIELDS = frozenset(
    {"address1", "address2", "city", "country", "latitude", "longitude", "region", "zip", "timezone", "ip"}
)
WITHOUT_ANONYMOUS_ID = "2026-01-15"
"""The first revision whose profile endpoints no longer accept ``anonymous_id``."""


@dataclass(slots=True)
class ProfileInput:
    """A profile in a request."""

    id: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    raw_attributes: dict[str, Any] = field(default_factory=dict)
    """The attributes exactly as in the request."""
    dropped_phone: bool = False
    """The phone number was invalid and is dropped, since there is another identifier."""


def profile_fields(revision: str) -> frozenset[str]:
    """Return the attributes that the profile endpoints of a revision accept."""
    return PROFILE_FIELDS if revision < WITHOUT_ANONYMOUS_ID else PROFILE_FIELDS - {"anonymous_id"}


def parse_profile(data: Any, pointer: str, *, known: frozenset[str] = PROFILE_FIELDS) -> ProfileInput:
    """Validate a profile. An invalid phone number is dropped beside another identifier. Raises KlaviyoRefusal."""
    data = as_object(data, pointer, "data")
    check_type(data, "profile", pointer)
    at = f"{pointer}/attributes"
    raw_attributes = as_object(data.get("attributes", {}), at, "attributes")
    attributes = dict(raw_attributes)
    refuse_unknown(attributes, known, "profile", at)
    meta_at, meta = f"{at}/meta", attributes.pop("meta", None)
    if meta is None:
        meta_at, meta = f"{pointer}/meta", data.get("meta")
    _check_email(attributes.get("email"), f"{at}/email")
    _check_texts(attributes, at)
    _check_objects(attributes, at)
    profile_id = _profile_id(data.get("id"), f"{pointer}/id")
    dropped_phone = _drop_invalid_phone(attributes, profile_id, f"{at}/phone_number")
    patches = {} if meta is None else check_patches(meta, meta_at)
    return ProfileInput(profile_id, attributes, patches, raw_attributes, dropped_phone)


def parse_event_profile(data: Any, pointer: str, *, known: frozenset[str] = PROFILE_FIELDS) -> ProfileInput:
    """Validate the profile of an event: it needs an identifier, and has a maximum size. Raises KlaviyoRefusal."""
    profile = parse_profile(data, pointer, known=known)
    require_identifier(profile, f"{pointer}/attributes")
    if len(msgspec.json.encode(profile.attributes)) > MAX_EVENT_PROFILE_BYTES:
        raise KlaviyoRefusal(
            413, "payload_too_large", "Payload too large.", "The profile of an event may have at most 95 KB.",
            pointer=f"{pointer}/attributes",
        )  # fmt: skip
    return profile


def require_identifier(profile: ProfileInput, pointer: str) -> None:
    """Raise KlaviyoRefusal when a profile has no identifier."""
    if profile.id is None and not any(_is_nonempty_text(profile.attributes.get(name)) for name in IDENTIFIERS):
        raise invalid("One of id, email, phone_number, external_id, anonymous_id or _kx is required.", pointer)


def _is_nonempty_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def _profile_id(value: Any, pointer: str) -> str | None:
    if not isinstance(value, str | None):
        raise invalid("'id' must be a string.", pointer)
    return value or None


def _check_email(email: Any, pointer: str) -> None:
    if email is None:
        return
    if not isinstance(email, str) or not is_email(email):
        raise invalid("Invalid email address", pointer)


def _check_texts(attributes: dict[str, Any], pointer: str) -> None:
    for name in (*TEXT_FIELDS, "anonymous_id", "_kx"):
        if not isinstance(attributes.get(name), str | None):
            raise invalid(f"'{name}' must be a string.", f"{pointer}/{name}")
    external_id = attributes.get("external_id")
    # Klaviyo accepts a number, but it identifies no profile.
    if isinstance(external_id, bool) or not isinstance(external_id, str | int | None):
        raise invalid("'external_id' must be a string.", f"{pointer}/external_id")
    if external_id is not None and len(str(external_id)) > MAX_EXTERNAL_ID_LENGTH:
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


def _drop_invalid_phone(attributes: dict[str, Any], profile_id: str | None, pointer: str) -> bool:
    phone = attributes.get("phone_number")
    if phone is None or is_phone(phone):
        return False
    others = [name for name in IDENTIFIERS if name != "phone_number" and _is_nonempty_text(attributes.get(name))]
    if not others and profile_id is None:
        raise invalid("Invalid phone number format (Example of a valid format: +12345678901)", pointer)
    del attributes["phone_number"]
    return True
