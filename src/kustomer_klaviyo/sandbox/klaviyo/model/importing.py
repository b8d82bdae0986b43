"""A bulk import of profiles: what its request may hold, and how each entry fares. Knows nothing of HTTP.

Rules: developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
"""

import asyncio
import uuid
from typing import Any

import msgspec

from kustomer_klaviyo.sandbox.klaviyo.envelope import Refusal, invalid
from kustomer_klaviyo.sandbox.klaviyo.model.account import Account
from kustomer_klaviyo.sandbox.klaviyo.model.profiles import DuplicateProfile, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.model.records import ImportJob, new_ulid
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import (
    as_object,
    attributes_of,
    refuse_unknown,
    resource_type,
)
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileIn, read_profile, require_identifier

MOST_PROFILES = 10_000
LARGEST_PROFILE = 100_000
"""Bytes."""
AT = "/data/attributes/profiles/data"
ENTRIES_AT_A_TIME = 100
"""So many entries are imported before other requests have their turn."""


def begin_import(account: Account, data: dict[str, Any]) -> ImportJob:
    """Take in a ``profile-bulk-import-job``; its entries are checked when it runs. Raises Refusal."""
    attributes = attributes_of(data, "/data")
    refuse_unknown(attributes, frozenset({"profiles"}), "profile-bulk-import-job", "/data/attributes")
    entries = as_object(attributes.get("profiles"), "/data/attributes/profiles", "profiles").get("data")
    if not isinstance(entries, list) or not entries:
        raise invalid("'data' must be a list that is not empty.", AT)
    if len(entries) > MOST_PROFILES:
        raise invalid(f"A request may hold at most {MOST_PROFILES} profiles.", AT)
    for index, entry in enumerate(entries):
        resource_type(as_object(entry, f"{AT}/{index}", "profile"), "profile", f"{AT}/{index}")
    now = account.now()
    job = ImportJob(new_ulid(now.timestamp()), now, entries, len(entries))
    account.import_jobs[job.id] = job
    return job


async def run_import(account: Account, job: ImportJob) -> None:
    """Import every entry that can be; what cannot is kept with its reason."""
    job.status, job.started_at = "processing", account.now()
    for index, entry in enumerate(job.entries):
        try:
            profile, _ = account.people.create_or_update(_read(account, entry, f"{AT}/{index}"))
            job.profiles.append(profile.id)
        except Refusal as refusal:
            job.errors += [_error(entry, one) for one in (refusal.error, *refusal.more)]
        except DuplicateProfile:
            said = Refusal(409, "duplicate_profile", "Conflict.", "These identifiers sit on two profiles.",
                           pointer=f"{AT}/{index}/attributes")  # fmt: skip
            job.errors.append(_error(entry, said.error))
        except UnknownProfile:
            job.errors.append(_error(entry, invalid("No profile has this id.", f"{AT}/{index}/id").error))
        if index % ENTRIES_AT_A_TIME == 0:
            await asyncio.sleep(0)
    job.status, job.completed_at, job.entries = "complete", account.now(), []


def _read(account: Account, entry: dict[str, Any], pointer: str) -> ProfileIn:
    if len(msgspec.json.encode(entry)) > LARGEST_PROFILE:
        raise invalid("A profile may have at most 100 KB.", pointer)
    profile = read_profile(entry, pointer)
    account.refusals.judge(profile, f"{pointer}/attributes")
    require_identifier(profile, f"{pointer}/attributes")
    if profile.without_phone:
        raise invalid("Invalid phone number format", f"{pointer}/attributes/phone_number")
    # An import cannot clear: what is null there is as if it were absent.
    return ProfileIn(profile.id, _said(profile.attributes), profile.meta)


def _said(attributes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: _said(value) if isinstance(value, dict) and name in ("location", "properties") else value
        for name, value in attributes.items()
        if value is not None
    }


def _error(entry: Any, error: dict[str, Any]) -> dict[str, Any]:
    attributes = {name: error[name] for name in ("code", "title", "detail", "source")}
    return {"type": "import-error", "id": str(uuid.uuid4()), "attributes": attributes | {"original_payload": entry}}
