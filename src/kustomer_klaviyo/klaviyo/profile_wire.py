"""Encodes Klaviyo's profile requests, and decodes responses. Pure.

API reference: developers.klaviyo.com/en/reference/profiles_api_overview
"""

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.klaviyo.event_wire import next_cursor
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest, profile_resource

MAX_IMPORT_PROFILES = 10_000
MAX_IMPORT_BYTES = 4_500_000
"""Klaviyo's limit is 5 MB. The margin covers differences in how it counts."""

IMPORT_START = b'{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":['
IMPORT_END = b"]}}}}"

_ENTRY = re.compile(r"/data/attributes/profiles/data/([0-9]{1,6})(/|\Z)")
MAX_DETAIL_LENGTH = 1000
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class BulkImportStatus:
    """The status of a bulk import."""

    is_over: bool
    was_cancelled: bool
    failed_count: int | None
    """None when Klaviyo does not report it."""


@dataclass(frozen=True, slots=True)
class ListedBulkImport:
    """A bulk import in a list."""

    id: str
    created_at: datetime
    profile_count: int


@dataclass(frozen=True, slots=True)
class BulkImportError:
    """One profile that a bulk import rejected."""

    detail: str
    identifiers: tuple[str, ...]
    """Its email and phone, if the response repeats them."""
    entry_index: int | None
    """Its index in the request, if the response names it."""


def encode_profile(request: ProfileRequest, profile_id: str | None = None) -> bytes:
    """Return the body of ``POST /api/profile-import`` or ``PATCH /api/profiles/{id}``."""
    return _encoder.encode({"data": profile_resource(request, profile_id=profile_id)})


def encode_entry(request: ProfileRequest) -> bytes:
    """Return one entry of a bulk import."""
    return _encoder.encode(profile_resource(request))


def join_profiles(entries: Sequence[bytes]) -> bytes:
    """Return the body of ``POST /api/profile-bulk-import-jobs``, made of encoded entries."""
    return IMPORT_START + b",".join(entries) + IMPORT_END


def encode_merge(into: str, source: str) -> bytes:
    """Return the body of ``POST /api/profile-merge``."""
    sources = {"profiles": {"data": [{"type": "profile", "id": source}]}}
    return _encoder.encode({"data": {"type": "profile-merge", "id": into, "relationships": sources}})


def encode_erasure(field: str, value: str) -> bytes:
    """Return the body of ``POST /api/data-privacy-deletion-jobs``, with exactly one identifier."""
    profile = {"data": {"type": "profile", "attributes": {field: value}}}
    return _encoder.encode({"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": profile}}})


def quote_filter_value(text: str) -> str:
    """Quote a value for a filter (developers.klaviyo.com/en/docs/filtering_)."""
    escaped = _CONTROL.sub("", text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def read_id(body: bytes) -> str | None:
    """Return the id of the resource in a response, or of the first one in a list; None without one."""
    data = _read_object(body).get("data")
    first = data[0] if isinstance(data, list) and data else data
    resource_id = first.get("id") if isinstance(first, dict) else None
    return resource_id if isinstance(resource_id, str) and resource_id else None


def read_status(body: bytes) -> BulkImportStatus:
    """Read the status of an import. A response without a status counts as still running."""
    attributes = as_object(as_object(_read_object(body).get("data")).get("attributes"))
    status, failed_count = attributes.get("status"), attributes.get("failed_count")
    return BulkImportStatus(
        is_over=status in ("complete", "cancelled"),
        was_cancelled=status == "cancelled",
        failed_count=failed_count if isinstance(failed_count, int) else None,
    )


def read_bulk_imports(body: bytes) -> list[ListedBulkImport]:
    """Read a list of imports, without those that have no time or size."""
    bulk_imports = []
    for resource in map(as_object, as_list(_read_object(body).get("data"))):
        attributes, bulk_import_id = as_object(resource.get("attributes")), resource.get("id")
        created_at, total = attributes.get("created_at"), attributes.get("total_count")
        if isinstance(bulk_import_id, str) and isinstance(created_at, str) and isinstance(total, int):
            with suppress(ValueError, OverflowError):
                created = datetime.fromisoformat(created_at).astimezone(UTC)
                bulk_imports.append(ListedBulkImport(bulk_import_id, created, total))
    return bulk_imports


def read_errors(body: bytes) -> tuple[list[BulkImportError], str | None]:
    """Read one page of an import's errors, and the cursor of the next page."""
    document = _read_object(body)
    errors = [_read_error(error) for error in as_list(document.get("data")) if isinstance(error, dict)]
    return errors, next_cursor(document)


def _read_error(error: dict[str, Any]) -> BulkImportError:
    attributes = as_object(error.get("attributes"))
    detail = next((str(attributes[name]) for name in ("detail", "title", "code") if attributes.get(name)), "no reason")
    pointer = as_object(attributes.get("source")).get("pointer")
    entry = _ENTRY.match(pointer) if isinstance(pointer, str) else None
    payload = as_object(attributes.get("original_payload"))
    inner_payload = as_object(payload.get("data"))
    places = (payload, as_object(payload.get("attributes")), as_object(inner_payload.get("attributes")))
    identifiers = [place[name] for place in places for name in ("email", "phone_number") if place.get(name)]
    return BulkImportError(
        detail[:MAX_DETAIL_LENGTH], tuple(map(str, identifiers)), int(entry.group(1)) if entry else None
    )


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        return as_object(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
