"""What Klaviyo's ids stand for: found out once, then remembered. An id that stays unknown costs nobody a card."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.klaviyo.profile_view import (
    MESSAGE_METRICS,
    Named,
    read_account,
    read_campaign,
    read_metrics,
    read_named,
)
from kustomer_klaviyo.klaviyo.reader import Kind, KlaviyoReader, has_more
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused
from kustomer_klaviyo.store import klaviyo_names
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.klaviyo_names import Meaning

METRIC, CAMPAIGN, FLOW, ACCOUNT = "metric", "campaign", "flow", "account"
A_DAY, A_WEEK = timedelta(days=1), timedelta(days=7)
UNKNOWN_METRICS_AGE = timedelta(hours=1)
"""A metric begins to exist with its first event, so that those not found are looked for again sooner."""

CLOSED_SECONDS = 3600.0
GROUPS_AGE = timedelta(minutes=30)
ALL = "*"
"""Remembered beside metrics, lists or segments once they were read; without a target when not all were."""

MOST_AT_ONCE = 5
"""Ids looked up for one card; the others are looked up for the next."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The lists or the segments of an account."""

    names: dict[str, str]
    """By their ids."""
    are_all: bool
    """Whether there are no more: an account may have too many to be asked one by one."""


class Meanings:
    """The names and ids of one connection's account."""

    def __init__(self, database: Database, connection_id: str, readers: Keys[KlaviyoReader]) -> None:
        self._database = database
        self._connection_id = connection_id
        self._readers = readers
        self._closed_until: dict[str, float] = {}

    async def account(self) -> dict[str, str]:
        """Return the account's ``name`` and ``currency``, as far as they are known."""
        known = await self._known(ACCOUNT, None, A_WEEK)
        if not known and not self._is_closed(ACCOUNT):
            outcome = await self._readers.use(lambda reader: reader.account())
            self._note_closed(ACCOUNT, outcome)
            if not isinstance(outcome, Accepted):
                return {}
            known = {what: Meaning(None, text) for what, text in read_account(outcome.body).items()}
            await self._save(ACCOUNT, known)
        return {what: found.name for what, found in known.items() if found.name is not None}

    async def groups(self, kind: Kind) -> Groups | None:
        """Return all lists or segments; None when they cannot be read now."""
        known = await self.known_groups(kind)
        if known is not None:
            return known
        outcomes = await self._readers.use_for_all(lambda reader: reader.groups(kind))
        read = [one for one in outcomes if isinstance(one, Accepted)]
        if len(read) < len(outcomes):
            return None
        found = Groups({one.id: one.name for page in read for one in read_named(page.body)}, not has_more(outcomes))
        meanings = {group_id: Meaning(group_id, name) for group_id, name in found.names.items()}
        mark = Meaning(ALL if found.are_all else None)
        await klaviyo_names.replace(self._database, self._connection_id, kind, meanings | {ALL: mark})
        return found

    async def known_groups(self, kind: Kind) -> Groups | None:
        """Return all lists or segments as remembered; None when they were not read lately."""
        known = await self._known(kind, None, GROUPS_AGE)
        mark = known.pop(ALL, None)
        if mark is None:
            return None
        return Groups({one: found.name or one for one, found in known.items()}, mark.target is not None)

    async def metrics(self) -> dict[str, str] | Outcome:
        """Return the names of the message metrics by their ids, or why they are not known."""
        known = await self._known(METRIC, None, A_DAY)
        found = {metric_id: one.name for metric_id, one in known.items() if one.name is not None}
        if ALL in known and (set(found.values()) >= set(MESSAGE_METRICS) or await self._were_read_lately()):
            return found
        return await self._read_metrics()

    async def _were_read_lately(self) -> bool:
        return ALL in await self._known(METRIC, [ALL], UNKNOWN_METRICS_AGE)

    async def _read_metrics(self) -> dict[str, str] | Outcome:
        outcomes = await self._readers.use_for_all(lambda reader: reader.metrics())
        found: dict[str, str] = {}
        for outcome in outcomes:
            if not isinstance(outcome, Accepted):
                return outcome
            found |= read_metrics(outcome.body)
        meanings = {metric_id: Meaning(metric_id, name) for metric_id, name in found.items()}
        await klaviyo_names.replace(self._database, self._connection_id, METRIC, meanings | {ALL: Meaning(ALL)})
        return found

    async def campaigns(self, ids: Sequence[str]) -> dict[str, Named]:
        """Return the campaigns that ids stand for: of campaigns themselves, or of messages of theirs."""
        return await self._named(CAMPAIGN, ids, self._find_campaign)

    async def flows(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the names of flows."""
        found = await self._named(FLOW, ids, lambda one: self._readers.use(lambda reader: reader.flow(one)))
        return {flow_id: named.name for flow_id, named in found.items()}

    async def _find_campaign(self, one: str) -> Outcome:
        outcome = await self._readers.use(lambda reader: reader.campaign(one))
        if isinstance(outcome, LockedOut) and outcome.status == 404:
            return await self._readers.use(lambda reader: reader.campaign_of_message(one))
        return outcome

    async def _named(
        self, kind: str, ids: Sequence[str], find: Callable[[str], Awaitable[Outcome]]
    ) -> dict[str, Named]:
        wanted = list(dict.fromkeys(ids))
        known = await self._known(kind, wanted, A_DAY)
        unknown = [] if self._is_closed(kind) else [one for one in wanted if one not in known]
        for one in unknown[:MOST_AT_ONCE]:
            outcome = await find(one)
            self._note_closed(kind, outcome)
            meaning = _meaning(outcome)
            if meaning is None:
                break
            known[one] = meaning
            await self._save(kind, {one: meaning})
        return {one: Named(found.target, found.name or one) for one, found in known.items() if found.target}

    def _is_closed(self, kind: str) -> bool:
        return time.monotonic() < self._closed_until.get(kind, float("-inf"))

    def _note_closed(self, kind: str, outcome: Outcome) -> None:
        """Remember for a while that the key may not read something; another key comes with another run."""
        if isinstance(outcome, LockedOut) and outcome.status == 403:
            self._closed_until[kind] = time.monotonic() + CLOSED_SECONDS

    async def _known(self, kind: str, ids: list[str] | None, age: timedelta) -> dict[str, Meaning]:
        return await klaviyo_names.read(self._database, self._connection_id, kind, ids, age=age)

    async def _save(self, kind: str, found: dict[str, Meaning]) -> None:
        await klaviyo_names.save(self._database, self._connection_id, kind, found)


def _meaning(outcome: Outcome) -> Meaning | None:
    """Return what an answer says an id stands for; None when it says nothing yet."""
    match outcome:
        case Accepted(body=body):
            named = read_campaign(body)
            return Meaning(None) if named is None else Meaning(named.id, named.name)
        case LockedOut(status=404) | Refused():
            return Meaning(None)
        case _:
            return None
