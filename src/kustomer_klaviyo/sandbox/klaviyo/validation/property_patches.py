"""Patches of a profile's properties and identifiers: append, unappend, unset. Independent of stored profiles."""

from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import as_object, refuse_unknown

PATCHES = frozenset({"patch_properties", "patch_identifiers"})
PROPERTY_PATCHES = frozenset({"append", "unappend", "unset"})
IDENTIFIER_PATCHES = frozenset({"append", "unappend"})


def check_patches(value: Any, pointer: str) -> dict[str, Any]:
    """Validate a profile's ``meta``, and return it. Raises KlaviyoRefusal."""
    meta = as_object(value, pointer, "meta")
    refuse_unknown(meta, PATCHES, "profile", pointer)
    for name, known in (("patch_properties", PROPERTY_PATCHES), ("patch_identifiers", IDENTIFIER_PATCHES)):
        if meta.get(name) is not None:
            _check_operations(as_object(meta[name], f"{pointer}/{name}", name), known, f"{pointer}/{name}")
    identifiers = meta.get("patch_identifiers") or {}
    for operation in IDENTIFIER_PATCHES:
        refuse_unknown(
            identifiers.get(operation) or {},
            frozenset({"email"}),
            "profile",
            f"{pointer}/patch_identifiers/{operation}",
        )
    return meta


def _check_operations(patch: dict[str, Any], known: frozenset[str], pointer: str) -> None:
    refuse_unknown(patch, known, "profile", pointer)
    for operation, operand in patch.items():
        if operand is None:
            continue
        if operation != "unset":
            as_object(operand, f"{pointer}/{operation}", operation)
        elif not all(isinstance(name, str) for name in as_list(operand)):
            raise invalid("'unset' must be a key or a list of keys.", f"{pointer}/unset")


def patch_properties(properties: dict[str, Any], patch: dict[str, Any]) -> None:
    """Apply ``patch_properties`` to properties, in place."""
    for name, values in (patch.get("append") or {}).items():
        properties[name] = [*as_list(properties.get(name)), *as_list(values)]
    for name, values in (patch.get("unappend") or {}).items():
        if name in properties:
            properties[name] = [item for item in as_list(properties[name]) if item not in as_list(values)]
    for name in as_list(patch.get("unset")):
        properties.pop(name, None)


def as_list(value: Any) -> list[Any]:
    """Return a value as a list; None is an empty list."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
