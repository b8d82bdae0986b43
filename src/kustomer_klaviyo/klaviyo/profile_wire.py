"""The shapes of Klaviyo's profile requests and answers, and how values become bytes and back. Pure.

API reference: developers.klaviyo.com/en/reference/profiles_api_overview
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.klaviyo.event_wire import next_cursor
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall, resource

MOST_PROFILES = 10_000
MOST_BYTES = 4_500_000
"""Klaviyo takes 5 MB in a bulk import; the rest is left for what it counts and we do not."""

IMPORT_START = b'{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":['
IMPORT_END = b"]}}}}"

_ENTRY = re.compile(r"/data/attributes/profiles/data/([0-9]{1,6})(/|\Z)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class ImportStanding:
    """How a bulk import fares."""

    is_over: bool
    was_cancelled: bool
    failed: int | None
    """None when it does not say."""


@dataclass(frozen=True, slots=True)
class ListedImport:
    """A bulk import as it stands in a list of them."""

    id: str
    created_at: datetime
    profiles: int


@dataclass(frozen=True, slots=True)
class ImportFault:
    """One profile that a bulk import could not import, in Klaviyo's words."""

    detail: str
    identifiers: tuple[str, ...]
    """Its email and phone, as far as the answer repeats them."""
    entry: int | None
    """Its place in the request, where the answer names it."""


def encode_profile(call: ProfileCall, profile_id: str | None = None) -> bytes:
    """Return the body of ``POST /api/profile-import`` or ``PATCH /api/profiles/{id}``."""
    return _encoder.encode({"data": resource(call, profile_id=profile_id)})


def encode_entry(call: ProfileCall) -> bytes:
    """Return one entry of a bulk import."""
    return _encoder.encode(resource(call))


def join_profiles(entries: Sequence[bytes]) -> bytes:
    """Return the body of ``POST /api/profile-bulk-import-jobs`` made of encoded entries."""
    return IMPORT_START + b",".join(entries) + IMPORT_END


def encode_merge(into: str, source: str) -> bytes:
    """Return the body of ``POST /api/profile-merge``."""
    sources = {"profiles": {"data": [{"type": "profile", "id": source}]}}
    return _encoder.encode({"data": {"type": "profile-merge", "id": into, "relationships": sources}})


def encode_erasure(field: str, value: str) -> bytes:
    """Return the body of ``POST /api/data-privacy-deletion-jobs``; exactly one identifier names the person."""
    profile = {"data": {"type": "profile", "attributes": {field: value}}}
    return _encoder.encode({"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}})


def quoted(text: str) -> str:
    """Return a text as a filter's value (developers.klaviyo.com/en/docs/filtering_)."""
    escaped = _CONTROL.sub("", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_id(body: bytes) -> str | None:
    """Return the id of the resource in an answer, or of the first one listed; None when there is none."""
    data = _object(body).get("data")
    first = data[0] if isinstance(data, list) and data else data
    found = first.get("id") if isinstance(first, dict) else None
    return found if isinstance(found, str) and found else None


def read_standing(body: bytes) -> ImportStanding:
    """Read how an import fares; an answer that says nothing counts as still under way."""
    data = _object(body).get("data")
    attributes = data.get("attributes") if isinstance(data, dict) else None
    said = attributes if isinstance(attributes, dict) else {}
    failed = said.get("failed_count")
    return ImportStanding(
        is_over=said.get("status") in ("complete", "cancelled"),
        was_cancelled=said.get("status") == "cancelled",
        failed=failed if isinstance(failed, int) else None,
    )


def read_imports(body: bytes) -> list[ListedImport]:
    """Read a list of imports; those without a time or a size are passed over."""
    listed = _object(body).get("data")
    found = []
    for one in map(_dict, listed if isinstance(listed, list) else []):
        attributes, import_id = _dict(one.get("attributes")), one.get("id")
        at, total = attributes.get("created_at"), attributes.get("total_count")
        if isinstance(import_id, str) and isinstance(at, str) and isinstance(total, int):
            with suppress(ValueError, OverflowError):
                found.append(ListedImport(import_id, datetime.fromisoformat(at).astimezone(UTC), total))
    return found


def read_faults(body: bytes) -> tuple[list[ImportFault], str | None]:
    """Read one page of an import's errors, and the cursor of the next page."""
    document = _object(body)
    listed = document.get("data")
    faults = [_fault(one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return faults, next_cursor(document)


def _fault(error: dict[str, Any]) -> ImportFault:
    attributes = _dict(error.get("attributes"))
    detail = next((str(attributes[name]) for name in ("detail", "title", "code") if attributes.get(name)), "no reason")
    pointer = _dict(attributes.get("source")).get("pointer")
    entry = _ENTRY.match(pointer) if isinstance(pointer, str) else None
    payload = _dict(attributes.get("original_payload"))
    places = (payload, _dict(payload.get("attributes")), _dict(_dict(payload.get("data")).get("attributes")))
    identifiers = [place[name] for place in places for name in ("email", "phone_number") if place.get(name)]
    return ImportFault(detail[:1000], tuple(map(str, identifiers)), int(entry.group(1)) if entry else None)


def _object(body: bytes) -> dict[str, Any]:
    try:
        return _dict(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
