"""A profile as we write it to Klaviyo: its fields by flat names, and the call that changes some of them. Pure.

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
    is_whole: bool = False
    """It says all there is to say, so that it makes no difference what the profile held."""
    must_exist: bool = False
    """Make no profile where there is none."""

    @property
    def identifier(self) -> str | None:
        """The text that stands for the person in lists."""
        return self.email or self.phone

    @property
    def identifiers(self) -> set[str]:
        """By what Klaviyo could take two people for one: their writes must not overtake one another."""
        found = (self.email, self.phone, self.former_email, self.former_phone)
        return {one.lower() for one in found if one}

    @property
    def is_plain(self) -> bool:
        """Whether a bulk import can carry it: that clears no field and cannot change an address.

        See developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
        """
        renames = self.former_email or self.former_phone
        return not (self.erase or self.must_exist or renames) and None not in self.fields.values()

    def without_phone(self) -> "ProfileCall":
        """Return the same change with the phone number as a mere property; pointless without another identifier."""
        fields = dict(self.fields) | ({PHONE_PROPERTY: self.phone} if self.phone else {})
        return replace(self, fields=fields, phone=None, former_phone=None)


def date(at: datetime) -> str:
    """Return a moment in UTC as date properties have it, so that segments can compare it."""
    return at.replace(tzinfo=None).isoformat(sep=" ", timespec="seconds")


def joined(calls: Sequence[ProfileCall]) -> ProfileCall:
    """Return one change that does what several do one after another."""
    fields: dict[str, Value | None] = {}
    for call in calls:
        fields |= call.fields
    return replace(
        calls[-1],
        fields=fields,
        former_email=next((call.former_email for call in calls if call.former_email), None),
        former_phone=next((call.former_phone for call in calls if call.former_phone), None),
        is_whole=any(call.is_whole for call in calls),
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
