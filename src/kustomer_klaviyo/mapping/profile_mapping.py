"""Maps attributes of a Kustomer customer to fields and properties of a Klaviyo profile. Pure.

Attributes: developer.kustomer.com/api (customers). The default maps names, organisation, locale and address; an admin
chooses everything else.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.klaviyo.profile_request import FIELDS, PROPERTY, Fields, Value
from kustomer_klaviyo.kustomer.wire import PROFILE_ATTRIBUTES, is_masked
from kustomer_klaviyo.mapping.person_names import read_names
from kustomer_klaviyo.mapping.values import MAX_TEXT, TYPES, ConversionError, Type, convert, format_locale

ID_PROPERTY = "Kustomer Customer ID"
MAX_PROPERTY_NAME = 100
TRUNCATED = f"only the first {MAX_TEXT} characters are sent"
MASKED = "masked: the Kustomer API key lacks the permission to read sensitive values; a new key is needed"

_PLAIN_ATTRIBUTES = [name for name in PROFILE_ATTRIBUTES if name not in ("locations", "recentLocation", "custom")]
_OTHER_TYPES: dict[str, Type] = {"birthdayAt": "date", "signedUpAt": "date", "createdAt": "date", "tags": "list"}
_TEXT: Type = "text"
STANDARD_ATTRIBUTES: dict[str, Type] = dict.fromkeys(("id", *_PLAIN_ATTRIBUTES), _TEXT) | _OTHER_TYPES
"""The attributes of every organisation, with their types. ``id`` is the customer's id."""

_LOCATION_NUMBERS: dict[str, Type] = {"latitude": "number", "longitude": "number"}
_LOCATION_TEXTS: tuple[str, ...] = (
    "address", "address2", "address3", "cityName", "regionName", "regionCode", "zipCode", "countryName", "countryCode",
)  # fmt: skip
LOCATION_ATTRIBUTES: dict[str, Type] = dict.fromkeys(_LOCATION_TEXTS, _TEXT) | _LOCATION_NUMBERS
"""The attributes of a location, with their types."""

CUSTOM_TYPE_SUFFIXES: Mapping[str, Type] = {"Num": "number", "At": "date", "Bool": "boolean", "List": "list"}
"""The types of custom attributes, by the end of their name; the others are text."""

DEFAULT_FIELDS: dict[str, str] = {
    "first_name": "firstName",
    "last_name": "lastName",
    "organization": "companyName",
    "locale": "locale",
    "location.address1": "location.address",
    "location.address2": "location.address2",
    "location.city": "location.cityName",
    "location.region": "location.regionName",
    "location.zip": "location.zipCode",
    "location.country": "location.countryName",
    "location.timezone": "timeZone",
}

_CUSTOM = re.compile(r"custom\.@?[A-Za-z0-9_.-]{1,100}\Z")


class MappingError(ValueError):
    """A mapping is invalid; ``path`` is the path of the invalid entry."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.path = path


@dataclass(frozen=True, slots=True)
class MappingEntry:
    """One entry of a mapping."""

    target: str
    """The flat name of a field or property in Klaviyo."""
    source: str
    """A standard attribute, ``custom.NAME`` or ``location.NAME``."""
    type: Type


@dataclass(frozen=True, slots=True)
class MappingSources:
    """What a mapping reads of a customer. Computed once, because every webhook of a customer needs it."""

    attributes: tuple[str, ...]
    """Attributes other than custom ones and the location."""
    custom: tuple[tuple[str, str], ...]
    """Sources and names of custom attributes."""
    uses_location: bool
    uses_name: bool
    """The full name stands in for missing parts of it."""


@dataclass(frozen=True, slots=True)
class ProfileMapping:
    """All entries, what they read, and a hash of them."""

    entries: tuple[MappingEntry, ...]
    sources: MappingSources
    digest: str


@dataclass(frozen=True, slots=True)
class MappedEntry:
    """The result of one entry for one customer."""

    entry: MappingEntry
    value: Value | None
    """None if nothing is sent."""
    note: str | None = None
    """Why the customer's value is not sent, or not completely."""
    is_masked: bool = False


