"""Which attribute of a Kustomer customer goes to which field or property of a Klaviyo profile. Pure.

Attributes: developer.kustomer.com/api (customers). The default maps names, organisation, locale and address; nothing
that an admin did not choose goes beyond it.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from kustomer_klaviyo.klaviyo.profile_request import FIELDS, PROPERTY, Fields, Value
from kustomer_klaviyo.kustomer.wire import PROFILE_ATTRIBUTES, as_list, as_object, is_masked
from kustomer_klaviyo.mapping.person_names import names
from kustomer_klaviyo.mapping.values import LONGEST_TEXT, TYPES, Type, Unreadable, convert, locale

ID_PROPERTY = "Kustomer Customer ID"
LONGEST_NAME = 100
CUT = f"only the first {LONGEST_TEXT} characters are sent"
MASKED = "masked: the Kustomer API key lacks the permission to read sensitive values; a new key is needed"

_PLAIN = [name for name in PROFILE_ATTRIBUTES if name not in ("locations", "recentLocation", "custom")]
_OF_OTHER_TYPE: dict[str, Type] = {"birthdayAt": "date", "signedUpAt": "date", "createdAt": "date", "tags": "list"}
_TEXT: Type = "text"
STANDARD: dict[str, Type] = dict.fromkeys(("id", *_PLAIN), _TEXT) | _OF_OTHER_TYPE
"""The attributes every organisation has, and what they hold. ``id`` is the customer's own."""

_NUMBERS: dict[str, Type] = {"latitude": "number", "longitude": "number"}
_TEXTS: tuple[str, ...] = (
    "address", "address2", "address3", "cityName", "regionName", "regionCode", "zipCode", "countryName", "countryCode",
)  # fmt: skip
LOCATION: dict[str, Type] = dict.fromkeys(_TEXTS, _TEXT) | _NUMBERS
"""What a location holds; the first one with a place in it is meant, else the most recent one seen."""

SUFFIXES: Mapping[str, Type] = {"Num": "number", "At": "date", "Bool": "boolean", "List": "list"}
"""How custom attributes end by their type; the others hold text."""

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
    """A mapping cannot be used; ``path`` says which of its entries is wrong."""

    def __init__(self, text: str, *path: str) -> None:
        super().__init__(text)
        self.path = path


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a mapping: where a value comes from, where it goes, and as what."""

    target: str
    """A flat name of a field or property at Klaviyo."""
    source: str
    """A standard attribute, ``custom.NAME`` or ``location.NAME``."""
    type: Type


@dataclass(frozen=True, slots=True)
class ProfileMapping:
    """All entries, and a short text that tells one mapping from another."""

    entries: tuple[Entry, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Line:
    """What one entry makes of one customer."""

    entry: Entry
    value: Value | None
    """None when there is nothing to write."""
    why: str | None = None
    """Why there is nothing, or not all, although the customer has something."""
    is_masked: bool = False


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapping makes of one customer."""

    fields: Fields
    masked: tuple[str, ...]
    """Fields whose value the API key may not read: they stay at Klaviyo as they are."""
    notes: tuple[str, ...]
    """What was left out, and why."""


def read_mapping(document: Any) -> ProfileMapping:
    """Read a mapping as an admin wrote it, over the default one. Raises MappingError."""
    if not isinstance(document, dict | None):
        raise MappingError("a mapping has the sections `fields` and `properties`")
    given = document or {}
    for section in given:
        if section not in ("fields", "properties"):
            raise MappingError(f"there is no section {section!r}, only `fields` and `properties`", str(section))
    fields, properties = given.get("fields") or {}, given.get("properties") or {}
    for name, section in (("fields", fields), ("properties", properties)):
        if not isinstance(section, dict):
            raise MappingError(f"`{name}` must list names with their attributes", name)
    entries = [*_fields(fields), *_properties(properties)]
    text = repr([(entry.target, entry.source, entry.type) for entry in entries])
    return ProfileMapping(tuple(entries), hashlib.blake2b(text.encode(), digest_size=6).hexdigest())


def _fields(given: dict[Any, Any]) -> Iterator[Entry]:
    for name in given:
        if name not in FIELDS:
            raise MappingError(f"Klaviyo has no field {name!r}; there are: {', '.join(FIELDS)}", "fields", str(name))
    for target, value in (DEFAULT_FIELDS | given).items():
        if value is not None:
            yield _entry(target, value, ("fields", target))


def _properties(given: dict[Any, Any]) -> Iterator[Entry]:
    if ID_PROPERTY not in given:
        yield Entry(PROPERTY + ID_PROPERTY, "id", "text")
    for name, value in given.items():
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or name.startswith("$"):
            text = f"a property's name has 1 to {LONGEST_NAME} characters and does not begin with $"
            raise MappingError(text, "properties", str(name))
        if value is not None:
            yield _entry(PROPERTY + name, value, ("properties", name))


