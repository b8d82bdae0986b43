"""A profile write: its fields by flat names, and the JSON:API resource built from them. Pure.

Rules of the profile API: developers.klaviyo.com/en/reference/profiles_api_overview
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

Value = str | int | float | bool | list[str | int | float | bool]
Fields = dict[str, Value]
"""Values by flat names: ``first_name``, ``location.city``, ``properties.Loyalty tier``."""

TEXT_FIELDS = ("first_name", "last_name", "organization", "title", "locale", "image")
LOCATION_FIELDS = ("address1", "address2", "city", "region", "zip", "country", "timezone", "latitude", "longitude")
FIELDS = (*TEXT_FIELDS, *(f"location.{name}" for name in LOCATION_FIELDS))
"""Klaviyo's own fields that may be written. Identifiers do not count as fields."""

PROPERTY = "properties."
MAX_PROFILE_BYTES = 95_000
"""Klaviyo's limit is 100 kB per profile, from all sources."""

PHONE_PROPERTY = f"{PROPERTY}Kustomer Phone"
"""The property for a phone number that Klaviyo does not accept as an identifier."""


@dataclass(frozen=True, slots=True)
class ProfileRequest:
    """A change of one profile, which is created if it does not exist."""

    fields: Mapping[str, Value | None] = field(default_factory=dict)
    """The fields to write. None clears a field; fields that are not named stay unchanged."""
    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    former_email: str | None = None
    """The profile's previous email address, if it changed."""
    former_phone: str | None = None
    erase: bool = False
    """Delete all data of the profile instead. This cannot be undone."""
    is_whole: bool = False
    """It contains every field, so the previous content of the profile does not matter."""
    must_exist: bool = False
    """Do not create the profile."""

    @property
    def identifier(self) -> str | None:
        """The identifier that reports show."""
        return self.email or self.phone

    @property
    def identifiers(self) -> set[str]:
        """All contacts by which Klaviyo could match the profile. Writes that share one must stay in order."""
        contacts = (self.email, self.phone, self.former_email, self.former_phone)
        return {contact.lower() for contact in contacts if contact}

    @property
    def is_bulk_importable(self) -> bool:
        """Whether a bulk import can write it: bulk imports can neither clear a field nor change a contact.

        See developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
        """
        changes_contact = self.former_email or self.former_phone
        return not (self.erase or self.must_exist or changes_contact) and None not in self.fields.values()

    def without_phone(self) -> "ProfileRequest":
        """Return the same change with the phone number as a property only. It needs another identifier."""
        fields = dict(self.fields) | ({PHONE_PROPERTY: self.phone} if self.phone else {})
        return replace(self, fields=fields, phone=None, former_phone=None)


def date_property(at: datetime) -> str:
    """Return a UTC time in the format of date properties, which segments can compare."""
    return at.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def combine_requests(requests: Sequence[ProfileRequest]) -> ProfileRequest:
    """Combine consecutive changes of one profile into one."""
    fields: dict[str, Value | None] = {}
    for request in requests:
        fields |= request.fields
    return replace(
        requests[-1],
        fields=fields,
        former_email=next((request.former_email for request in requests if request.former_email), None),
        former_phone=next((request.former_phone for request in requests if request.former_phone), None),
        is_whole=any(request.is_whole for request in requests),
    )


def profile_resource(
    request: ProfileRequest, *, profile_id: str | None = None, with_identifiers: bool = True
) -> dict[str, Any]:
    """Return the profile resource of a request. ``with_identifiers`` is false if ``profile_id`` identifies it."""
    attributes: dict[str, Any] = {}
    if with_identifiers:
        identifiers = {"email": request.email, "phone_number": request.phone, "external_id": request.external_id}
        attributes = {name: value for name, value in identifiers.items() if value}
    unset_properties = []
    for name, value in request.fields.items():
        if not name.startswith(PROPERTY):
            top, _, below = name.partition(".")
            if below:
                attributes.setdefault(top, {})[below] = value
            else:
                attributes[name] = value
        elif value is None:
            unset_properties.append(name.removeprefix(PROPERTY))
        else:
            attributes.setdefault("properties", {})[name.removeprefix(PROPERTY)] = value
    resource: dict[str, Any] = {"type": "profile", "attributes": attributes}
    if unset_properties:
        resource["meta"] = {"patch_properties": {"unset": unset_properties}}
    return resource if profile_id is None else resource | {"id": profile_id}
