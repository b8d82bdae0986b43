"""What an unreadable webhook is about, as far as its first part shows: enough to read the object by API. Pure."""

import re
from dataclasses import dataclass
from typing import Literal

from kustomer_klaviyo.kustomer.wire import as_id

_NAME = re.compile(rb'"name"\s*:\s*"kustomer\.(conversation|customer)\.(?:create|update)"')
_DATA = re.compile(rb'"data"\s*:\s*\{([^{}\[\]]*)')
_TYPE = re.compile(rb'"type"\s*:\s*"(conversation|customer)"')
_ID = re.compile(rb'"id"\s*:\s*"([A-Za-z0-9_-]{1,64})"')
_DATA_ID = re.compile(rb'"dataId"\s*:\s*"([A-Za-z0-9_-]{1,64})"')


@dataclass(frozen=True, slots=True)
class Salvaged:
    """The object that a webhook concerns."""

    kind: Literal["conversation", "customer"]
    id: str


def salvage(head: bytes) -> Salvaged | None:
    """Return the object that the beginning of a webhook names; None when it names none of those we subscribe to."""
    data = _DATA.search(head)
    inside = b"" if data is None else data.group(1)
    kind = _NAME.search(head) or _TYPE.search(inside)
    named = _ID.search(inside) or _DATA_ID.search(head)
    found = None if named is None else as_id(named.group(1).decode())
    if kind is None or found is None:
        return None
    return Salvaged("conversation" if kind.group(1) == b"conversation" else "customer", found)
