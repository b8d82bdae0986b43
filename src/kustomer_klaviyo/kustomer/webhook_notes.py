"""What of a webhook counts as missing although something is there, said for an admin. Pure; of the notes only."""

from collections.abc import Callable, Iterator
from typing import Any

from kustomer_klaviyo.kustomer.wire import (
    LARGEST_COUNT,
    Attributes,
    Envelope,
    as_count,
    as_object,
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
"""What Kustomer's names are called here."""

_LISTS = ("emails", "phones", "sharedEmails", "sharedPhones", "locations", "tags", "channels")

NO_TIME = "not a time that can be held"
NO_COUNT = f"not a whole number from 0 to {LARGEST_COUNT}"
NO_REV = "not a whole number that can be held"
NO_ID = "no id of up to 64 letters, digits, - and _"


def remarks(envelope: Envelope) -> tuple[str, ...]:
    """Return a note for each value that we read, is there, and cannot be held."""
    return tuple(f"{where} left out: {why}" for where, why in _left_out(envelope))


def _left_out(envelope: Envelope) -> Iterator[tuple[str, str]]:
    resource = envelope.data
    if resource is None:
        return
    attributes = resource.attributes or Attributes()
    yield from _those(attributes, _TIMES, NO_TIME, lambda value: as_time(value) is not None)
    yield from _those(attributes, _COUNTS, NO_COUNT, lambda value: as_count(value) is not None)
    yield from _those(attributes, ("rev",), NO_REV, _is_rev)
    yield from _those(attributes, _OBJECTS, "not an object", lambda value: isinstance(value, dict))
    yield from _those(attributes, _LISTS, "not a list", lambda value: isinstance(value, list) or is_masked(value))
    neighbours = resource.relationships
    for name in ("customer", "brand"):
        relation = None if neighbours is None else getattr(neighbours, name)
        if _names_something(relation) and related_id(relation) is None:
            yield f"relationships.{name}", NO_ID


def _those(
    attributes: Attributes, paths: tuple[str, ...], why: str, is_held: Callable[[Any], bool]
) -> Iterator[tuple[str, str]]:
    for path in paths:
        value = _look(attributes, path)
        if value is not None and value != "" and not is_held(value):
            yield path, why


def _look(attributes: Attributes, path: str) -> Any:
    top, *below = path.split(".")
    value = getattr(attributes, _FIELDS[top])
    for name in below:
        value = as_object(value).get(name)
    return value


def _is_rev(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LARGEST_COUNT


def _names_something(relation: Any) -> bool:
    data = as_object(relation).get("data") if isinstance(relation, dict) else relation
    return data not in (None, [], {}) and (not isinstance(data, dict) or data.get("id") is not None)
