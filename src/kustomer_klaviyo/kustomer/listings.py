"""What Kustomer's lists tell beside single documents: merges, and customers that were deleted. Pure."""

from dataclasses import dataclass

from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_id, as_list, as_object, as_text, read_json, related_id


@dataclass(frozen=True, slots=True)
class FoundCustomers:
    """One page of a search for customers."""

    deleted: tuple[str, ...]
    """The ids of those that are deleted."""
    count: int
    last_updated_at: str | None
    """The latest update on the page, as Kustomer wrote it."""
    are_sorted: bool
    """Whether they stand in the order of their updates, as was asked."""


def is_document(body: bytes, kind: str, resource_id: str) -> bool:
    """Say whether an answer is the document of this very resource: of its type, if it names one, with attributes."""
    found = as_object(_document(body).get("data"))
    is_kind = found.get("type") in (kind, None)
    return is_kind and isinstance(found.get("attributes"), dict) and as_id(found.get("id")) == resource_id


def is_list(body: bytes) -> bool:
    """Say whether an answer is a list, be it empty."""
    return isinstance(_document(body).get("data"), list)


def read_merge_target(body: bytes, customer_id: str) -> str | None:
    """Return into whom a customer was merged, from the list of their merges; None when into nobody."""
    for merge in map(as_object, as_list(_document(body).get("data"))):
        relationships = as_object(merge.get("relationships"))
        source, target = related_id(relationships.get("source")), related_id(relationships.get("target"))
        failed = as_object(merge.get("attributes")).get("status") in ("failed", "error")
        if source == customer_id and target is not None and target != customer_id and not failed:
            return target
    return None


def read_found_customers(body: bytes) -> FoundCustomers:
    """Read one page of a search."""
    rows = [as_object(row) for row in as_list(_document(body).get("data"))]
    deleted = [
        one for row in rows if as_object(row.get("attributes")).get("deleted") is True and (one := as_id(row.get("id")))
    ]
    times = [at for row in rows if (at := as_text(as_object(row.get("attributes")).get("updatedAt"))) is not None]
    return FoundCustomers(tuple(deleted), len(rows), max(times, default=None), times == sorted(times))


def read_brands(body: bytes) -> dict[str, str]:
    """Return the names of an organisation's brands, by their ids."""
    found: dict[str, str] = {}
    for row in map(as_object, as_list(_document(body).get("data"))):
        brand, attributes = as_id(row.get("id")), as_object(row.get("attributes"))
        if brand is not None:
            found[brand] = as_text(attributes.get("displayName")) or as_text(attributes.get("name")) or brand
    return found


def read_custom_attributes(body: bytes) -> dict[str, str]:
    """Return the names of an organisation's own attributes of customers, with the names people see.

    How the definitions are laid out is documented in part only: every object with a ``name`` or every named entry
    of ``properties`` or ``attributes`` is taken for one.
    """
    found: dict[str, str] = {}
    waiting = [_document(body).get("data")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        for key, value in as_object(one).items():
            if key in ("attributes", "properties", "custom", "metadata") and isinstance(value, dict | list):
                waiting.append(value)
                if key == "properties" and isinstance(value, dict):
                    found |= {name: _title(name, as_object(said)) for name, said in value.items() if as_id(name)}
        name = as_object(one).get("name")
        if isinstance(name, str) and ("displayName" in as_object(one) or "type" in as_object(one)) and as_id(name):
            found[name] = _title(name, as_object(one))
    return found


def _title(name: str, said: dict[str, object]) -> str:
    return as_text(said.get("displayName")) or name


def _document(body: bytes) -> dict[str, object]:
    try:
        return as_object(read_json(body))
    except MalformedJSON:
        return {}