def _entry(target: str, value: Any, path: tuple[str, ...]) -> Entry:
    stated = value if isinstance(value, dict) else {"from": value}
    for name in stated:
        if name not in ("from", "type"):
            raise MappingError(f"unknown word {name!r}; there are `from` and `type`", *path)
    source, wanted = stated.get("from"), stated.get("type")
    if not isinstance(source, str):
        raise MappingError("name the Kustomer attribute, such as custom.loyaltyTierStr", *path)
    natural = _natural_type(source, path)
    if wanted is None:
        return Entry(target, source, _fitting(target, natural))
    if wanted not in TYPES:
        raise MappingError(f"unknown type {wanted!r}; there are: {', '.join(TYPES)}", *path)
    if wanted != _fitting(target, wanted):
        raise MappingError(f"Klaviyo's field {target} holds {_fitting(target, wanted)}", *path)
    return Entry(target, source, wanted)


def _natural_type(source: str, path: tuple[str, ...]) -> Type:
    """Return what an attribute holds by its name. Raises MappingError when there is no such attribute."""
    if source in STANDARD:
        return STANDARD[source]
    top, _, below = source.partition(".")
    if top == "location" and below in LOCATION:
        return LOCATION[below]
    if _CUSTOM.match(source):
        return next((kind for suffix, kind in SUFFIXES.items() if source.endswith(suffix)), "text")
    known = ", ".join((*STANDARD, *(f"location.{name}" for name in LOCATION), "custom.NAME"))
    raise MappingError(f"there is no attribute {source!r}; there are: {known}", *path)


def _fitting(target: str, wanted: Type) -> Type:
    if target.startswith(PROPERTY):
        return wanted
    return "number" if target in ("location.latitude", "location.longitude") else "text"


def sources(mapping: ProfileMapping, attributes: Mapping[str, Any]) -> bytes:
    """Return all that the mapping reads of a customer, to tell whether it changed."""
    tops = {entry.source.partition(".")[0] for entry in mapping.entries}
    read: dict[str, Any] = {name: attributes[name] for name in tops - {"custom", "location"} if name in attributes}
    custom = as_object(attributes.get("custom"))
    read |= {entry.source: custom.get(entry.source[7:]) for entry in mapping.entries if entry.source[:7] == "custom."}
    if "location" in tops:
        read["location"] = location(attributes)
    if tops & {"firstName", "lastName"}:
        read["name"] = attributes.get("name")
    return msgspec.json.encode(read, order="deterministic")


def apply(mapping: ProfileMapping, customer_id: str, attributes: Mapping[str, Any]) -> Mapped:
    """Return what a customer is to look like at Klaviyo."""
    read = list(lines(mapping, customer_id, attributes))
    return Mapped(
        fields={line.entry.target: line.value for line in read if line.value is not None},
        masked=tuple(line.entry.target for line in read if line.is_masked),
        notes=tuple(_note(line) for line in read if line.why and not line.is_masked),
    )


def _note(line: Line) -> str:
    return f"{line.entry.source}{' left out' if line.value is None else ''}: {line.why}"


def lines(mapping: ProfileMapping, customer_id: str, attributes: Mapping[str, Any]) -> Iterator[Line]:
    """Say of each entry what becomes of it for one customer."""
    place = location(attributes)
    held = dict(attributes) | names(attributes) | {"id": customer_id}
    for entry in mapping.entries:
        value = _look(entry.source, held, place)
        if is_masked(value) or any(map(is_masked, as_list(value))):
            yield Line(entry, None, MASKED, is_masked=True)
            continue
        try:
            converted = convert(value, entry.type)
            is_locale = entry.target == "locale" and isinstance(converted, str)
            is_cut = isinstance(converted, str) and isinstance(value, str) and len(value.strip()) > LONGEST_TEXT
            yield Line(entry, locale(str(converted)) if is_locale else converted, CUT if is_cut else None)
        except Unreadable as why:
            yield Line(entry, None, str(why))


def _look(source: str, held: Mapping[str, Any], place: Mapping[str, Any]) -> Any:
    top, _, below = source.partition(".")
    if top == "custom":
        custom = held.get("custom")
        return custom if is_masked(custom) else as_object(custom).get(below)
    if top == "location":
        hidden = [one for one in _places(held) if is_masked(one)]
        return hidden[0] if hidden else place.get(below)
    return held.get(source)


def _places(attributes: Mapping[str, Any]) -> list[Any]:
    """Return all that says where the customer is, as it stands, hidden or not."""
    listed = attributes.get("locations")
    return [*(as_list(listed) or [listed]), attributes.get("recentLocation")]


def location(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the customer's place: the first that names one, else the most recent one seen."""
    places = [as_object(one) for one in _places(attributes)]
    return next((place for place in places if any(place.get(name) for name in LOCATION)), {})


def text_of(source: str, attributes: Mapping[str, Any]) -> str | None:
    """Return an attribute as text, to compare it with a setting; None when it is missing, masked or no text."""
    try:
        text = convert(_look(source, attributes, location(attributes)), "text")
    except Unreadable:
        return None
    return text if isinstance(text, str) else None
