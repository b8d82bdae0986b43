"""Fetches cards from Klaviyo. One request covers many customers wherever Klaviyo's API allows it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.card.card_build import CardBuild
from kustomer_klaviyo.card.memberships import KINDS, PARTS, Memberships
from kustomer_klaviyo.card.name_cache import NameCache
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.profile_view import build_messages, latest_messages, read_message_events, read_profiles
from kustomer_klaviyo.klaviyo.reader import MAX_PROFILES_PER_REQUEST, Identifier, KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted, Refused

HISTORY = timedelta(days=90)
"""The period in which the card looks for messages."""

MAX_CONCURRENT = 16
"""Customers whose messages are read concurrently."""

Values = Callable[[CardBuild], Sequence[str]]
"""Returns the values by which a customer is searched."""


class CardFetch:
    """Fetches cards for one connection."""

    def __init__(self, readers: ApiKeyRing[KlaviyoReader], names: NameCache) -> None:
        self._readers = readers
        self._names = names
        self._memberships = Memberships(readers, names)

    async def prefetch_slots(self) -> int:
        """Return how many cards may be prefetched now."""
        return await self._memberships.prefetch_slots()

    async def spare_slots(self, cards: int) -> int:
        """Return how many more cards can be fetched together with some at no cost."""
        return await self._memberships.spare_slots(cards)

    async def prefetch_interval(self) -> float:
        """Return the seconds between two prefetches."""
        return await self._memberships.prefetch_interval()

    async def fetch(self, builds: Sequence[CardBuild]) -> None:
        """Fetch all parts of some cards. A part that Klaviyo does not return keeps its old data."""
        await self._fetch_profiles([build for build in builds if build.is_searchable and build.needs("profile")])
        known = [build for build in builds if build.is_known]
        await asyncio.gather(
            self._fetch_messages([build for build in known if build.needs("messages")]),
            *(self._memberships.fetch(kind, [build for build in known if build.needs(PARTS[kind])]) for kind in KINDS),
        )
        account = await self._names.account()
        for build in builds:
            build.insight.account = account.get("name", build.insight.account)
            build.insight.currency = account.get("currency", build.insight.currency)

    async def _fetch_profiles(self, builds: Sequence[CardBuild]) -> None:
        """Search by email, by phone number where there is no email, and last by the stored profile id."""
        await self._search("email", [build for build in builds if build.emails], _email_spellings)
        without_email = [build for build in builds if not build.emails and build.customer.phone]
        await self._search("phone_number", without_email, _phone)
        unresolved = [build for build in builds if not build.profiles and not build.insight.errors]
        await self._search("id", [build for build in unresolved if build.customer.klaviyo_profile_id], _profile_id)
        for build in builds:
            if not build.insight.errors:
                build.resolve()

    async def _search(self, by: Identifier, builds: Sequence[CardBuild], values: Values) -> None:
        for batch in _batches(builds, values):
            await self._search_batch(by, batch, values)

    async def _search_batch(self, by: Identifier, builds: Sequence[CardBuild], values: Values) -> None:
        searched = [value for build in builds for value in values(build)]
        outcome = await self._readers.call(lambda reader: reader.profiles(by, searched))
        if isinstance(outcome, Refused) and len(builds) > 1:
            # A value that Klaviyo refuses must not cost the other customers their cards.
            await self._search_each(by, builds, values)
            return
        recorded = [build.record("profile", outcome) for build in builds]
        if not all(recorded) or not isinstance(outcome, Accepted):
            return
        profiles = read_profiles(outcome.body)
        own = [profile for build in builds for profile in build.take_own(profiles)]
        unresolved = [build for build in builds if not build.profiles]
        if len(own) == len(profiles) or not unresolved:
            return
        if len(builds) == 1:
            # Klaviyo may find a profile by an address that the profile does not show.
            builds[0].profiles = profiles
            return
        await self._search_each(by, unresolved, values)

    async def _search_each(self, by: Identifier, builds: Sequence[CardBuild], values: Values) -> None:
        for build in builds:
            await self._search_batch(by, [build], values)

    async def _fetch_messages(self, builds: Sequence[CardBuild]) -> None:
        if not builds:
            return
        metrics = await self._names.metrics()
        if not isinstance(metrics, Mapping):
            for build in builds:
                build.record("metrics", metrics)
            return
        if not metrics:
            for build in builds:
                # An account that never sent a message has no metric for it.
                build.insight.messages, build.insight.messages_at = (), datetime.now(UTC)
            return
        semaphore = asyncio.Semaphore(MAX_CONCURRENT)
        await asyncio.gather(*(self._fetch_messages_of(build, metrics, semaphore) for build in builds))
        await self._name_messages(builds)

    async def _name_messages(self, builds: Sequence[CardBuild]) -> None:
        messages = [message for build in builds for message in build.insight.messages or ()]
        campaigns = await self._names.campaigns([message.id for message in messages if message.flow_id is None])
        flows = await self._names.flows([message.flow_id for message in messages if message.flow_id is not None])
        for build in builds:
            build.name_messages(campaigns, flows)

    async def _fetch_messages_of(
        self, build: CardBuild, metrics: Mapping[str, str], semaphore: asyncio.Semaphore
    ) -> None:
        async with semaphore:
            since = datetime.now(UTC) - HISTORY
            outcomes = await self._readers.call_all(
                lambda reader: reader.events(build.profile.id, list(metrics), since)
            )
        if not all(build.record("messages", outcome) for outcome in outcomes):
            return
        events = [
            event
            for outcome in outcomes
            if isinstance(outcome, Accepted)
            for event in read_message_events(outcome.body, metrics)
        ]
        build.insight.messages = tuple(latest_messages(build_messages(events)))
        build.insight.messages_at = datetime.now(UTC)


def _email_spellings(build: CardBuild) -> Sequence[str]:
    """Return emails as written and in lower case: filters are case-sensitive, Klaviyo may store lower case."""
    return list(dict.fromkeys([*build.emails, *(email.lower() for email in build.emails)]))


def _phone(build: CardBuild) -> Sequence[str]:
    return [build.customer.phone or ""]


def _profile_id(build: CardBuild) -> Sequence[str]:
    return [build.customer.klaviyo_profile_id or ""]


def _batches(builds: Iterable[CardBuild], values: Values) -> Iterator[list[CardBuild]]:
    """Split customers into batches whose values fit into one request."""
    batch: list[CardBuild] = []
    size = 0
    for build in builds:
        count = len(values(build))
        if batch and size + count > MAX_PROFILES_PER_REQUEST:
            yield batch
            batch, size = [], 0
        batch.append(build)
        size += count
    if batch:
        yield batch
