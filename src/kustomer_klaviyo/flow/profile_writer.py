"""Writes one profile: finds whom Klaviyo knows under a former address, and gets around what it refuses.

Duplicates and phone rules: developers.klaviyo.com/en/reference/profiles_api_overview
"""

from dataclasses import dataclass, field, replace

from kustomer_klaviyo.flow.options import ConnectionOptions
from kustomer_klaviyo.flow.sender import Sender
from kustomer_klaviyo.klaviyo.profile_wire import read_id
from kustomer_klaviyo.klaviyo.profiles import ProfileCall
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused

LONG_SECONDS = 3.0

PHONE_AT = "/data/attributes/phone_number"

NUMBER_TAKEN = "the phone number belongs to another Klaviyo profile: kept as a property"
NUMBER_REFUSED = "Klaviyo does not take the phone number: kept as a property"
ADDRESS_TAKEN = "the new address belongs to another Klaviyo profile, which is used now"
NOT_FOUND = "Klaviyo knows nobody by the former address"
MERGED = "two Klaviyo profiles were merged (option merge_profiles)"
UNKNOWN = "not known to Klaviyo (option update_only)"


@dataclass(slots=True)
class Written:
    """How a write ended."""

    outcome: Outcome
    profile_id: str | None = None
    notes: list[str] = field(default_factory=list)
    is_unknown: bool = False
    """Klaviyo does not know the person, and the settings do not want that changed: nothing was written."""

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
        written = Written(Accepted(200), profile_id)
        if profile_id is None and (self._options.update_only or call.former_email or call.former_phone):
            written = await self.find(call)
            if not isinstance(written.outcome, Accepted):
                return written
            if written.profile_id is None and self._options.update_only:
                written.is_unknown = True
                return written
        if call.former_email or call.former_phone:
            return await self._rename(call, written)
        return await self._import(call, written)

    async def _erase(self, call: ProfileCall) -> Written:
        field_name, value = ("email", call.email) if call.email else ("phone_number", call.phone or "")
        return Written(await self._sender.erase_profile(field_name, value))

    async def find(self, call: ProfileCall) -> Written:
        """Ask under which id Klaviyo knows the person, by the former address first."""
        candidates = (
            ("email", call.former_email),
            ("email", call.email),
            ("phone_number", call.former_phone),
            ("phone_number", None if call.email else call.phone),
        )
        written = Written(Accepted(200))
        for name, value in candidates:
            if value is None:
                continue
            written.outcome = await self._sender.find_profile(name, value)
            if not isinstance(written.outcome, Accepted):
                return written
            written.profile_id = read_id(written.outcome.body)
            if written.profile_id is not None or not self._options.update_only:
                break
        return written

    async def _rename(self, call: ProfileCall, known: Written) -> Written:
        """Give the profile that Klaviyo knows by a former address its new one."""
        former = known.profile_id
        if former is None:
            known.notes.append(NOT_FOUND)
            return await self._import(call, known)
        outcome = await self._sender.patch_profile(former, call)
        if isinstance(outcome, Refused) and outcome.status == 409 and call.phone and call.email:
            # Which of the two is taken is not said; without the number it shows.
            known.notes.append(NUMBER_TAKEN)
            call = call.without_phone()
            outcome = await self._sender.patch_profile(former, call)
        elif _blames_phone(outcome) and call.email:
            known.notes.append(NUMBER_REFUSED)
            call = call.without_phone()
            outcome = await self._sender.patch_profile(former, call)
        if isinstance(outcome, Refused) and outcome.status == 409:
            known.notes = [ADDRESS_TAKEN]
            known.profile_id = None
            return await self._import(call, known, merge=former)
        if isinstance(outcome, LockedOut) and outcome.status == 404:
            known.profile_id = None
            known.notes.append("the Klaviyo profile is no longer there")
            return await self._import(call, known)
        known.outcome = outcome
        return known

    async def _import(self, call: ProfileCall, known: Written, *, merge: str | None = None) -> Written:
        outcome = await self._sender.import_profile(call)
        duplicate = None
        if isinstance(outcome, Refused) and call.email and call.phone:
            if outcome.status == 409:
                known.notes.append(NUMBER_TAKEN)
                duplicate = outcome.stands_in_the_way
                outcome = await self._sender.import_profile(call.without_phone())
            elif _blames_phone(outcome):
                known.notes.append(NUMBER_REFUSED)
                outcome = await self._sender.import_profile(call.without_phone())
        known.outcome = outcome
        if not isinstance(outcome, Accepted):
            return known
        known.profile_id = read_id(outcome.body)
        for source in (merge, duplicate):
            if self._options.merge_profiles and source and known.profile_id and source != known.profile_id:
                await self._merge(known, known.profile_id, source)
        return known

    async def _merge(self, known: Written, into: str, source: str) -> None:
        """Merge another profile into the person's; should it fail, the profile is written all the same."""
        outcome = await self._sender.merge_profiles(into=into, source=source)
        known.notes.append(MERGED if isinstance(outcome, Accepted) else f"merging failed: {outcome.detail}")


def _blames_phone(outcome: Outcome) -> bool:
    return isinstance(outcome, Refused) and outcome.status == 400 and outcome.pointer == PHONE_AT
