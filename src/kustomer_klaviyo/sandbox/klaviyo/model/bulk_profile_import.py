"""Bulk import of profiles: validation of the request, and processing of its entries. Independent of HTTP.

Rules: developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
"""

import asyncio
import uuid
from typing import Any

import msgspec

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import KlaviyoRefusal, invalid
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.profile_store import DuplicateProfile, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.model.records import ImportJob, new_ulid
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileInput, parse_profile, require_identifier
from kustomer_klaviyo.sandbox.klaviyo.validation.request_resources import (
    as_object,
    attributes_of,
    check_type,
    refuse_unknown,
)

MAX_PROFILES = 10_000
MAX_PROFILE_BYTES = 100_000
ENTRIES_POINTER = "/data/attributes/profiles/data"
ENTRIES_PER_YIELD = 100
"""The event loop runs other tasks after this many entries."""


def create_import(account: Account, data: dict[str, Any]) -> ImportJob:
    """Create a ``profile-bulk-import-job``; its entries are validated when it runs. Raises KlaviyoRefusal."""
    attributes = attributes_of(data, "/data")
    refuse_unknown(attributes, frozenset({"profiles"}), "profile-bulk-import-job", "/data/attributes")
    entries = as_object(attributes.get("profiles"), "/data/attributes/profiles", "profiles").get("data")
    if not isinstance(entries, list) or not entries:
        raise invalid("'data' must be a list that is not empty.", ENTRIES_POINTER)
    if len(entries) > MAX_PROFILES:
        raise invalid(f"A request may hold at most {MAX_PROFILES} profiles.", ENTRIES_POINTER)
    for index, entry in enumerate(entries):
        check_type(as_object(entry, f"{ENTRIES_POINTER}/{index}", "profile"), "profile", f"{ENTRIES_POINTER}/{index}")
    now = account.now()
    job = ImportJob(new_ulid(now.timestamp()), now, entries, len(entries))
    account.import_jobs[job.id] = job
    return job


async def run_import(account: Account, job: ImportJob) -> None:
    """Import every valid entry, and store an error for each invalid one."""
    job.status, job.started_at = "processing", account.now()
    for index, entry in enumerate(job.entries):
        try:
            profile, _ = account.profiles.create_or_update(_parse_entry(account, entry, f"{ENTRIES_POINTER}/{index}"))
            job.profiles.append(profile.id)
        except KlaviyoRefusal as refusal:
            job.errors += [_error(entry, error) for error in (refusal.error, *refusal.further)]
        except DuplicateProfile:
            detail = "These identifiers belong to two profiles."
            pointer = f"{ENTRIES_POINTER}/{index}/attributes"
            conflict = KlaviyoRefusal(409, "duplicate_profile", "Conflict.", detail, pointer=pointer)
            job.errors.append(_error(entry, conflict.error))
        except UnknownProfile:
            job.errors.append(_error(entry, invalid("No profile has this id.", f"{ENTRIES_POINTER}/{index}/id").error))
        if index % ENTRIES_PER_YIELD == 0:
            await asyncio.sleep(0)
    job.status, job.completed_at, job.entries = "complete", account.now(), []


def _parse_entry(account: Account, entry: dict[str, Any], pointer: str) -> ProfileInput:
    if len(msgspec.json.encode(entry)) > MAX_PROFILE_BYTES:
        raise invalid("A profile may have at most 100 KB.", pointer)
    profile = parse_profile(entry, pointer)
    account.refusals.check_profile(profile, f"{pointer}/attributes")
    require_identifier(profile, f"{pointer}/attributes")
    if profile.dropped_phone:
        raise invalid("Invalid phone number format", f"{pointer}/attributes/phone_number")
    # An import cannot clear a value: null is treated as absent.
    return ProfileInput(profile.id, _without_nulls(profile.attributes), profile.meta)


def _without_nulls(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _without_nulls(value) if isinstance(value, dict) and name in ("location", "properties") else value
        for name, value in attributes.items()
        if value is not None
    }


def _error(entry: Any, error: dict[str, Any]) -> dict[str, Any]:
    attributes = {name: error[name] for name in ("code", "title", "detail", "source")}
    return {"type": "import-error", "id": str(uuid.uuid4()), "attributes": attributes | {"original_payload": entry}}
