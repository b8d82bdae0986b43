"""Writes one profile: finds whom Klaviyo knows under a former address, and gets around what it refuses.

Duplicates and phone rules: developers.klaviyo.com/en/reference/profiles_api_overview
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.delivery.sender import Sender
from kustomer_klaviyo.klaviyo.blamed_fields import NOT_TAKEN, PHONE_NUMBER, refused_fields, without
from kustomer_klaviyo.klaviyo.profile_request import ProfileCall, Value
from kustomer_klaviyo.klaviyo.profile_wire import read_id
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused
from kustomer_klaviyo.planning.support_state import STATE

Send = Callable[[ProfileCall], Awaitable[Outcome]]

LONG_SECONDS = 3.0

MOST_TRIES = 10
"""So many times what Klaviyo blames is left out of one write; another write goes on without all of it."""

NUMBER_TAKEN = "the phone number belongs to another Klaviyo profile: kept as a property"
NUMBER_REFUSED = "Klaviyo does not take the phone number: kept as a property"
ADDRESS_TAKEN = "the new address belongs to another Klaviyo profile, which is used now"
NOT_FOUND = "Klaviyo knows nobody by the former address"
GONE = "the Klaviyo profile is no longer there"
NO_ERASURE = "the Klaviyo key lacks the scope data-privacy:write: put in one that has it, then retry"
MERGED = "two Klaviyo profiles were merged (option merge_profiles)"
UNKNOWN = "not known to Klaviyo (option update_only)"
NOBODY = "Klaviyo no longer knows the person"


@dataclass(slots=True)
class Written:
    """How a write ended."""

    outcome: Outcome
    profile_id: str | None = None
    notes: list[str] = field(default_factory=list)
    is_unknown: bool = False
    """Klaviyo does not know the person, and nobody was to be made: nothing was written."""
    is_new: bool = False
    """The profile was made by this write."""
    number_taken: bool | None = None
    """Whether the number belongs to another profile, or is not taken; None where it was not tried."""
    is_number_told: bool = True
    """A number that is not the person's identifier was written as a property."""
    refused: dict[str, Value | None] = field(default_factory=dict)
    """Values that Klaviyo does not take, by their fields, which were left out."""
    is_cut_short: bool = False
    """Klaviyo blames still more than was left out in so many tries."""

    def leave_out(self, refused: Mapping[str, Value | None], detail: str) -> None:
        """Note what is left out because Klaviyo does not take it."""
        for name, value in refused.items():
            if name == PHONE_NUMBER:
                self.number_taken = True
                self.notes.append(NUMBER_REFUSED)
            else:
                self.refused[name] = value
                self.notes.append(f"{name} left out: {NOT_TAKEN} ({detail})")

    def noted(self) -> Outcome:
        """Return the outcome with what there is to say about it."""
        if not isinstance(self.outcome, Accepted):
            return self.outcome
        said = [*self.notes, *([self.outcome.note] if self.outcome.note else [])]
        return replace(self.outcome, note="; ".join(dict.fromkeys(said)) or None)


