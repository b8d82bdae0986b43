"""What one Klaviyo account holds and how it takes in news, in memory. Knows nothing of HTTP."""

import time as clock_time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.patches import as_list, patch_properties
from kustomer_klaviyo.sandbox.klaviyo.profile_rules import TEXTS, ProfileIn
from kustomer_klaviyo.sandbox.klaviyo.records import Event, Metric, Profile, new_ulid, short_id
from kustomer_klaviyo.sandbox.klaviyo.validate import EventIn

TEST_DOMAINS = frozenset({"example.com", "example.org", "example.net", "test.com"})
"""Events for addresses there are answered 202 and lost without a word."""

INDEXED = ("external_id", "email", "phone_number", "anonymous_id", "_kx")
"""Identifiers by which a profile is found, the strongest first
(help.klaviyo.com/hc/en-us/articles/12902308138011)."""

UNIQUE = ("external_id", "email", "phone_number")
"""Identifiers for which the profile endpoints answer 409."""


class DuplicateProfile(Exception):
    """Another profile holds one of the identifiers."""

    def __init__(self, profile_id: str) -> None:
        super().__init__(profile_id)
        self.profile_id = profile_id


class UnknownProfile(Exception):
    """No profile has the id given."""


class Account:
    """The state of the account."""

    def __init__(self, clock: Callable[[], float] = clock_time.time) -> None:
        self._clock = clock
        self.profiles: dict[str, Profile] = {}
        self.metrics: dict[str, Metric] = {}
        self.events: list[Event] = []
        self.events_by_id: dict[str, Event] = {}
        self.events_by_profile: defaultdict[str, list[Event]] = defaultdict(list)
        self.counts: Counter[str] = Counter()
        self._index: dict[tuple[str, str], Profile] = {}
        self._metrics_by_name: dict[str, Metric] = {}
        self._seen: set[tuple[str, str, str]] = set()

    def reset(self) -> None:
        """Forget everything."""
        for held in (self.profiles, self.metrics, self.events, self.events_by_id, self.events_by_profile):
            held.clear()
        for hidden in (self.counts, self._index, self._metrics_by_name, self._seen):
            hidden.clear()

    def now(self) -> datetime:
        """Return the account's time."""
        return datetime.fromtimestamp(self._clock(), UTC)

    def find(self, wanted: ProfileIn) -> Profile | None:
        """Return the profile that the strongest identifier given names. Raises UnknownProfile for a wrong id."""
        if wanted.id is not None:
            found = self.profiles.get(wanted.id)
            if found is None:
                raise UnknownProfile(wanted.id)
            return found
        for name in INDEXED:
            holder = self._holder(name, wanted.attributes.get(name))
            if holder is not None:
                return holder
        return None

    def create_profile(self, wanted: ProfileIn) -> Profile:
        """Make a profile. Raises DuplicateProfile when one of its identifiers is taken."""
        found = self.find(wanted)
        if found is not None:
            raise DuplicateProfile(found.id)
        now = self.now()
        profile = Profile(new_ulid(self._clock()), now, now)
        self.profiles[profile.id] = profile
        self.update_profile(profile, wanted)
        return profile

    def import_profile(self, wanted: ProfileIn) -> tuple[Profile, bool]:
        """Create or update a profile; says whether it is new. Raises DuplicateProfile, UnknownProfile."""
        found = self.find(wanted)
        if found is None:
            return self.create_profile(wanted), True
        for name in UNIQUE:
            other = self._holder(name, wanted.attributes.get(name))
            if other is not None and other is not found:
                raise DuplicateProfile(other.id)
        self.update_profile(found, wanted)
        return found, False

    def update_profile(self, profile: Profile, news: ProfileIn) -> None:
        """Take over what is given; null clears, what is absent stays."""
        for name, value in news.attributes.items():
            if name in INDEXED:
                self._identify(profile, name, value)
            elif name in TEXTS:
                profile.attributes[name] = value
        _merge(profile.location, news.attributes.get("location"))
        _merge(profile.properties, news.attributes.get("properties"))
        if news.meta:
            patch_properties(profile.properties, news.meta.get("patch_properties") or {})
            self._patch_emails(profile, news.meta.get("patch_identifiers") or {})
        profile.updated = self.now()

    def _holder(self, name: str, value: Any) -> Profile | None:
        # Seen on the wire: a number is taken as external_id, kept as it is, and names nobody.
        return self._index.get((name, _normal(name, value))) if value and isinstance(value, str) else None

    def _identify(self, profile: Profile, name: str, value: Any) -> None:
        """Give the profile an identifier. The profile that held it, named by a weaker one, goes without."""
        former = profile.attributes.get(name)
        if former is not None:
            self._index.pop((name, _normal(name, former)), None)
        if not value or not isinstance(value, str):
            profile.attributes[name] = None if value == "" else value
            return
        holder = self._holder(name, value)
        if holder is not None and holder is not profile and _is_primary(holder, name, value):
            holder.attributes[name] = None
        profile.attributes[name] = value
        self._index[name, _normal(name, value)] = profile

    def _patch_emails(self, profile: Profile, patch: dict[str, Any]) -> None:
        for email in as_list((patch.get("append") or {}).get("email")):
            self._index.setdefault(("email", _normal("email", email)), profile)
        for email in as_list((patch.get("unappend") or {}).get("email")):
            if self._holder("email", email) is profile and not _is_primary(profile, "email", email):
                del self._index["email", _normal("email", email)]

    def _profile_of_event(self, wanted: ProfileIn) -> Profile:
        found = self.find(wanted)
        if found is None:
            return self.create_profile(wanted)
        if wanted.meta or len(wanted.attributes) > (wanted.id is None):
            self.update_profile(found, wanted)
        return found

    def record(self, event: EventIn, person: ProfileIn, *, request: str) -> Event | None:
        """Store an event, or lose it as Klaviyo would: a repeated one, a test address, a profile id that is wrong."""
        email = person.attributes.get("email")
        if email and email.rsplit("@", 1)[-1].lower() in TEST_DOMAINS:
            self.counts["dropped_test_addresses"] += 1
            return None
        try:
            profile = self._profile_of_event(person)
        except UnknownProfile:
            self.counts["dropped_unknown_profiles"] += 1
            return None
        received_at = self._clock()
        time = event.time or datetime.fromtimestamp(received_at, UTC).replace(microsecond=0)
        metric = self._metric(event.metric)
        unique = event.unique_id if event.unique_id is not None else f"second {time.timestamp():.0f}"
        mark = (profile.id, metric.id, unique)
        if mark in self._seen:
            self.counts["dropped_duplicates"] += 1
            return None
        self._seen.add(mark)
        return self._store(event, profile, metric, time=time, received_at=received_at, request=request)

    def _store(
        self, event: EventIn, profile: Profile, metric: Metric, *, time: datetime, received_at: float, request: str
    ) -> Event:
        number = len(self.events) + 1
        stored = Event(
            n=number,
            id=f"{metric.id}{number:x}",
            metric=metric,
            profile=profile,
            time=time,
            unique_id=event.unique_id,
            properties=_kept(event, metric),
            backfill=event.backfill,
            received_at=received_at,
            request=request,
        )
        self.events.append(stored)
        self.events_by_id[stored.id] = stored
        self.events_by_profile[profile.id].append(stored)
        if profile.last_event is None or profile.last_event < time:
            profile.last_event = time
        return stored

    def _metric(self, name: str) -> Metric:
        found = self._metrics_by_name.get(name)
        if found is None:
            now = self.now()
            found = Metric(short_id(f"metric {name}"), name, now, now)
            self._metrics_by_name[name] = self.metrics[found.id] = found
        return found


def _kept(event: EventIn, metric: Metric) -> dict[str, Any]:
    """Return the properties that survive: the number 0, null and empty text do not."""
    kept = {
        name: value
        for name, value in event.properties.items()
        if value is not None and value != "" and (value is False or value != 0)
    }
    if event.value is not None:
        metric.has_value = True
    if metric.has_value:
        kept["$value"] = event.value or 0
    return kept


def _normal(name: str, value: Any) -> str:
    return str(value).lower() if name == "email" else str(value)


def _is_primary(profile: Profile, name: str, value: Any) -> bool:
    held = profile.attributes.get(name)
    return held is not None and _normal(name, held) == _normal(name, value)


def _merge(held: dict[str, Any], news: dict[str, Any] | None) -> None:
    for name, value in (news or {}).items():
        if value is None:
            held.pop(name, None)
        else:
            held[name] = value
