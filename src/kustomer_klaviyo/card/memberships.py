"""Fetches which lists and segments profiles belong to: by profile or by group, whichever costs less.

The groups of one profile are limited to 60 requests a minute for the whole account. The members of a group are limited
to 750, and one request covers fifty profiles (developers.klaviyo.com/en/reference/get_profile_ids_for_list).
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kustomer_klaviyo.card.card_build import CardBuild
from kustomer_klaviyo.card.name_cache import Groups, NameCache
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.profile_view import KlaviyoProfile, NamedRef, read_ids, read_named
from kustomer_klaviyo.klaviyo.reader import MAX_PROFILES_PER_REQUEST, GroupKind, Identifier, KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome
from kustomer_klaviyo.rate_limits import MINUTE

KINDS: tuple[GroupKind, ...] = ("list", "segment")
PARTS: dict[GroupKind, str] = {"list": "lists", "segment": "segments"}
RESERVE = 0.4
"""The share of a minute's requests that prefetches leave for cards that agents open."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The requests left in this minute by profile and by group, and the number of groups."""

    by_profile: int
    by_profile_limit: int
    by_group: int
    by_group_limit: int
    group_count: float
    """Infinite if there are too many groups, or if the number is unknown."""

    def prefers_groups(self, profiles: int) -> bool:
        """Return whether requests by group use a smaller share of their limit than requests by profile."""
        if self.group_count > self.by_group:
            return False
        return profiles > self.by_profile or self.group_count / self.by_group_limit < profiles / self.by_profile_limit

    def prefetch_slots(self) -> int:
        """Return about how many profiles may be prefetched now without using the reserve."""
        if self._prefetches_by_group:
            return MAX_PROFILES_PER_REQUEST if self.group_count <= self.by_group - RESERVE * self.by_group_limit else 0
        return max(0, int(self.by_profile - RESERVE * self.by_profile_limit))

    def spare_slots(self, profiles: int) -> int:
        """Return how many more profiles can be fetched together with some at no cost."""
        return max(0, MAX_PROFILES_PER_REQUEST - profiles) if self.prefers_groups(profiles) else 0

    def prefetch_interval(self) -> float:
        """Return the seconds between two prefetches by group, so that their share of the limit lasts a minute."""
        return MINUTE * self.group_count / ((1 - RESERVE) * self.by_group_limit) if self._prefetches_by_group else 0.0

    @property
    def _prefetches_by_group(self) -> bool:
        """Whether there are few enough groups to prefetch by group every minute."""
        return self.group_count <= (1 - RESERVE) * self.by_group_limit


class Memberships:
    """Fetches the memberships for one connection."""

    def __init__(self, readers: ApiKeyRing[KlaviyoReader], names: NameCache) -> None:
        self._readers = readers
        self._names = names

    async def prefetch_slots(self) -> int:
        """Return how many cards may be prefetched now."""
        return min([self._budget(kind, await self._names.cached_groups(kind)).prefetch_slots() for kind in KINDS])

    async def spare_slots(self, profiles: int) -> int:
        """Return how many more cards can be fetched together with some at no cost."""
        return min([self._budget(kind, await self._names.cached_groups(kind)).spare_slots(profiles) for kind in KINDS])

    async def prefetch_interval(self) -> float:
        """Return the seconds between two prefetches."""
        return max([self._budget(kind, await self._names.cached_groups(kind)).prefetch_interval() for kind in KINDS])

    async def fetch(self, kind: GroupKind, builds: Sequence[CardBuild]) -> None:
        """Add the lists or segments to cards of known profiles."""
        if not builds:
            return
        groups = await self._names.groups(kind)
        if groups is None or not self._budget(kind, groups).prefers_groups(len(builds)):
            await asyncio.gather(*(self._fetch_by_profile(kind, build) for build in builds))
            return
        by_field: dict[Identifier, list[CardBuild]] = {}
        for build in builds:
            field = _field(kind, build.profile)
            if field is None:
                await self._fetch_by_profile(kind, build)
            else:
                by_field.setdefault(field, []).append(build)
        for field, field_builds in by_field.items():
            for start in range(0, len(field_builds), MAX_PROFILES_PER_REQUEST):
                await self._fetch_by_group(
                    kind, groups.names, field, field_builds[start : start + MAX_PROFILES_PER_REQUEST]
                )

    def _budget(self, kind: GroupKind, groups: Groups | None) -> Budget:
        reader, now = self._readers.active, time.monotonic()
        by_profile, members = reader.limiters.groups_of_profile[kind], reader.limiters.group_members[kind]
        count = len(groups.names) if groups is not None and groups.is_complete else math.inf
        return Budget(by_profile.remaining(now), by_profile.steady, members.remaining(now), members.steady, count)

    async def _fetch_by_profile(self, kind: GroupKind, build: CardBuild) -> None:
        outcome = await self._readers.call(lambda reader: reader.groups_of(kind, build.profile.id))
        if build.record(PARTS[kind], outcome) and isinstance(outcome, Accepted):
            _set_groups(kind, build, read_named(outcome.body))

    async def _fetch_by_group(
        self, kind: GroupKind, names: Mapping[str, str], field: Identifier, builds: Sequence[CardBuild]
    ) -> None:
        values = [_value(field, build.profile) for build in builds]

        async def members(group_id: str) -> Outcome:
            return await self._readers.call(lambda reader: reader.members(kind, group_id, field, values))

        outcomes = dict(zip(names, await asyncio.gather(*map(members, names)), strict=True))
        for outcome in outcomes.values():
            if not isinstance(outcome, Accepted) and not _is_deleted(outcome):
                for build in builds:
                    build.record(PARTS[kind], outcome)
                return
        member_ids = {
            group_id: read_ids(outcome.body) for group_id, outcome in outcomes.items() if isinstance(outcome, Accepted)
        }
        for build in builds:
            groups = [
                NamedRef(group_id, names[group_id]) for group_id, ids in member_ids.items() if build.profile.id in ids
            ]
            _set_groups(kind, build, sorted(groups, key=lambda group: group.name.lower()))


def _field(kind: GroupKind, profile: KlaviyoProfile) -> Identifier | None:
    """Return the field to filter members by, None if there is none. A list cannot be filtered by profile id."""
    if kind == "segment":
        return "profile_id"
    if profile.email is not None:
        return "email"
    return None if profile.phone is None else "phone_number"


def _value(field: Identifier, profile: KlaviyoProfile) -> str:
    return {"email": profile.email, "phone_number": profile.phone}.get(field, profile.id) or ""


def _is_deleted(outcome: Outcome) -> bool:
    """Return whether a list or segment was deleted after its name was cached."""
    return isinstance(outcome, LockedOut) and outcome.status == 404


def _set_groups(kind: GroupKind, build: CardBuild, groups: Sequence[NamedRef]) -> None:
    if kind == "list":
        build.insight.lists, build.insight.lists_at = tuple(groups), datetime.now(UTC)
    else:
        build.insight.segments, build.insight.segments_at = tuple(groups), datetime.now(UTC)
