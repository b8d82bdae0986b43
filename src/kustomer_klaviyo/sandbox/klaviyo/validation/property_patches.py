"""Patches of a profile's properties: values appended to, taken from, and keys unset. Knows no profiles."""

from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.envelope import invalid
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import as_object, refuse_unknown

PATCHES = frozenset({"patch_properties", "patch_identifiers"})
PROPERTY_PATCHES = frozenset({"append", "unappend", "unset"})
IDENTIFIER_PATCHES = frozenset({"append", "unappend"})


def check_patches(found: Any, pointer: str) -> dict[str, Any]:
    """Return a profile's ``meta`` when its form is right. Raises Refusal."""
    meta = as_object(found, pointer, "meta")
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
    for operation, wanted in patch.items():
        if wanted is None:
            continue
        if operation != "unset":
            as_object(wanted, f"{pointer}/{operation}", operation)
        elif not all(isinstance(name, str) for name in as_list(wanted)):
            raise invalid("'unset' must be a key or a list of keys.", f"{pointer}/unset")


def patch_properties(properties: dict[str, Any], patch: dict[str, Any]) -> None:
    """Change properties in place as ``patch_properties`` asks."""
    for name, values in (patch.get("append") or {}).items():
        properties[name] = [*as_list(properties.get(name)), *as_list(values)]
    for name, values in (patch.get("unappend") or {}).items():
        if name in properties:
            properties[name] = [one for one in as_list(properties[name]) if one not in as_list(values)]
    for name in as_list(patch.get("unset")):
        properties.pop(name, None)


def as_list(value: Any) -> list[Any]:
    """Return the value as a list: none, one or many."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