class ProfileWriter:
    """One connection's way of writing single profiles. Every step may be taken again without harm."""

    def __init__(self, sender: Sender, options: ConnectionOptions) -> None:
        self._sender = sender
        self._options = options

    @property
    def is_at_its_limit(self) -> bool:
        """Whether Klaviyo's limits keep single writes waiting for longer than a bulk import takes."""
        return self._sender.seconds_to_import > LONG_SECONDS

    async def write(self, call: ProfileCall, profile_id: str | None) -> Written:
        """Write a change; ``profile_id`` is where Klaviyo keeps the person, when we know it."""
        if call.erase:
            return await self._erase(call)
        must_exist = self._options.update_only or call.must_exist
        renames = bool(call.former_email or call.former_phone)
        written = Written(Accepted(200), profile_id)
        if profile_id is None and (must_exist or renames):
            written = await self.find(call, by_present=must_exist)
            if not isinstance(written.outcome, Accepted):
                return written
        former = written.profile_id
        if former is None and must_exist:
            written.is_unknown = True
        elif former is not None and (renames or must_exist):
            await self._patch(call, written)
        else:
            if renames:
                written.notes.append(NOT_FOUND)
            await self._import(call, written)
        await self._leave(former, written)
        return written

    async def _erase(self, call: ProfileCall) -> Written:
        field_name, value = ("email", call.email) if call.email else ("phone_number", call.phone or "")
        outcome = await self._sender.erase_profile(field_name, value)
        if isinstance(outcome, LockedOut) and outcome.status == 403:
            # The key is good for all else: what it lacks is this delivery's trouble, not the connection's.
            return Written(Refused(outcome.status, NO_ERASURE, outcome.request_id))
        return Written(outcome)

    async def find(self, call: ProfileCall, *, by_present: bool = True) -> Written:
        """Ask under which id Klaviyo knows the person: by what they were known by, then by what they are now."""
        candidates = [("email", call.former_email), ("phone_number", call.former_phone)]
        if by_present:
            candidates += [("email", call.email), ("phone_number", None if call.email else call.phone)]
        written = Written(Accepted(200))
        for name, value in candidates:
            if value is None:
                continue
            outcome = await self._sender.find_profile(name, value)
            if isinstance(outcome, Refused):
                # What Klaviyo does not take for an address, it knows nobody by.
                continue
            written.outcome = outcome
            if not isinstance(outcome, Accepted):
                return written
            written.profile_id = read_id(outcome.body)
            if written.profile_id is not None:
                break
        return written

    async def _send(self, call: ProfileCall, known: Written, send: Send) -> tuple[Outcome, ProfileCall]:
        """Send a change without whatever Klaviyo blames of it; returns how that ended, and what was sent.

        Each further try leaves out at least one thing more.
        """
        outcome = await send(call)
        tries = 1
        while refused := refused_fields(call, outcome):
            known.leave_out(refused, outcome.detail if isinstance(outcome, Refused) else "")
            if tries > MOST_TRIES:
                known.is_cut_short = True
                break
            call = without(call, refused)
            outcome = await send(call)
            tries += 1
        if call.phone and isinstance(outcome, Accepted):
            known.number_taken = outcome.without_phone
            known.is_number_told = not outcome.without_phone
        return outcome, call

    async def _patch(self, call: ProfileCall, known: Written) -> None:
        """Change the profile that is known by its id, its address and number included."""
        former = known.profile_id or ""
        patch = partial(self._sender.patch_profile, former)
        outcome, call = await self._send(call, known, patch)
        duplicate = None
        if call.phone and _is_taken(outcome):
            # Which of the two is taken is not said; without the number it shows.
            smaller, _ = await self._send(call.without_phone(), known, patch)
            if not _is_taken(smaller):
                known.notes.append(NUMBER_TAKEN)
                known.number_taken = True
                duplicate = outcome.stands_in_the_way if isinstance(outcome, Refused) else None
            outcome = smaller
        if _is_taken(outcome) and call.email:
            await self._move(call, known)
        elif _is_gone(outcome):
            known.profile_id = None
            if self._options.update_only or call.must_exist:
                known.is_unknown = True
            else:
                known.notes.append(GONE)
                await self._import(call, known)
        else:
            known.outcome = outcome
            await self._merge_in(known, duplicate)

    async def _move(self, call: ProfileCall, known: Written) -> None:
        """Use the profile that has the new address."""
        former = known.profile_id
        known.notes.append(ADDRESS_TAKEN)
        known.profile_id = None
        # By the external id Klaviyo would take the former profile for the one meant.
        await self._import(replace(call, external_id=None), known, merge=former)

    async def _leave(self, former: str | None, written: Written) -> None:
        """Take what is the person's own back from a profile that they are no longer."""
        is_elsewhere = isinstance(written.outcome, Accepted) and written.profile_id not in (None, former)
        if former is None or not is_elsewhere or MERGED in written.notes:
            return
        own = [*STATE, *(("external_id",) if self._options.external_id else ())]
        patch = partial(self._sender.patch_profile, former)
        left, _ = await self._send(ProfileCall(dict.fromkeys(own)), Written(Accepted(200)), patch)
        if not (isinstance(left, Accepted) or _is_gone(left)):
            written.outcome = left

    async def _import(self, call: ProfileCall, known: Written, *, merge: str | None = None) -> None:
        outcome, call = await self._send(call, known, self._sender.import_profile)
        duplicate = None
        if call.phone and call.email and _is_taken(outcome):
            known.number_taken = True
            known.notes.append(NUMBER_TAKEN)
            duplicate = outcome.stands_in_the_way if isinstance(outcome, Refused) else None
            outcome, call = await self._send(call.without_phone(), known, self._sender.import_profile)
        known.outcome = outcome
        if not isinstance(outcome, Accepted):
            return
        known.profile_id, known.is_new = read_id(outcome.body), outcome.status == 201
        await self._merge_in(known, merge, duplicate)

    async def _merge_in(self, known: Written, *sources: str | None) -> None:
        """Merge other profiles into the person's, where the admin opted in."""
        if not self._options.merge_profiles or not isinstance(known.outcome, Accepted):
            return
        for source in sources:
            if source and known.profile_id and source != known.profile_id:
                await self._merge(known, known.profile_id, source)

    async def _merge(self, known: Written, into: str, source: str) -> None:
        """Merge another profile into the person's; should it fail, the profile is written all the same."""
        outcome = await self._sender.merge_profiles(into=into, source=source)
        known.notes.append(MERGED if isinstance(outcome, Accepted) else f"merging failed: {outcome.detail}")


def _is_gone(outcome: Outcome) -> bool:
    """Say whether there is no profile of the id any more."""
    return isinstance(outcome, LockedOut) and outcome.status == 404


def _is_taken(outcome: Outcome) -> bool:
    """Say whether an address or number belongs to another profile."""
    return isinstance(outcome, Refused) and outcome.status == 409
