"""Finds the entity that an unreadable webhook is about, from its beginning, so that it can be fetched. Pure."""

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
class EntityRef:
    """The customer or conversation that a webhook is about."""

    kind: Literal["conversation", "customer"]
    id: str


def find_entity(head: bytes) -> EntityRef | None:
    """Return the entity that the beginning of a webhook names; None if it names no conversation or customer."""
    data = _DATA.search(head)
    inside = b"" if data is None else data.group(1)
    kind = _NAME.search(head) or _TYPE.search(inside)
    id_match = _ID.search(inside) or _DATA_ID.search(head)
    entity_id = None if id_match is None else as_id(id_match.group(1).decode())
    if kind is None or entity_id is None:
        return None
    return EntityRef("conversation" if kind.group(1) == b"conversation" else "customer", entity_id)
