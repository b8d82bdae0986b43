"""JSON:API resources in request bodies: objects, types, known attributes."""

from collections.abc import Mapping
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import invalid


def as_object(value: Any, pointer: str, name: str) -> dict[str, Any]:
    """Return a JSON object. Raises KlaviyoRefusal."""
    if not isinstance(value, dict):
        raise invalid(f"'{name}' must be an object.", pointer)
    return value


def request_resource(body: Any, kind: str, pointer: str = "/data") -> dict[str, Any]:
    """Return the resource in a request body. Raises KlaviyoRefusal when it has another type."""
    data = as_object(as_object(body, pointer, "body").get("data"), pointer, "data")
    check_type(data, kind, pointer)
    return data


def check_type(data: Mapping[str, Any], kind: str, pointer: str) -> None:
    """Raise KlaviyoRefusal when a resource has another type."""
    if data.get("type") != kind:
        raise invalid(f"Invalid resource type: expected '{kind}'.", f"{pointer}/type")


def attributes_of(data: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """Return a resource's attributes. Raises KlaviyoRefusal."""
    return as_object(data.get("attributes"), f"{pointer}/attributes", "attributes")


def refuse_unknown(fields: Mapping[str, Any], known: frozenset[str], kind: str, pointer: str) -> None:
    """Raise KlaviyoRefusal for the first field that the resource does not have."""
    for name in fields:
        if name not in known:
            raise invalid(f"'{name}' is not a valid field for the resource '{kind}'.", f"{pointer}/{name}")
