"""Finds the values of a webhook that are present but invalid, and so count as missing. Pure."""

from collections.abc import Callable, Iterator
from typing import Any

from kustomer_klaviyo.jsonapi import as_object
from kustomer_klaviyo.kustomer.wire import (
    LARGEST_COUNT,
    Attributes,
    Envelope,
    as_count,
    as_time,
    is_masked,
    related_id,
)

_TIMES = (
    "createdAt", "updatedAt", "importedAt", "firstDone.createdAt", "lastDone.createdAt", "lastMessageIn.createdAt",
    "modificationHistory.statusAt", "satisfactionLevel.createdAt", "satisfactionLevel.sentAt",
    "satisfactionLevel.updatedAt", "satisfactionLevel.lastSatisfaction.createdAt",
    "satisfactionLevel.lastSatisfaction.sentAt", "satisfactionLevel.lastSatisfaction.updatedAt",
)  # fmt: skip
_COUNTS = ("conversationCounts.open", "conversationCounts.snoozed")
_OBJECTS = ("conversationCounts", "satisfactionLevel", "firstDone", "lastDone", "lastMessageIn", "modificationHistory")
_FIELDS = dict(zip(Attributes.__struct_encode_fields__, Attributes.__struct_fields__, strict=True))
"""The field of ``Attributes`` for each of Kustomer's attribute names."""

_LISTS = ("emails", "phones", "sharedEmails", "sharedPhones", "locations", "tags", "channels")

NO_TIME = "not a valid time"
NO_COUNT = f"not a whole number from 0 to {LARGEST_COUNT}"
NO_REV = "not a whole number in range"
NO_ID = "not an id of up to 64 letters, digits, - and _"


def invalid_values(envelope: Envelope) -> tuple[str, ...]:
    """Return a note for each value that is used, present and invalid."""
    return tuple(f"{path} left out: {problem}" for path, problem in _problems(envelope))


def _problems(envelope: Envelope) -> Iterator[tuple[str, str]]:
    resource = envelope.data
    if resource is None:
        return
    attributes = resource.attributes or Attributes()
    yield from _check(attributes, _TIMES, NO_TIME, lambda value: as_time(value) is not None)
    yield from _check(attributes, _COUNTS, NO_COUNT, lambda value: as_count(value) is not None)
    yield from _check(attributes, ("rev",), NO_REV, _is_rev)
    yield from _check(attributes, _OBJECTS, "not an object", lambda value: isinstance(value, dict))
    yield from _check(attributes, _LISTS, "not a list", lambda value: isinstance(value, list) or is_masked(value))
    relationships = resource.relationships
    for name in ("customer", "brand"):
        relation = None if relationships is None else getattr(relationships, name)
        if _has_target(relation) and related_id(relation) is None:
            yield f"relationships.{name}", NO_ID


def _check(
    attributes: Attributes, paths: tuple[str, ...], problem: str, is_valid: Callable[[Any], bool]
) -> Iterator[tuple[str, str]]:
    for path in paths:
        value = _value_at(attributes, path)
        if value is not None and value != "" and not is_valid(value):
            yield path, problem


def _value_at(attributes: Attributes, path: str) -> Any:
    top, *nested = path.split(".")
    value = getattr(attributes, _FIELDS[top])
    for name in nested:
        value = as_object(value).get(name)
    return value


def _is_rev(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT


def _has_target(relation: Any) -> bool:
    data = as_object(relation).get("data") if isinstance(relation, dict) else relation
    return data not in (None, [], {}) and (not isinstance(data, dict) or data.get("id") is not None)
