"""The profiles of an account: who is found by which identifier, and how two become one. Knows nothing of HTTP.

Precedence and merging: help.klaviyo.com/hc/en-us/articles/12902308138011
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.model.records import Profile, new_ulid
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import TEXTS, ProfileIn
from kustomer_klaviyo.sandbox.klaviyo.validation.property_patches import as_list, patch_properties

INDEXED = ("external_id", "email", "phone_number", "anonymous_id", "_kx")
"""Identifiers by which a profile is found, the strongest first."""

UNIQUE = ("external_id", "email", "phone_number")
"""Identifiers for which the profile endpoints answer 409."""


class DuplicateProfile(Exception):
    """Another profile holds one of the identifiers."""

    def __init__(self, profile_id: str) -> None:
        super().__init__(profile_id)
        self.profile_id = profile_id


class UnknownProfile(Exception):
    """No profile has the id given."""


class People:
    """Every profile of the account."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self.profiles: dict[str, Profile] = {}
        self._index: dict[tuple[str, str], Profile] = {}
        self.welcome: Callable[[Profile], None] | None = None
        """What happens to a profile as soon as it is made."""

    def clear(self) -> None:
        """Forget everybody."""
        self.profiles.clear()
        self._index.clear()

    def find(self, wanted: ProfileIn) -> Profile | None:
        """Return the profile that the strongest identifier given names. Raises UnknownProfile for a wrong id."""
        return next(iter(self.find_all(wanted)), None)

    def find_all(self, wanted: ProfileIn) -> list[Profile]:
        """Return every profile that an identifier names, the one of the strongest first. Raises UnknownProfile."""
        found: dict[str, Profile] = {}
        if wanted.id is not None:
            if wanted.id not in self.profiles:
                raise UnknownProfile(wanted.id)
            found[wanted.id] = self.profiles[wanted.id]
        for name in INDEXED:
            holder = self.holder(name, wanted.attributes.get(name))
            if holder is not None:
                found[holder.id] = holder
        return list(found.values())

    def holder(self, name: str, value: Any) -> Profile | None:
        """Return the profile with an identifier."""
        # Seen on the wire: a number is taken as external_id, kept as it is, and names nobody.
        return self._index.get((name, _normal(name, value))) if value and isinstance(value, str) else None

    def create(self, wanted: ProfileIn) -> Profile:
        """Make a profile. Raises DuplicateProfile when one of its identifiers is taken."""
        found = self.find(wanted)
        if found is not None:
            raise DuplicateProfile(found.id)
        now = self._now()
        profile = Profile(new_ulid(now.timestamp()), now, now)
        self.profiles[profile.id] = profile
        self.update(profile, wanted)
        if self.welcome is not None:
            self.welcome(profile)
        return profile

    def create_or_update(self, wanted: ProfileIn) -> tuple[Profile, bool]:
        """Create or update a profile; says whether it is new. Raises DuplicateProfile, UnknownProfile."""
        found = self.find(wanted)
        if found is None:
            return self.create(wanted), True
        if self.is_somebody_else(found, wanted):
            raise DuplicateProfile(found.id)
        for name in UNIQUE:
            other = self.holder(name, wanted.attributes.get(name))
            if other is not None and other is not found:
                raise DuplicateProfile(other.id)
        self.update(found, wanted)
        return found, False

    def without_held(self, wanted: ProfileIn) -> ProfileIn:
        """Leave out the identifiers that are somebody else's."""
        own = {
            name: value
            for name, value in wanted.attributes.items()
            if name not in INDEXED or self.holder(name, value) is None
        }
        return replace(wanted, attributes=own)

    def is_somebody_else(self, profile: Profile, wanted: ProfileIn) -> bool:
        """Say whether a profile was found by a weaker identifier only, and has another stronger one than is given."""
        for name in INDEXED:
            value = wanted.attributes.get(name)
            if wanted.id is not None or self.holder(name, value) is profile:
                return False
            held = profile.attributes.get(name)
            if value and held and _normal(name, held) != _normal(name, value):
                return True
        return False

    def update(self, profile: Profile, news: ProfileIn) -> None:
        """Take over what is given; null clears, what is absent stays."""
        for name, value in news.attributes.items():
            if name in INDEXED:
                self._identify(profile, name, value)
            elif name in TEXTS:
                profile.attributes[name] = value
        _take_over(profile.location, news.attributes.get("location"))
        _take_over(profile.properties, news.attributes.get("properties"))
        if news.meta:
            patch_properties(profile.properties, news.meta.get("patch_properties") or {})
            self._patch_emails(profile, news.meta.get("patch_identifiers") or {})
        profile.updated = self._now()

    def join(self, into: Profile, source: Profile) -> None:
        """Make two profiles one for good: the source fills what the other lacks, and is gone."""
        for name, value in source.attributes.items():
            if not into.attributes.get(name):
                into.attributes[name] = value
        into.location = source.location | into.location
        into.properties = source.properties | into.properties
        into.lists |= source.lists
        into.last_event = max(filter(None, (into.last_event, source.last_event)), default=None)
        into.updated = self._now()
        for key, holder in self._index.items():
            if holder is source:
                self._index[key] = into
        del self.profiles[source.id]

    def remove(self, profile: Profile) -> None:
        """Forget a profile."""
        self._index = {key: holder for key, holder in self._index.items() if holder is not profile}
        self.profiles.pop(profile.id, None)

    def _identify(self, profile: Profile, name: str, value: Any) -> None:
        """Give the profile an identifier. The profile that held it, named by a weaker one, goes without."""
        former = profile.attributes.get(name)
        if former is not None:
            self._index.pop((name, _normal(name, former)), None)
        if not value or not isinstance(value, str):
            profile.attributes[name] = None if value == "" else value
            return
        holder = self.holder(name, value)
        if holder is not None and holder is not profile and _is_primary(holder, name, value):
            holder.attributes[name] = None
        profile.attributes[name] = value
        self._index[name, _normal(name, value)] = profile

    def _patch_emails(self, profile: Profile, patch: dict[str, Any]) -> None:
        for email in as_list((patch.get("append") or {}).get("email")):
            self._index.setdefault(("email", _normal("email", email)), profile)
        for email in as_list((patch.get("unappend") or {}).get("email")):
            if self.holder("email", email) is profile and not _is_primary(profile, "email", email):
                del self._index["email", _normal("email", email)]


def _normal(name: str, value: Any) -> str:
    return str(value).lower() if name == "email" else str(value)


def _is_primary(profile: Profile, name: str, value: Any) -> bool:
    held = profile.attributes.get(name)
    return held is not None and _normal(name, held) == _normal(name, value)


def _take_over(held: dict[str, Any], news: dict[str, Any] | None) -> None:
    for name, value in (news or {}).items():
        if value is None:
            held.pop(name, None)
        else:
            held[name] = value
