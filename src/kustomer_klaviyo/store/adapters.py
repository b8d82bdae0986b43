"""Adapters of text and JSON values, so that PostgreSQL accepts any text that a vendor or a user may send."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from psycopg import AsyncConnection
from psycopg.types.json import set_json_dumps
from psycopg.types.string import StrBinaryDumper, StrDumper, StrDumperUnknown

from kustomer_klaviyo.cleaning import storable, storable_document


class _Text(StrDumper):
    def dump(self, obj: str) -> bytes:
        return _encode(obj)


class _Unknown(StrDumperUnknown):
    def dump(self, obj: str) -> bytes:
        return _encode(obj)


class _Binary(StrBinaryDumper):
    def dump(self, obj: str) -> bytes:
        return _encode(obj)


def _encode(text: str) -> bytes:
    try:
        encoded = text.encode()
    except UnicodeEncodeError:
        return storable(text).encode()
    return storable(text).encode() if b"\x00" in encoded else encoded


def dump_json(document: Any) -> bytes:
    """Return JSON that ``jsonb`` accepts: without NULs, lone surrogates, NaN and infinity."""
    try:
        encoded = json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except ValueError:
        return json.dumps(storable_document(document), ensure_ascii=False, allow_nan=False).encode()
    if rb"\u0000" in encoded:
        return json.dumps(storable_document(document), ensure_ascii=False).encode()
    return encoded


def dump_rows(rows: Sequence[Any]) -> bytes:
    """Return rows of a dataclass as JSON that ``jsonb`` accepts: an array of objects."""
    try:
        encoded = msgspec.json.encode(rows)
    except (TypeError, ValueError):
        encoded = None
    if encoded is None or rb"\u0000" in encoded:
        return dump_json(storable_document(msgspec.to_builtins(rows)))
    return encoded


async def register_adapters(conn: AsyncConnection[Any]) -> None:
    """Register the adapters on a database connection."""
    for dumper in (_Binary, _Text, _Unknown):
        conn.adapters.register_dumper(str, dumper)
    set_json_dumps(dump_json, conn)
