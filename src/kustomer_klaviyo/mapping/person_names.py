"""Reads a customer's first and last name, but never the display name that Kustomer generates. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from kustomer_klaviyo.kustomer.wire import as_text, is_masked

NAME_SUFFIXES = ("jr", "sr", "ii", "iii", "iv", "md", "phd", "esq")
COMPANY_SUFFIXES = ("inc", "llc", "ltd", "llp", "gmbh", "corp", "co", "plc", "sa", "srl", "bv", "ag")

_NOT_A_NAME = re.compile(r"@|://|[0-9]{3}")


def read_names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``firstName`` and ``lastName``: as given, else split from ``name`` if that is a person's name."""
    first, last = attributes.get("firstName"), attributes.get("lastName")
    if as_text(first) or as_text(last) or is_masked(first) or is_masked(last):
        return {"firstName": first, "lastName": last}
    name = attributes.get("name")
    if is_masked(name):
        return {"firstName": name, "lastName": name}
    text = as_text(name)
    if text is None or _NOT_A_NAME.search(text):
        return {"firstName": None, "lastName": None}
    return dict(zip(("firstName", "lastName"), split_name(text), strict=True))


def split_name(name: str) -> tuple[str | None, str | None]:
    """Split a full name, ``Ada Lovelace`` or ``Lovelace, Ada``; a single word is a first name.

    The name of a company gives no names.
    """
    before, comma, after = (part.strip() for part in name.partition(","))
    suffix = after.replace(".", "").lower()
    if suffix in COMPANY_SUFFIXES:
        return None, None
    if comma and after and "," not in after and suffix not in NAME_SUFFIXES:
        return after, before or None
    first, _, last = before.partition(" ")
    last = f"{last}, {after}" if suffix in NAME_SUFFIXES and last else last
    return first or None, last.strip() or None