@dataclass(frozen=True, slots=True)
class MappedProfile:
    """The result of a mapping for one customer."""

    fields: Fields
    masked: tuple[str, ...]
    """Fields whose value the API key may not read: they stay unchanged in Klaviyo."""
    notes: tuple[str, ...]
    """What was left out, and why."""


def parse_mapping(document: Any) -> ProfileMapping:
    """Parse an admin's mapping, which extends the default one. Raises MappingError."""
    if not isinstance(document, dict | None):
        raise MappingError("a mapping has the sections `fields` and `properties`")
    given = document or {}
    for section in given:
        if section not in ("fields", "properties"):
            raise MappingError(f"unknown section {section!r}; the sections are `fields` and `properties`", str(section))
    fields, properties = given.get("fields") or {}, given.get("properties") or {}
    for name, section in (("fields", fields), ("properties", properties)):
        if not isinstance(section, dict):
            raise MappingError(f"`{name}` must map names to attributes", name)
    entries = [*_fields(fields), *_properties(properties)]
    text = repr([(entry.target, entry.source, entry.type) for entry in entries])
    return ProfileMapping(tuple(entries), _sources(entries), hashlib.blake2b(text.encode(), digest_size=6).hexdigest())


def _fields(given: dict[Any, Any]) -> Iterator[MappingEntry]:
    for name in given:
        if name not in FIELDS:
            raise MappingError(
                f"unknown Klaviyo field {name!r}; the fields are: {', '.join(FIELDS)}", "fields", str(name)
            )
    for target, value in (DEFAULT_FIELDS | given).items():
        if value is not None:
            yield _entry(target, value, ("fields", target))


def _properties(given: dict[Any, Any]) -> Iterator[MappingEntry]:
    if ID_PROPERTY not in given:
        yield MappingEntry(PROPERTY + ID_PROPERTY, "id", "text")
    for name, value in given.items():
        if not isinstance(name, str) or not name.strip() or len(name) > MAX_PROPERTY_NAME or name.startswith("$"):
            text = f"a property name has 1 to {MAX_PROPERTY_NAME} characters and does not begin with $"
            raise MappingError(text, "properties", str(name))
        if value is not None:
            yield _entry(PROPERTY + name, value, ("properties", name))


def _entry(target: str, value: Any, path: tuple[str, ...]) -> MappingEntry:
    settings = value if isinstance(value, dict) else {"from": value}
    for name in settings:
        if name not in ("from", "type"):
            raise MappingError(f"unknown key {name!r}; the keys are `from` and `type`", *path)
    source, wanted = settings.get("from"), settings.get("type")
    if not isinstance(source, str):
        raise MappingError("name the Kustomer attribute, such as custom.loyaltyTierStr", *path)
    default_type = _default_type(source, path)
    if wanted is None:
        return MappingEntry(target, source, _type_for(target, default_type))
    if wanted not in TYPES:
        raise MappingError(f"unknown type {wanted!r}; the types are: {', '.join(TYPES)}", *path)
    if wanted != _type_for(target, wanted):
        raise MappingError(f"the type of Klaviyo's field {target} is {_type_for(target, wanted)}", *path)
    return MappingEntry(target, source, wanted)


def _default_type(source: str, path: tuple[str, ...]) -> Type:
    """Return the type of an attribute, from its name. Raises MappingError if the attribute does not exist."""
    if source in STANDARD_ATTRIBUTES:
        return STANDARD_ATTRIBUTES[source]
    top, _, name = source.partition(".")
    if top == "location" and name in LOCATION_ATTRIBUTES:
        return LOCATION_ATTRIBUTES[name]
    if _CUSTOM.match(source):
        return next(
            (value_type for suffix, value_type in CUSTOM_TYPE_SUFFIXES.items() if source.endswith(suffix)), "text"
        )
    known = ", ".join((*STANDARD_ATTRIBUTES, *(f"location.{name}" for name in LOCATION_ATTRIBUTES), "custom.NAME"))
    raise MappingError(f"unknown attribute {source!r}; the attributes are: {known}", *path)


