"""Writes one profile: finds it by a former contact, and works around what Klaviyo rejects.

Duplicates and phone rules: developers.klaviyo.com/en/reference/profiles_api_overview
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest, Value
from kustomer_klaviyo.klaviyo.profile_wire import read_id
from kustomer_klaviyo.klaviyo.rejected_fields import PHONE_NUMBER, drop_fields, rejected_fields
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused
from kustomer_klaviyo.planning.support_state import SUPPORT_PROPERTIES
from kustomer_klaviyo.reasons import DeliveryNote, Reason, sentence

Send = Callable[[ProfileRequest], Awaitable[Outcome]]

BULK_IMPORT_SECONDS = 3.0
"""About the duration of a bulk import."""

MAX_ATTEMPTS = 10
"""How often rejected values are dropped within one write; another write continues without all of them."""


@dataclass(frozen=True, slots=True)
class WriteNote:
    """What is stored with a write."""

    code: DeliveryNote
    detail: str | None = None


@dataclass(slots=True)
class WriteResult:
    """The result of a write."""

    outcome: Outcome
    profile_id: str | None = None
    notes: list[WriteNote] = field(default_factory=list)
    is_missing: bool = False
    """The profile does not exist and must not be created: nothing was written."""
    is_new: bool = False
    """The write created the profile."""
    phone_conflict: bool | None = None
    """Whether the phone number belongs to another profile or is rejected; None when it was not tried."""
    is_phone_property_written: bool = True
    """A phone number that is no identifier of the profile was written as a property."""
    rejected_values: dict[str, Value | None] = field(default_factory=dict)
    """Values that Klaviyo rejected, by field; they were dropped."""
    has_more_rejected: bool = False
    """Klaviyo rejects even more values than were dropped in the allowed number of attempts."""
    rejected_reason: Reason = Reason.REJECTED
    """Why the write failed, if Klaviyo rejected it."""

    def add_note(self, code: DeliveryNote, detail: str | None = None) -> None:
        """Add a note."""
        self.notes.append(WriteNote(code, detail))

    def has_note(self, code: DeliveryNote) -> bool:
        """Return whether a note was added."""
        return any(note.code is code for note in self.notes)

    def add_rejected(self, values: Mapping[str, Value | None], detail: str) -> None:
        """Record the values that Klaviyo rejected."""
        for name, value in values.items():
            if name == PHONE_NUMBER:
                self.phone_conflict = True
                self.add_note(DeliveryNote.PHONE_REJECTED)
            else:
                self.rejected_values[name] = value
                self.add_note(DeliveryNote.VALUE_REJECTED, f"{name}: {detail}")

    def outcome_with_notes(self) -> Outcome:
        """Return the outcome with the notes rendered."""
        if not isinstance(self.outcome, Accepted):
            return self.outcome
        texts = [sentence(note.code, note.detail) for note in self.notes] + [self.outcome.note]
        return replace(self.outcome, note="; ".join(dict.fromkeys(filter(None, texts))) or None)


class ProfileWriter:
    """Writes single profiles of one connection. Every step can be repeated without harm."""

    def __init__(self, keys: ApiKeyRing[KlaviyoClient], options: ConnectionOptions) -> None:
        self._keys = keys
        self._options = options

    @property
    def is_at_rate_limit(self) -> bool:
        """Whether the rate limit delays single writes for longer than a bulk import takes."""
        return self._keys.active.limiters.profile_import.wait_seconds(time.monotonic()) > BULK_IMPORT_SECONDS

    async def write(self, request: ProfileRequest, profile_id: str | None) -> WriteResult:
        """Write a profile; ``profile_id`` is its Klaviyo id, if known."""
        if request.erase:
            return await self._erase(request)
        must_exist = self._options.update_only or request.must_exist
        changes_contact = bool(request.former_email or request.former_phone)
        result = WriteResult(Accepted(200), profile_id)
        if profile_id is None and (must_exist or changes_contact):
            result = await self.find(request, by_current=must_exist)
            if not isinstance(result.outcome, Accepted):
                return result
        former_id = result.profile_id
        if former_id is None and must_exist:
            result.is_missing = True
        elif former_id is not None and (changes_contact or must_exist):
            await self._patch(request, result)
        else:
            if changes_contact:
                result.add_note(DeliveryNote.FORMER_CONTACT_UNKNOWN)
            await self._import(request, result)
        await self._clear_former_profile(former_id, result)
        return result

    async def _erase(self, request: ProfileRequest) -> WriteResult:
        name, value = ("email", request.email) if request.email else ("phone_number", request.phone or "")
        outcome = await self._keys.call(lambda client: client.erase_profile(name, value))
        if isinstance(outcome, LockedOut) and outcome.status == 403:
            # The key works for everything else, so the missing scope fails this delivery and does not hold the others.
            rejected = Refused(outcome.status, outcome.detail, outcome.request_id)
            return WriteResult(rejected, rejected_reason=Reason.ERASURE_SCOPE_MISSING)
        return WriteResult(outcome)

    async def find(self, request: ProfileRequest, *, by_current: bool = True) -> WriteResult:
        """Find the id of a profile: first by its former contacts, then by its current ones."""
        candidates = [("email", request.former_email), ("phone_number", request.former_phone)]
        if by_current:
            candidates += [("email", request.email), ("phone_number", None if request.email else request.phone)]
        result = WriteResult(Accepted(200))
        for name, value in candidates:
            if value is None:
                continue
            outcome = await self._keys.call(partial(_find, name=name, value=value))
            if isinstance(outcome, Refused):
                # A value that Klaviyo rejects as an address identifies no profile.
                continue
            result.outcome = outcome
            if not isinstance(outcome, Accepted):
                return result
            result.profile_id = read_id(outcome.body)
            if result.profile_id is not None:
                break
        return result

    async def _send(self, request: ProfileRequest, result: WriteResult, send: Send) -> tuple[Outcome, ProfileRequest]:
        """Send a write and drop the values that Klaviyo rejects. Return the outcome and the request that was sent.

        Each further attempt drops at least one more value.
        """
        outcome = await send(request)
        attempts = 1
        while rejected := rejected_fields(request, outcome):
            result.add_rejected(rejected, outcome.detail if isinstance(outcome, Refused) else "")
            if attempts > MAX_ATTEMPTS:
                result.has_more_rejected = True
                break
            request = drop_fields(request, rejected)
            outcome = await send(request)
            attempts += 1
        if request.phone and isinstance(outcome, Accepted):
            result.phone_conflict = outcome.phone_dropped
            result.is_phone_property_written = not outcome.phone_dropped
        return outcome, request

    async def _send_patch(self, profile_id: str, request: ProfileRequest) -> Outcome:
        return await self._keys.call(lambda client: client.patch_profile(profile_id, request))

    async def _send_import(self, request: ProfileRequest) -> Outcome:
        return await self._keys.call(lambda client: client.import_profile(request))

    async def _patch(self, request: ProfileRequest, result: WriteResult) -> None:
        """Update the profile by its id, including its email and phone."""
        patch = partial(self._send_patch, result.profile_id or "")
        outcome, request = await self._send(request, result, patch)
        duplicate_id = None
        if request.phone and _is_conflict(outcome):
            # Klaviyo does not say which contact conflicts; a request without the phone number shows it.
            outcome_without_phone, _ = await self._send(request.without_phone(), result, patch)
            if not _is_conflict(outcome_without_phone):
                duplicate_id = _record_phone_conflict(result, outcome)
            outcome = outcome_without_phone
        if _is_conflict(outcome) and request.email:
            await self._switch_profile(request, result)
        elif _is_not_found(outcome):
            await self._recreate(request, result)
        else:
            result.outcome = outcome
            await self._merge_into(result, duplicate_id)

    async def _recreate(self, request: ProfileRequest, result: WriteResult) -> None:
        """Create the profile that no longer exists, unless it must exist."""
        result.profile_id = None
        if self._options.update_only or request.must_exist:
            result.is_missing = True
        else:
            result.add_note(DeliveryNote.PROFILE_RECREATED)
            await self._import(request, result)

    async def _switch_profile(self, request: ProfileRequest, result: WriteResult) -> None:
        """Write to the profile that has the new email address."""
        former_id = result.profile_id
        result.add_note(DeliveryNote.EMAIL_CONFLICT)
        result.profile_id = None
        # With the external id, Klaviyo would update the former profile.
        await self._import(replace(request, external_id=None), result, merge=former_id)

    async def _clear_former_profile(self, former_id: str | None, result: WriteResult) -> None:
        """Clear the customer's own values in a profile that is no longer theirs."""
        has_moved = isinstance(result.outcome, Accepted) and result.profile_id not in (None, former_id)
        if former_id is None or not has_moved or result.has_note(DeliveryNote.PROFILES_MERGED):
            return
        names = [*SUPPORT_PROPERTIES, *(("external_id",) if self._options.external_id else ())]
        patch = partial(self._send_patch, former_id)
        outcome, _ = await self._send(ProfileRequest(dict.fromkeys(names)), WriteResult(Accepted(200)), patch)
        if not (isinstance(outcome, Accepted) or _is_not_found(outcome)):
            result.outcome = outcome

    async def _import(self, request: ProfileRequest, result: WriteResult, *, merge: str | None = None) -> None:
        outcome, request = await self._send(request, result, self._send_import)
        duplicate_id = None
        if request.phone and request.email and _is_conflict(outcome):
            duplicate_id = _record_phone_conflict(result, outcome)
            outcome, request = await self._send(request.without_phone(), result, self._send_import)
        result.outcome = outcome
        if not isinstance(outcome, Accepted):
            return
        result.profile_id, result.is_new = read_id(outcome.body), outcome.status == 201
        await self._merge_into(result, merge, duplicate_id)

    async def _merge_into(self, result: WriteResult, *source_ids: str | None) -> None:
        """Merge other profiles into the written one, if the option ``merge_profiles`` allows it."""
        if not self._options.merge_profiles or not isinstance(result.outcome, Accepted):
            return
        for source_id in source_ids:
            if source_id and result.profile_id and source_id != result.profile_id:
                await self._merge(result, result.profile_id, source_id)

    async def _merge(self, result: WriteResult, into: str, source: str) -> None:
        """Merge another profile into the written one. A failure does not affect the write."""
        outcome = await self._keys.call(lambda client: client.merge_profiles(into=into, source=source))
        if isinstance(outcome, Accepted):
            result.add_note(DeliveryNote.PROFILES_MERGED)
        else:
            result.add_note(DeliveryNote.MERGE_FAILED, outcome.detail)


async def _find(client: KlaviyoClient, *, name: str, value: str) -> Outcome:
    return await client.find_profile(name, value)


def _record_phone_conflict(result: WriteResult, outcome: Outcome) -> str | None:
    """Record that the phone number belongs to another profile, and return that profile's id."""
    result.phone_conflict = True
    result.add_note(DeliveryNote.PHONE_KEPT_AS_PROPERTY)
    return outcome.conflicting_id if isinstance(outcome, Refused) else None


def _is_not_found(outcome: Outcome) -> bool:
    """Return whether no profile has the id any more."""
    return isinstance(outcome, LockedOut) and outcome.status == 404


def _is_conflict(outcome: Outcome) -> bool:
    """Return whether the email or phone number belongs to another profile."""
    return isinstance(outcome, Refused) and outcome.status == 409
