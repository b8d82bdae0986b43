"""What a customer is called: never by the name that Kustomer invents for display. Pure."""

import re
from collections.abc import Mapping
from typing import Any

from kustomer_klaviyo.kustomer.wire import as_text, is_masked

GENERATIONS = ("jr", "sr", "ii", "iii", "iv", "md", "phd", "esq")
COMPANIES = ("inc", "llc", "ltd", "llp", "gmbh", "corp", "co", "plc", "sa", "srl", "bv", "ag")

_NOT_A_NAME = re.compile(r"@|://|[0-9]{3}")


def names(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``firstName`` and ``lastName``: as given, else read out of ``name``; nothing where that is no name."""
    first, last = attributes.get("firstName"), attributes.get("lastName")
    if as_text(first) or as_text(last) or is_masked(first) or is_masked(last):
        return {"firstName": first, "lastName": last}
    name = attributes.get("name")
    if is_masked(name):
        return {"firstName": name, "lastName": name}
    text = as_text(name)
    if text is None or _NOT_A_NAME.search(text):
        return {"firstName": None, "lastName": None}
    return dict(zip(("firstName", "lastName"), parse(text), strict=True))


def parse(name: str) -> tuple[str | None, str | None]:
    """Part a whole name: ``Ada Lovelace`` and ``Lovelace, Ada`` alike; a single word is a first name.

    A company is nobody's name.
    """
    before, comma, after = (part.strip() for part in name.partition(","))
    title = after.replace(".", "").lower()
    if title in COMPANIES:
        return None, None
    if comma and after and "," not in after and title not in GENERATIONS:
        return after, before or None
    first, _, last = before.partition(" ")
    last = f"{last}, {after}" if title in GENERATIONS and last else last
    return first or None, last.strip() or None
