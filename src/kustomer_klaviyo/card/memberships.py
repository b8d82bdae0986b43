"""Which lists people are on, and which segments they are in: asked by person or by group, whichever costs less.

A person's own are limited to 60 requests a minute for the whole account, a group's members to 750, and one request
tells of fifty people (developers.klaviyo.com/en/reference/get_profile_ids_for_list).
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from kustomer_klaviyo.card.card_build import Draft
from kustomer_klaviyo.card.name_cache import Groups, Meanings
from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.klaviyo.profile_view import Named, Who, read_ids, read_named
from kustomer_klaviyo.klaviyo.reader import MOST_ASKED, Identifier, Kind, KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome
from kustomer_klaviyo.rate_limits import MINUTE

KINDS: tuple[Kind, ...] = ("list", "segment")
PARTS: dict[Kind, str] = {"list": "lists", "segment": "segments"}
KEPT = 0.4
"""The part of a minute's requests that is kept for agents who look, when cards are fetched ahead of them."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What a minute still has of both ways to ask, in requests, and what they cost."""

    by_person: int
    by_person_of: int
    by_group: int
    by_group_of: int
    groups: float
    """How many groups there are; infinitely many when they are too many, or not known."""

    def prefers_groups(self, people: int) -> bool:
        """Say whether to ask each group about all, rather than each person: by the part of its limit that it takes."""
        if self.groups > self.by_group:
            return False
        return people > self.by_person or self.groups / self.by_group_of < people / self.by_person_of

    def ahead(self) -> int:
        """Return about how many people may be asked about now, with enough kept for agents who look."""
        if self._goes_by_group:
            return MOST_ASKED if self.groups <= self.by_group - KEPT * self.by_group_of else 0
        return max(0, int(self.by_person - KEPT * self.by_person_of))

    def beside(self, people: int) -> int:
        """Return how many more may be asked about together with some people, at no cost."""
        return max(0, MOST_ASKED - people) if self.prefers_groups(people) else 0

    def pause(self) -> float:
        """Return the seconds from one time that groups are asked ahead to the next, for their part to last a minute."""
        return MINUTE * self.groups / ((1 - KEPT) * self.by_group_of) if self._goes_by_group else 0.0

    @property
    def _goes_by_group(self) -> bool:
        """Whether groups are few enough to be asked ahead again and again: few at a time would waste their limit."""
        return self.groups <= (1 - KEPT) * self.by_group_of


class Memberships:
    """Finds out one connection's memberships."""

    def __init__(self, readers: Keys[KlaviyoReader], meanings: Meanings) -> None:
        self._readers = readers
        self._meanings = meanings

    async def ahead(self) -> int:
        """Return how many cards may be fetched ahead now."""
        return min([self._budget(kind, await self._meanings.known_groups(kind)).ahead() for kind in KINDS])

    async def beside(self, people: int) -> int:
        """Return how many cards more may be fetched together with some, at no cost."""
        return min([self._budget(kind, await self._meanings.known_groups(kind)).beside(people) for kind in KINDS])

    async def pause(self) -> float:
        """Return how many seconds to gather cards before more are fetched ahead."""
        return max([self._budget(kind, await self._meanings.known_groups(kind)).pause() for kind in KINDS])

    async def fetch(self, kind: Kind, drafts: Sequence[Draft]) -> None:
        """Put the lists or segments into cards of people whom Klaviyo knows."""
        if not drafts:
            return
        groups = await self._meanings.groups(kind)
        if groups is None or not self._budget(kind, groups).prefers_groups(len(drafts)):
            await asyncio.gather(*(self._ask_for(kind, draft) for draft in drafts))
            return
        by_field: dict[Identifier, list[Draft]] = {}
        for draft in drafts:
            field = _field(kind, draft.profile)
            if field is None:
                await self._ask_for(kind, draft)
            else:
                by_field.setdefault(field, []).append(draft)
        for field, those in by_field.items():
            for start in range(0, len(those), MOST_ASKED):
                await self._ask_groups(kind, groups.names, field, those[start : start + MOST_ASKED])

    def _budget(self, kind: Kind, groups: Groups | None) -> Budget:
        reader, now = self._readers.current, time.monotonic()
        singly, members = reader.single_windows[kind], reader.member_windows[kind]
        number = len(groups.names) if groups is not None and groups.are_all else math.inf
        return Budget(singly.left(now), singly.steady, members.left(now), members.steady, number)

    async def _ask_for(self, kind: Kind, draft: Draft) -> None:
        outcome = await self._readers.use(lambda reader: reader.groups_of(kind, draft.profile.id))
        if draft.took(PARTS[kind], outcome) and isinstance(outcome, Accepted):
            _put(kind, draft, read_named(outcome.body))

    async def _ask_groups(
        self, kind: Kind, names: Mapping[str, str], field: Identifier, drafts: Sequence[Draft]
    ) -> None:
        values = [_value(field, draft.profile) for draft in drafts]

        async def members(group_id: str) -> Outcome:
            return await self._readers.use(lambda reader: reader.members(kind, group_id, field, values))

        outcomes = dict(zip(names, await asyncio.gather(*map(members, names)), strict=True))
        for outcome in outcomes.values():
            if not isinstance(outcome, Accepted) and not _is_gone(outcome):
                for draft in drafts:
                    draft.took(PARTS[kind], outcome)
                return
        inside = {one: read_ids(answer.body) for one, answer in outcomes.items() if isinstance(answer, Accepted)}
        for draft in drafts:
            found = [Named(one, names[one]) for one, ids in inside.items() if draft.profile.id in ids]
            _put(kind, draft, sorted(found, key=lambda one: one.name.lower()))


def _field(kind: Kind, who: Who) -> Identifier | None:
    """Return by what a person can be told among the members of a group: of a list, not by an id; None by nothing."""
    if kind == "segment":
        return "profile_id"
    if who.email is not None:
        return "email"
    return None if who.phone is None else "phone_number"


def _value(field: Identifier, who: Who) -> str:
    return {"email": who.email, "phone_number": who.phone}.get(field, who.id) or ""


def _is_gone(outcome: Outcome) -> bool:
    """Say whether a list or segment was deleted since it was remembered."""
    return isinstance(outcome, LockedOut) and outcome.status == 404


def _put(kind: Kind, draft: Draft, found: Sequence[Named]) -> None:
    if kind == "list":
        draft.insight.lists, draft.insight.lists_at = tuple(found), datetime.now(UTC)
    else:
        draft.insight.segments, draft.insight.segments_at = tuple(found), datetime.now(UTC)
