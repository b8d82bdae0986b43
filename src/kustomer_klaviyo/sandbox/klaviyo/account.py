"""What one Klaviyo account holds: profiles, metrics and events, in memory."""

import hashlib
import itertools
import secrets
import time as clock_time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from kustomer_klaviyo.sandbox.klaviyo.validate import TEXTS, EventIn, ProfileIn

TEST_DOMAINS = frozenset({"example.com", "example.org", "example.net", "test.com"})
"""Events for addresses there are answered 202 and lost without a word."""

INDEXED = ("external_id", "email", "phone_number", "anonymous_id")
"""Identifiers by which a profile is found, the strongest first
(help.klaviyo.com/hc/en-us/articles/12902308138011)."""

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_ulid(now: float) -> str:
    """Return a profile id of the newer kind: 26 characters, the first ten from the time."""
    number = (int(now * 1000) << 80) | secrets.randbits(80)
    return "".join(CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def short_id(text: str) -> str:
    """Return a six-character id for a thing with a name."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789"
    return "".join(letters[number // len(letters) ** place % len(letters)] for place in range(6))


@dataclass(slots=True)
class Profile:
    """A person."""

    id: str
    created: datetime
    updated: datetime
    attributes: dict[str, Any] = field(default_factory=dict)
    location: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)
    last_event: datetime | None = None


@dataclass(slots=True)
class Metric:
    """A kind of event, made by the first event of its name."""

    id: str
    name: str
    created: datetime
    updated: datetime
    has_value: bool = False
    integration: str = "API"


@dataclass(slots=True)
class Event:
    """Something a person did."""

    n: int
    id: str
    metric: Metric
    profile: Profile
    time: datetime
    unique_id: str | None
    properties: dict[str, Any]
    backfill: bool
    received_at: float
    request: str


class DuplicateProfile(Exception):
    """Another profile holds one of the identifiers."""

    def __init__(self, profile_id: str) -> None:
        super().__init__(profile_id)
        self.profile_id = profile_id


class Account:
    """The state of the account."""

    def __init__(self, clock: Callable[[], float] = clock_time.time) -> None:
        self._clock = clock
        self.profiles: dict[str, Profile] = {}
        self.metrics: dict[str, Metric] = {}
        self.events: list[Event] = []
        self.events_by_id: dict[str, Event] = {}
        self.counts: Counter[str] = Counter()
        self._index: dict[tuple[str, str], Profile] = {}
        self._metrics_by_name: dict[str, Metric] = {}
        self._seen: set[tuple[str, str, str]] = set()
        self._numbers = itertools.count(1)

    def now(self) -> datetime:
        """Return the account's time."""
        return datetime.fromtimestamp(self._clock(), UTC)

    def find(self, wanted: ProfileIn) -> Profile | None:
        """Return the profile that the strongest of the given identifiers names."""
        if wanted.id is not None:
            return self.profiles.get(wanted.id)
        for name in INDEXED:
            value = wanted.attributes.get(name)
            if value and (found := self._index.get((name, _normal(name, value)))) is not None:
                return found
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
        """Create or update a profile; says whether it is new. Raises DuplicateProfile when two profiles are meant."""
        found = self.find(wanted)
        if found is None:
            return self.create_profile(wanted), True
        for name in ("email", "phone_number", "external_id"):
            value = wanted.attributes.get(name)
            other = self._index.get((name, _normal(name, value))) if value else None
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
        profile.updated = self.now()

    def _identify(self, profile: Profile, name: str, value: Any) -> None:
        former = profile.attributes.get(name)
        if former is not None:
            self._index.pop((name, _normal(name, former)), None)
        profile.attributes[name] = None if value is None else str(value)
        if value:
            self._index.setdefault((name, _normal(name, value)), profile)

    def _profile_of_event(self, wanted: ProfileIn) -> Profile:
        found = self.find(wanted)
        if found is None:
            return self.create_profile(wanted)
        if len(wanted.attributes) > 1:
            self.update_profile(found, wanted)
        return found

    def record(self, event: EventIn, person: ProfileIn, *, request: str) -> Event | None:
        """Store an event, or lose it as Klaviyo would: a repeated one, or one for a test address."""
        email = person.attributes.get("email")
        if email and email.rsplit("@", 1)[-1].lower() in TEST_DOMAINS:
            self.counts["dropped_test_addresses"] += 1
            return None
        received_at = self._clock()
        time = event.time or datetime.fromtimestamp(received_at, UTC).replace(microsecond=0)
        profile, metric = self._profile_of_event(person), self._metric(event.metric)
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
        number = next(self._numbers)
        stored = Event(
            n=number,
            id=short_id(f"{metric.id}{number}") + f"{number:x}",
            metric=metric,
            profile=profile,
            time=time,
            unique_id=event.unique_id,
            properties=self._kept(event, metric),
            backfill=event.backfill,
            received_at=received_at,
            request=request,
        )
        self.events.append(stored)
        self.events_by_id[stored.id] = stored
        if profile.last_event is None or profile.last_event < time:
            profile.last_event = time
        return stored

    @staticmethod
    def _kept(event: EventIn, metric: Metric) -> dict[str, Any]:
        """Return the properties that survive: the number 0, null and empty text do not."""
        kept = {
            name: value
            for name, value in event.properties.items()
            if value is not None and value != "" and (isinstance(value, bool) or value != 0)
        }
        if event.value is not None:
            metric.has_value = True
        if metric.has_value:
            kept["$value"] = event.value or 0
        return kept

    def _metric(self, name: str) -> Metric:
        found = self._metrics_by_name.get(name)
        if found is None:
            now = self.now()
            found = Metric(short_id(f"metric {name}"), name, now, now)
            self._metrics_by_name[name] = self.metrics[found.id] = found
        return found


def _normal(name: str, value: Any) -> str:
    return str(value).lower() if name == "email" else str(value)


def _merge(held: dict[str, Any], news: dict[str, Any] | None) -> None:
    for name, value in (news or {}).items():
        if value is None:
            held.pop(name, None)
        else:
            held[name] = value
