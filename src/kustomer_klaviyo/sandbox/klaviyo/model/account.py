"""What one Klaviyo account holds and how it takes in news, in memory. Knows nothing of HTTP."""

import time as clock_time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Literal

from kustomer_klaviyo.sandbox.klaviyo.model.marketing import Marketing
from kustomer_klaviyo.sandbox.klaviyo.model.profiles import People, UnknownProfile
from kustomer_klaviyo.sandbox.klaviyo.model.records import Event, ImportJob, Metric, Profile, short_id
from kustomer_klaviyo.sandbox.klaviyo.validation.event_rules import EventIn
from kustomer_klaviyo.sandbox.klaviyo.validation.profile_rules import ProfileIn
from kustomer_klaviyo.sandbox.klaviyo.validation.refused_on_request import Refusals

TEST_DOMAINS = frozenset({"example.com", "example.org", "example.net", "test.com"})
"""Events for addresses there are answered 202 and lost without a word."""

TextMetrics = Literal["old", "new", "both"]
"""What the metrics of text messages are called: ``SMS`` until 1 July 2026, ``Text Message`` since, or some each."""


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
        self.refusals = Refusals(strict_emails=strict_emails)
        self.people = People(self.now)
        self.marketing = Marketing(self.now())
        self.metrics: dict[str, Metric] = {}
        self.events: list[Event] = []
        """Every event in the order of arrival, those of erased people too; what the API shows is ``events_by_id``."""
        self.events_by_id: dict[str, Event] = {}
        self.events_by_profile: defaultdict[str, list[Event]] = defaultdict(list)
        self.import_jobs: dict[str, ImportJob] = {}
        self.counts: Counter[str] = Counter()
        self._metrics_by_name: dict[tuple[str, str], Metric] = {}
        self._seen: set[tuple[str, str, str]] = set()

    def reset(self) -> None:
        """Forget everything."""
        for held in (self.metrics, self.events, self.events_by_id, self.events_by_profile, self.import_jobs):
            held.clear()
        for hidden in (self.refusals, self.people, self.counts, self._metrics_by_name, self._seen):
            hidden.clear()

    def now(self) -> datetime:
        """Return the account's time."""
        return datetime.fromtimestamp(self._clock(), UTC)

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
        mark = _mark(profile, metric, event.unique_id, time)
        if mark in self._seen:
            self.counts["dropped_duplicates"] += 1
            return None
        self._seen.add(mark)
        return self._store(event, profile, metric, time=time, received_at=received_at, request=request)

    def happen(
        self,
        metric_name: str,
        profile: Profile,
        time: datetime,
        properties: dict[str, Any],
        integration: str = "Klaviyo",
    ) -> Event:
        """Store an event of Klaviyo's own, such as a message received. It did not arrive from outside."""
        metric = self._metric(metric_name, integration)
        self.counts["own_events"] += 1
        number = self.counts["own_events"]
        event = Event(
            n=-number,
            id=f"{metric.id}k{number:x}",
            metric=metric,
            profile=profile,
            time=time,
            unique_id=None,
            properties=properties,
            backfill=False,
            received_at=self._clock(),
            request="own",
        )
        self._keep(event)
        return event

    def know_own_metrics(self, names: Iterable[str]) -> None:
        """Have metrics of Klaviyo's own that existed before today."""
        for name in names:
            self._metric(name, integration="Klaviyo")

    def merge(self, into: Profile, source: Profile) -> None:
        """Make two profiles one, their events too."""
        self.people.join(into, source)
        moved = self.events_by_profile.pop(source.id, [])
        for event in moved:
            event.profile = into
            self._seen.add(_mark(into, event.metric, event.unique_id, event.time))
        self.events_by_profile[into.id] += moved
        self.counts["merged_profiles"] += 1

    def erase(self, profile: Profile) -> None:
        """Forget a person and all they did, as their right is."""
        self.people.remove(profile)
        for event in self.events_by_profile.pop(profile.id, []):
            del self.events_by_id[event.id]
        self.counts["erased_profiles"] += 1

    def _profile_of_event(self, wanted: ProfileIn) -> Profile:
        """Find or make the person. A message that names two profiles makes them one, the stronger named one."""
        found = self.people.find_all(wanted)
        if not found:
            return self.people.create(wanted)
        profile, *weaker = found
        if self.people.is_somebody_else(profile, wanted):
            return self.people.create(self.people.without_held(wanted))
        for other in weaker:
            self.merge(profile, other)
        if wanted.meta or len(wanted.attributes) > (wanted.id is None):
            self.people.update(profile, wanted)
        return profile

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
        self._keep(stored)
        return stored

    def _keep(self, event: Event) -> None:
        profile = event.profile
        self.events_by_id[event.id] = event
        self.events_by_profile[profile.id].append(event)
        if profile.last_event is None or profile.last_event < event.time:
            profile.last_event = event.time

    def _metric(self, name: str, integration: str = "API") -> Metric:
        found = self._metrics_by_name.get((integration, name))
        if found is None:
            now = self.now().replace(microsecond=0)
            found = Metric(short_id(f"metric {integration} {name}"), name, now, now, integration=integration)
            self._metrics_by_name[integration, name] = self.metrics[found.id] = found
        return found


def _mark(profile: Profile, metric: Metric, unique_id: str | None, time: datetime) -> tuple[str, str, str]:
    """Return what makes an event the same as another: without a unique_id, its second."""
    return profile.id, metric.id, unique_id if unique_id is not None else f"second {time.timestamp():.0f}"


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
