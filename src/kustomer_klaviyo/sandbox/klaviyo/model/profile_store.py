"""The profiles of an account: identification, conflicts, merging. Independent of HTTP.

Precedence and merging: help.klaviyo.com/hc/en-us/articles/12902308138011
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.records import Profile, new_ulid
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import TEXT_FIELDS, ProfileInput
from kustomer_klaviyo.sandbox.klaviyo.validation.property_patches import as_list, patch_properties

INDEXED = ("external_id", "email", "phone_number", "anonymous_id", "_kx")
"""Identifiers of a profile, strongest first."""

UNIQUE = ("external_id", "email", "phone_number")
"""Identifiers for which the profile endpoints respond with 409."""


class DuplicateProfile(Exception):
    """One of the identifiers belongs to another profile."""

    def __init__(self, profile_id: str) -> None:
        super().__init__(profile_id)
        self.profile_id = profile_id


class UnknownProfile(Exception):
    """No profile has this id."""


class ProfileStore:
    """All profiles of the account."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.by_id: dict[str, Profile] = {}
        self._index: dict[tuple[str, str], Profile] = {}
        self.on_create: Callable[[Profile], None] | None = None
        """Called with each new profile."""

    def clear(self) -> None:
        """Remove every profile."""
        self.by_id.clear()
        self._index.clear()

    def find(self, profile_input: ProfileInput) -> Profile | None:
        """Return the profile that matches the strongest identifier. Raises UnknownProfile for an unknown id."""
        return next(iter(self.find_all(profile_input)), None)

    def find_all(self, profile_input: ProfileInput) -> list[Profile]:
        """Return every profile that matches an identifier, strongest match first. Raises UnknownProfile."""
        matches: dict[str, Profile] = {}
        if profile_input.id is not None:
            if profile_input.id not in self.by_id:
                raise UnknownProfile(profile_input.id)
            matches[profile_input.id] = self.by_id[profile_input.id]
        for name in INDEXED:
            owner = self.owner(name, profile_input.attributes.get(name))
            if owner is not None:
                matches[owner.id] = owner
        return list(matches.values())

    def owner(self, name: str, value: Any) -> Profile | None:
        """Return the profile with an identifier."""
        # Recorded from Klaviyo: a number is accepted as external_id and stored unchanged, but identifies no profile.
        return self._index.get((name, _normalized(name, value))) if value and isinstance(value, str) else None

    def create(self, profile_input: ProfileInput) -> Profile:
        """Create a profile. Raises DuplicateProfile when one of its identifiers is taken."""
        existing = self.find(profile_input)
        if existing is not None:
            raise DuplicateProfile(existing.id)
        now = self._now()
        profile = Profile(new_ulid(now.timestamp()), now, now)
        self.by_id[profile.id] = profile
        self.update(profile, profile_input)
        if self.on_create is not None:
            self.on_create(profile)
        return profile

    def create_or_update(self, profile_input: ProfileInput) -> tuple[Profile, bool]:
        """Create or update a profile, and return whether it is new. Raises DuplicateProfile, UnknownProfile."""
        profile = self.find(profile_input)
        if profile is None:
            return self.create(profile_input), True
        if self.conflicts(profile, profile_input):
            raise DuplicateProfile(profile.id)
        for name in UNIQUE:
            owner = self.owner(name, profile_input.attributes.get(name))
            if owner is not None and owner is not profile:
                raise DuplicateProfile(owner.id)
        self.update(profile, profile_input)
        return profile, False

    def without_taken_identifiers(self, profile_input: ProfileInput) -> ProfileInput:
        """Drop the identifiers that belong to a profile."""
        remaining = {
            name: value
            for name, value in profile_input.attributes.items()
            if name not in INDEXED or self.owner(name, value) is None
        }
        return replace(profile_input, attributes=remaining)

    def conflicts(self, profile: Profile, profile_input: ProfileInput) -> bool:
        """Return whether a profile matches only by a weaker identifier, and differs in a stronger one."""
        for name in INDEXED:
            value = profile_input.attributes.get(name)
            if profile_input.id is not None or self.owner(name, value) is profile:
                return False
            current = profile.attributes.get(name)
            if value and current and _normalized(name, current) != _normalized(name, value):
                return True
        return False

    def update(self, profile: Profile, changes: ProfileInput) -> None:
        """Apply the changes; null clears a value, and an absent one is kept."""
        for name, value in changes.attributes.items():
            if name in INDEXED:
                self._set_identifier(profile, name, value)
            elif name in TEXT_FIELDS:
                profile.attributes[name] = value
        _apply(profile.location, changes.attributes.get("location"))
        _apply(profile.properties, changes.attributes.get("properties"))
        if changes.meta:
            patch_properties(profile.properties, changes.meta.get("patch_properties") or {})
            self._patch_emails(profile, changes.meta.get("patch_identifiers") or {})
        profile.updated = self._now()

    def merge(self, target: Profile, source: Profile) -> None:
        """Merge the source into the target: it fills missing values, and is deleted."""
        for name, value in source.attributes.items():
            if not target.attributes.get(name):
                target.attributes[name] = value
        target.location = source.location | target.location
        target.properties = source.properties | target.properties
        target.lists |= source.lists
        target.last_event = max(filter(None, (target.last_event, source.last_event)), default=None)
        target.updated = self._now()
        for key, owner in self._index.items():
            if owner is source:
                self._index[key] = target
        del self.by_id[source.id]

    def remove(self, profile: Profile) -> None:
        """Delete a profile."""
        self._index = {key: owner for key, owner in self._index.items() if owner is not profile}
        self.by_id.pop(profile.id, None)

    def _set_identifier(self, profile: Profile, name: str, value: Any) -> None:
        """Set an identifier. A profile that had it before, matched by a weaker identifier, loses it."""
        former = profile.attributes.get(name)
        if former is not None:
            self._index.pop((name, _normalized(name, former)), None)
        if not value or not isinstance(value, str):
            profile.attributes[name] = None if value == "" else value
            return
        owner = self.owner(name, value)
        if owner is not None and owner is not profile and _is_primary(owner, name, value):
            owner.attributes[name] = None
        profile.attributes[name] = value
        self._index[name, _normalized(name, value)] = profile

    def _patch_emails(self, profile: Profile, patch: dict[str, Any]) -> None:
        for email in as_list((patch.get("append") or {}).get("email")):
            self._index.setdefault(("email", _normalized("email", email)), profile)
        for email in as_list((patch.get("unappend") or {}).get("email")):
            if self.owner("email", email) is profile and not _is_primary(profile, "email", email):
                del self._index["email", _normalized("email", email)]


def _normalized(name: str, value: Any) -> str:
    return str(value).lower() if name == "email" else str(value)


def _is_primary(profile: Profile, name: str, value: Any) -> bool:
    current = profile.attributes.get(name)
    return current is not None and _normalized(name, current) == _normalized(name, value)


def _apply(values: dict[str, Any], changes: dict[str, Any] | None) -> None:
    for name, value in (changes or {}).items():
        if value is None:
            values.pop(name, None)
        else:
            values[name] = value
