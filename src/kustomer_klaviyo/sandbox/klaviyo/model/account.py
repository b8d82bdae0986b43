"""State of one Klaviyo account: profiles, metrics, events, merges, deletions. Independent of HTTP."""

import time as clock_time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from kustomer_klaviyo.sandbox.klaviyo.model.marketing import Marketing
from kustomer_klaviyo.sandbox.klaviyo.model.profile_store import ProfileStore, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event, ImportJob, Metric, Profile, short_id
from kustomer_klaviyo.sandbox.klaviyo.validation.configured_refusals import ConfiguredRefusals
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import EventInput
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileInput

TEST_DOMAINS = frozenset({"example.com", "example.org", "example.net", "test.com"})
"""Events for addresses in these domains get 202 and are silently dropped."""

TextMetrics = Literal["old", "new", "both"]
"""Names of text-message metrics: ``SMS`` until 1 July 2026, ``Text Message`` since then, or both."""


class Account:
    """The state of the account."""

    def __init__(
        self,
        clock: Callable[[], float] = clock_time.time,
        text_metrics: TextMetrics = "both",
        *,
        strict_emails: bool = False,
    ) -> None:
        self._clock = clock
        self.text_metrics = text_metrics
        self.refusals = ConfiguredRefusals(strict_emails=strict_emails)
        self.profiles = ProfileStore(self.now)
        self.marketing = Marketing(self.now())
        self.metrics: dict[str, Metric] = {}
        self.events: list[Event] = []
        """Every event in order of arrival, including those of erased profiles. The API shows ``events_by_id``."""
        self.events_by_id: dict[str, Event] = {}
        self.events_by_profile: defaultdict[str, list[Event]] = defaultdict(list)
        self.import_jobs: dict[str, ImportJob] = {}
        self.counts: Counter[str] = Counter()
        self._metrics_by_name: dict[tuple[str, str], Metric] = {}
        self._event_keys: set[tuple[str, str, str]] = set()

    def reset(self) -> None:
        """Remove all data."""
        for collection in (self.metrics, self.events, self.events_by_id, self.events_by_profile, self.import_jobs):
            collection.clear()
        for part in (self.refusals, self.profiles, self.counts, self._metrics_by_name, self._event_keys):
            part.clear()

    def now(self) -> datetime:
        """Return the account's time."""
        return datetime.fromtimestamp(self._clock(), UTC)

    def record_event(self, event: EventInput, profile_input: ProfileInput, *, request: str) -> Event | None:
        """Store an event, or drop it as Klaviyo does: a duplicate, a test address, an unknown profile id."""
        email = profile_input.attributes.get("email")
        if email and email.rsplit("@", 1)[-1].lower() in TEST_DOMAINS:
            self.counts["dropped_test_addresses"] += 1
            return None
        try:
            profile = self._profile_of_event(profile_input)
        except UnknownProfile:
            self.counts["dropped_unknown_profiles"] += 1
            return None
        received_at = self._clock()
        time = event.time or datetime.fromtimestamp(received_at, UTC).replace(microsecond=0)
        metric = self._metric(event.metric)
        event_key = _event_key(profile, metric, event.unique_id, time)
        if event_key in self._event_keys:
            self.counts["dropped_duplicates"] += 1
            return None
        self._event_keys.add(event_key)
        return self._store(event, profile, metric, time=time, received_at=received_at, request=request)

    def record_internal_event(
        self,
        metric_name: str,
        profile: Profile,
        time: datetime,
        properties: dict[str, Any],
        integration: str = "Klaviyo",
    ) -> Event:
        """Store an event that Klaviyo itself creates, such as a message received."""
        metric = self._metric(metric_name, integration)
        self.counts["internal_events"] += 1
        number = self.counts["internal_events"]
        event = Event(
            number=-number,
            id=f"{metric.id}k{number:x}",
            metric=metric,
            profile=profile,
            time=time,
            unique_id=None,
            properties=properties,
            backfill=False,
            received_at=self._clock(),
            request="internal",
        )
        self._index_event(event)
        return event

    def add_internal_metrics(self, names: Iterable[str]) -> None:
        """Add metrics that Klaviyo itself creates."""
        for name in names:
            self._metric(name, integration="Klaviyo")

    def merge(self, target: Profile, source: Profile) -> None:
        """Merge a profile and its events into another."""
        self.profiles.merge(target, source)
        moved = self.events_by_profile.pop(source.id, [])
        for event in moved:
            event.profile = target
            self._event_keys.add(_event_key(target, event.metric, event.unique_id, event.time))
        self.events_by_profile[target.id] += moved
        self.counts["merged_profiles"] += 1

    def erase(self, profile: Profile) -> None:
        """Delete a profile with its events, as a data-privacy deletion does."""
        self.profiles.remove(profile)
        for event in self.events_by_profile.pop(profile.id, []):
            del self.events_by_id[event.id]
        self.counts["erased_profiles"] += 1

    def _profile_of_event(self, profile_input: ProfileInput) -> Profile:
        """Find or create the profile. An event that matches several profiles merges them into the strongest match."""
        matches = self.profiles.find_all(profile_input)
        if not matches:
            return self.profiles.create(profile_input)
        profile, *weaker = matches
        if self.profiles.conflicts(profile, profile_input):
            return self.profiles.create(self.profiles.without_taken_identifiers(profile_input))
        for other in weaker:
            self.merge(profile, other)
        if profile_input.meta or len(profile_input.attributes) > (profile_input.id is None):
            self.profiles.update(profile, profile_input)
        return profile

    def _store(
        self, event: EventInput, profile: Profile, metric: Metric, *, time: datetime, received_at: float, request: str
    ) -> Event:
        number = len(self.events) + 1
        stored = Event(
            number=number,
            id=f"{metric.id}{number:x}",
            metric=metric,
            profile=profile,
            time=time,
            unique_id=event.unique_id,
            properties=_stored_properties(event, metric),
            backfill=event.backfill,
            received_at=received_at,
            request=request,
        )
        self.events.append(stored)
        self._index_event(stored)
        return stored

    def _index_event(self, event: Event) -> None:
        profile = event.profile
        self.events_by_id[event.id] = event
        self.events_by_profile[profile.id].append(event)
        if profile.last_event is None or profile.last_event < event.time:
            profile.last_event = event.time

    def _metric(self, name: str, integration: str = "API") -> Metric:
        metric = self._metrics_by_name.get((integration, name))
        if metric is None:
            now = self.now().replace(microsecond=0)
            metric = Metric(short_id(f"metric {integration} {name}"), name, now, now, integration=integration)
            self._metrics_by_name[integration, name] = self.metrics[metric.id] = metric
        return metric


def _event_key(profile: Profile, metric: Metric, unique_id: str | None, time: datetime) -> tuple[str, str, str]:
    """Return the key that identifies duplicates; an event without a unique_id is identified by its second."""
    return profile.id, metric.id, unique_id if unique_id is not None else f"second {time.timestamp():.0f}"


def _stored_properties(event: EventInput, metric: Metric) -> dict[str, Any]:
    """Return the properties that Klaviyo stores: it drops the number 0, null and empty text."""
    stored = {
        name: value
        for name, value in event.properties.items()
        if value is not None and value != "" and (value is False or value != 0)
    }
    if event.value is not None:
        metric.has_value = True
    if metric.has_value:
        stored["$value"] = event.value or 0
    return stored
