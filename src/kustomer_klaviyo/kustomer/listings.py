"""Reads Kustomer's lists: merges, deleted customers, brands and custom attributes. Pure."""

from dataclasses import dataclass

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.wire import as_id, as_text, read_json, related_id


@dataclass(frozen=True, slots=True)
class CustomerPage:
    """One page of a search for customers."""

    deleted: tuple[str, ...]
    """The ids of deleted customers."""
    count: int
    last_updated_at: str | None
    """The latest update on the page, in Kustomer's format."""
    are_sorted: bool
    """Whether they are in the requested order, by update."""


def is_document(body: bytes, kind: str, resource_id: str) -> bool:
    """Return whether a response is the document of this resource: with its id, its type, if any, and attributes."""
    resource = as_object(_document(body).get("data"))
    is_kind = resource.get("type") in (kind, None)
    return is_kind and isinstance(resource.get("attributes"), dict) and as_id(resource.get("id")) == resource_id


def is_list(body: bytes) -> bool:
    """Return whether a response is a list, possibly empty."""
    return isinstance(_document(body).get("data"), list)


def read_merge_target(body: bytes, customer_id: str) -> str | None:
    """Return the customer that one was merged into, from the list of its merges; None if there is none."""
    for merge in map(as_object, as_list(_document(body).get("data"))):
        relationships = as_object(merge.get("relationships"))
        source, target = related_id(relationships.get("source")), related_id(relationships.get("target"))
        failed = as_object(merge.get("attributes")).get("status") in ("failed", "error")
        if source == customer_id and target is not None and target != customer_id and not failed:
            return target
    return None


def read_customer_page(body: bytes) -> CustomerPage:
    """Read one page of a search for customers."""
    rows = [as_object(row) for row in as_list(_document(body).get("data"))]
    attributes = [as_object(row.get("attributes")) for row in rows]
    ids = [as_id(row.get("id")) for row in rows]
    deleted = [row_id for row_id, values in zip(ids, attributes, strict=True) if values.get("deleted") is True]
    times = [at for values in attributes if (at := as_text(values.get("updatedAt"))) is not None]
    return CustomerPage(tuple(filter(None, deleted)), len(rows), max(times, default=None), times == sorted(times))


def read_brands(body: bytes) -> dict[str, str]:
    """Return the names of an organisation's brands, by their ids."""
    brands: dict[str, str] = {}
    for row in map(as_object, as_list(_document(body).get("data"))):
        brand_id, attributes = as_id(row.get("id")), as_object(row.get("attributes"))
        if brand_id is not None:
            brands[brand_id] = as_text(attributes.get("displayName")) or as_text(attributes.get("name")) or brand_id
    return brands


def read_custom_attributes(body: bytes) -> dict[str, str]:
    """Return the names of an organisation's custom customer attributes, with their display names.

    The layout of the definitions is only partly documented: every object with a ``name``, and every named entry of
    ``properties`` or ``attributes``, counts as one.
    """
    titles: dict[str, str] = {}
    queue = [_document(body).get("data")]
    while queue:
        value = queue.pop()
        if isinstance(value, list):
            queue += value
        entry = as_object(value)
        for key, nested in entry.items():
            if key in ("attributes", "properties", "custom", "metadata") and isinstance(nested, dict | list):
                queue.append(nested)
                if key == "properties" and isinstance(nested, dict):
                    titles |= {
                        name: _title(name, as_object(definition)) for name, definition in nested.items() if as_id(name)
                    }
        name = entry.get("name")
        if isinstance(name, str) and ("displayName" in entry or "type" in entry) and as_id(name):
            titles[name] = _title(name, entry)
    return titles


def _title(name: str, definition: dict[str, object]) -> str:
    return as_text(definition.get("displayName")) or name


def _document(body: bytes) -> dict[str, object]:
    try:
        return as_object(read_json(body))
    except MalformedJSON:
        return {}
