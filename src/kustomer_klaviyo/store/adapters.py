"""How Python's values go to PostgreSQL: no text or JSON of a stranger can be such that it is refused for its form."""

import json
from typing import Any

from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrBinaryDumper, StrDumper, StrDumperUnknown

from kustomer_klaviyo.cleaning import storable, storable_document


class _Text(StrDumper):
    def dump(self, obj: str) -> bytes:
        return _encoded(obj)


class _Unknown(StrDumperUnknown):
    def dump(self, obj: str) -> bytes:
        return _encoded(obj)


class _Binary(StrBinaryDumper):
    def dump(self, obj: str) -> bytes:
        return _encoded(obj)


def _encoded(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return storable(text).encode()
    return storable(text).encode() if b"\x00" in encoded else encoded


def dump_json(document: Any) -> bytes:
    """Return JSON that ``jsonb`` takes: without NULs, halves of characters, NaN and infinity."""
    try:
        encoded = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return json.dumps(storable_document(document), ensure_ascii=False, allow_nan=False).encode()
    if rb"\u0000" in encoded:
        return json.dumps(storable_document(document), ensure_ascii=False).encode()
    return encoded


async def adapt(connection: AsyncConnection[Any]) -> None:
    """Let a connection send texts and JSON this way."""
    for dumper in (_Binary, _Text, _Unknown):
        connection.adapters.register_dumper(str, dumper)
    set_json_dumps(dump_json, connection)