def _type_for(target: str, wanted: Type) -> Type:
    if target.startswith(PROPERTY):
        return wanted
    return "number" if target in ("location.latitude", "location.longitude") else "text"


def _sources(entries: Sequence[MappingEntry]) -> MappingSources:
    tops = {entry.source.partition(".")[0] for entry in entries}
    custom = [entry.source for entry in entries if entry.source.startswith("custom.")]
    return MappingSources(
        attributes=tuple(sorted(tops - {"custom", "location"})),
        custom=tuple((source, source.removeprefix("custom.")) for source in custom),
        uses_location="location" in tops,
        uses_name=bool(tops & {"firstName", "lastName"}),
    )


def read_sources(mapping: ProfileMapping, attributes: Mapping[str, Any]) -> bytes:
    """Return everything that the mapping reads of a customer, to detect changes."""
    sources = mapping.sources
    values: dict[str, Any] = {name: attributes[name] for name in sources.attributes if name in attributes}
    if sources.custom:
        custom = as_object(attributes.get("custom"))
        values |= {source: custom.get(name) for source, name in sources.custom}
    if sources.uses_location:
        values["location"] = read_location(attributes)
    if sources.uses_name:
        values["name"] = attributes.get("name")
    return msgspec.json.encode(values, order="deterministic")


def map_profile(mapping: ProfileMapping, customer_id: str, attributes: Mapping[str, Any]) -> MappedProfile:
    """Return the profile fields of a customer."""
    mapped = list(map_entries(mapping, customer_id, attributes))
    return MappedProfile(
        fields={result.entry.target: result.value for result in mapped if result.value is not None},
        masked=tuple(result.entry.target for result in mapped if result.is_masked),
        notes=tuple(_describe(result) for result in mapped if result.note and not result.is_masked),
    )


def _describe(result: MappedEntry) -> str:
    return f"{result.entry.source}{' left out' if result.value is None else ''}: {result.note}"


def map_entries(mapping: ProfileMapping, customer_id: str, attributes: Mapping[str, Any]) -> Iterator[MappedEntry]:
    """Yield the result of each entry for one customer."""
    location = read_location(attributes)
    values = dict(attributes) | read_names(attributes) | {"id": customer_id}
    for entry in mapping.entries:
        value = _read_source(entry.source, values, location)
        if is_masked(value) or any(map(is_masked, as_list(value))):
            yield MappedEntry(entry, None, MASKED, is_masked=True)
        else:
            yield _map_value(entry, value)


def _map_value(entry: MappingEntry, value: Any) -> MappedEntry:
    try:
        converted = convert(value, entry.type)
        if entry.target == "locale" and isinstance(converted, str):
            converted = format_locale(converted)
    except ConversionError as error:
        return MappedEntry(entry, None, str(error))
    is_truncated = isinstance(converted, str) and isinstance(value, str) and len(value.strip()) > MAX_TEXT
    return MappedEntry(entry, converted, TRUNCATED if is_truncated else None)


def _read_source(source: str, values: Mapping[str, Any], location: Mapping[str, Any]) -> Any:
    top, _, name = source.partition(".")
    if top == "custom":
        custom = values.get("custom")
        return custom if is_masked(custom) else as_object(custom).get(name)
    if top == "location":
        masked = [candidate for candidate in _all_locations(values) if is_masked(candidate)]
        return masked[0] if masked else location.get(name)
    return values.get(source)


def _all_locations(attributes: Mapping[str, Any]) -> list[Any]:
    """Return all values that may be locations, masked or not."""
    locations = attributes.get("locations")
    return [*(as_list(locations) or [locations]), attributes.get("recentLocation")]


def read_location(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the customer's first location that is not empty, else the recent location."""
    locations = map(as_object, _all_locations(attributes))
    return next((place for place in locations if any(place.get(name) for name in LOCATION_ATTRIBUTES)), {})


def read_text(source: str, attributes: Mapping[str, Any]) -> str | None:
    """Return an attribute as text, to compare it with an option; None if it is missing, masked or not text."""
    try:
        text = convert(_read_source(source, attributes, read_location(attributes)), "text")
    except ConversionError:
        return None
    return text if isinstance(text, str) else None
