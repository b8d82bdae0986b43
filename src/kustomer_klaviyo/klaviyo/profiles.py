"""A profile as we write it to Klaviyo: its fields by flat names, and the call that changes some of them. Pure.

Rules of the profile API: developers.klaviyo.com/en/reference/profiles_api_overview
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Value = str | int | float | bool | list[str | int | float | bool]
Fields = dict[str, Value]
"""Values by flat names: ``first_name``, ``location.city``, ``properties.Loyalty tier``."""

TEXT_FIELDS = ("first_name", "last_name", "organization", "title", "locale", "image")
LOCATION_FIELDS = ("address1", "address2", "city", "region", "zip", "country", "timezone", "latitude", "longitude")
FIELDS = (*TEXT_FIELDS, *(f"location.{name}" for name in LOCATION_FIELDS))
"""Klaviyo's own fields that may be written; identifiers are no fields."""

PROPERTY = "properties."
LARGEST_PROFILE = 95_000
"""Bytes; Klaviyo takes 100 kB of a profile, wherever it comes from."""

PHONE_PROPERTY = f"{PROPERTY}Kustomer Phone"
"""Where a phone number is kept that Klaviyo does not take as an identifier."""


@dataclass(frozen=True, slots=True)
class ProfileCall:
    """A change of one person's profile, made when there is none yet."""

    fields: Mapping[str, Value | None] = field(default_factory=dict)
    """The fields to write; None clears, what is not named stays."""
    email: str | None = None
    phone: str | None = None
    external_id: str | None = None
    former_email: str | None = None
    """The address by which Klaviyo knew the person, where it is another now."""
    former_phone: str | None = None
    erase: bool = False
    """Have Klaviyo delete all it holds of the person instead, for good."""

    @property
    def identifier(self) -> str | None:
        """The text that stands for the person in lists."""
        return self.email or self.phone

    @property
    def is_plain(self) -> bool:
        """Whether a bulk import can carry it: that clears no field and cannot change an address.

        See developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
        """
        return not (self.erase or self.former_email or self.former_phone) and None not in self.fields.values()

    def without_phone(self) -> "ProfileCall":
        """Return the same change with the phone number as a mere property; pointless without another identifier."""
        fields = dict(self.fields) | ({PHONE_PROPERTY: self.phone} if self.phone else {})
        return ProfileCall(fields, self.email, None, self.external_id, self.former_email)


def date(at: datetime) -> str:
    """Return a moment in UTC as date properties have it, so that segments can compare it."""
    return at.strftime("%Y-%m-%d %H:%M:%S")


def joined(calls: Sequence[ProfileCall]) -> ProfileCall:
    """Return one change that does what several do one after another."""
    fields: dict[str, Value | None] = {}
    for call in calls:
        fields |= call.fields
    last = calls[-1]
    return ProfileCall(
        fields,
        last.email,
        last.phone,
        last.external_id,
        next((call.former_email for call in calls if call.former_email), None),
        next((call.former_phone for call in calls if call.former_phone), None),
        any(call.erase for call in calls),
    )


def resource(call: ProfileCall, *, profile_id: str | None = None, identified: bool = True) -> dict[str, Any]:
    """Return the profile resource of a request; without identifiers where ``profile_id`` alone says who it is."""
    attributes: dict[str, Any] = {}
    if identified:
        identifiers = {"email": call.email, "phone_number": call.phone, "external_id": call.external_id}
        attributes = {name: value for name, value in identifiers.items() if value}
    unset = []
    for name, value in call.fields.items():
        if not name.startswith(PROPERTY):
            top, _, below = name.partition(".")
            if below:
                attributes.setdefault(top, {})[below] = value
            else:
                attributes[name] = value
        elif value is None:
            unset.append(name.removeprefix(PROPERTY))
        else:
            attributes.setdefault("properties", {})[name.removeprefix(PROPERTY)] = value
    written: dict[str, Any] = {"type": "profile", "attributes": attributes}
    if unset:
        written["meta"] = {"patch_properties": {"unset": unset}}
    return written if profile_id is None else written | {"id": profile_id}
