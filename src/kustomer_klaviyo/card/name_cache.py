"""Cached names of Klaviyo's metrics, campaigns, flows, lists and segments. A name that stays unknown blocks no card."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from cachetools import TTLCache

from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.profile_view import (
    MESSAGE_METRICS,
    NamedRef,
    read_account,
    read_campaign,
    read_metrics,
    read_named,
)
from kustomer_klaviyo.klaviyo.reader import GroupKind, KlaviyoReader, has_more
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused
from kustomer_klaviyo.store import klaviyo_names
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.klaviyo_names import CachedName

METRIC, CAMPAIGN, FLOW, ACCOUNT = "metric", "campaign", "flow", "account"
DAY, WEEK = timedelta(days=1), timedelta(days=7)
MISSING_METRICS_MAX_AGE = timedelta(hours=1)
"""Klaviyo creates a metric with its first event, so missing metrics are looked for again sooner."""

DENIED_SECONDS = 3600.0
MAX_KINDS = 16
GROUPS_MAX_AGE = timedelta(minutes=30)
ALL = "*"
"""Marks that all metrics, lists or segments were read; without a target if there were too many to read."""

MAX_LOOKUPS = 5
"""Ids that are looked up for one card; the next card looks up the others."""


@dataclass(frozen=True, slots=True)
class Groups:
    """The lists or segments of an account."""

    names: dict[str, str]
    """Names by id."""
    is_complete: bool
    """Whether these are all. An account may have too many to read."""


class NameCache:
    """The cached names of one connection's account."""

    def __init__(self, db: Database, connection_id: str, readers: ApiKeyRing[KlaviyoReader]) -> None:
        self._db = db
        self._connection_id = connection_id
        self._readers = readers
        self._denied: TTLCache[str, bool] = TTLCache(MAX_KINDS, DENIED_SECONDS)

    async def account(self) -> dict[str, str]:
        """Return the account's ``name`` and ``currency``, if known."""
        cached = await self._cached(ACCOUNT, None, WEEK)
        if not cached and ACCOUNT not in self._denied:
            outcome = await self._readers.call(lambda reader: reader.account())
            self._record_denied(ACCOUNT, outcome)
            if not isinstance(outcome, Accepted):
                return {}
            cached = {field: CachedName(None, text) for field, text in read_account(outcome.body).items()}
            await self._save(ACCOUNT, cached)
        return {field: value.name for field, value in cached.items() if value.name is not None}

    async def groups(self, kind: GroupKind) -> Groups | None:
        """Return all lists or segments; None if they cannot be read now."""
        cached = await self.cached_groups(kind)
        if cached is not None:
            return cached
        outcomes = await self._readers.call_all(lambda reader: reader.groups(kind))
        pages = [outcome for outcome in outcomes if isinstance(outcome, Accepted)]
        if len(pages) < len(outcomes):
            return None
        names = {group.id: group.name for page in pages for group in read_named(page.body)}
        groups = Groups(names, not has_more(outcomes))
        cached_names = {group_id: CachedName(group_id, name) for group_id, name in names.items()}
        marker = CachedName(ALL if groups.is_complete else None)
        await klaviyo_names.replace(self._db, self._connection_id, kind, cached_names | {ALL: marker})
        return groups

    async def cached_groups(self, kind: GroupKind) -> Groups | None:
        """Return all cached lists or segments; None if they were not read recently."""
        cached = await self._cached(kind, None, GROUPS_MAX_AGE)
        marker = cached.pop(ALL, None)
        if marker is None:
            return None
        names = {group_id: value.name or group_id for group_id, value in cached.items()}
        return Groups(names, marker.target is not None)

    async def metrics(self) -> dict[str, str] | Outcome:
        """Return the names of the message metrics by id, or the outcome of the failed request."""
        cached = await self._cached(METRIC, None, DAY)
        names = {metric_id: value.name for metric_id, value in cached.items() if value.name is not None}
        if ALL in cached and (set(names.values()) >= set(MESSAGE_METRICS) or await self._are_metrics_recent()):
            return names
        return await self._read_metrics()

    async def _are_metrics_recent(self) -> bool:
        return ALL in await self._cached(METRIC, [ALL], MISSING_METRICS_MAX_AGE)

    async def _read_metrics(self) -> dict[str, str] | Outcome:
        outcomes = await self._readers.call_all(lambda reader: reader.metrics())
        names: dict[str, str] = {}
        for outcome in outcomes:
            if not isinstance(outcome, Accepted):
                return outcome
            names |= read_metrics(outcome.body)
        cached_names = {metric_id: CachedName(metric_id, name) for metric_id, name in names.items()}
        await klaviyo_names.replace(self._db, self._connection_id, METRIC, cached_names | {ALL: CachedName(ALL)})
        return names

    async def campaigns(self, ids: Sequence[str]) -> dict[str, NamedRef]:
        """Return campaigns by the ids of campaigns or of their messages."""
        return await self._fetch_names(CAMPAIGN, ids, self._find_campaign)

    async def flows(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the names of flows by id."""
        flows = await self._fetch_names(FLOW, ids, self._find_flow)
        return {flow_id: flow.name for flow_id, flow in flows.items()}

    async def _find_flow(self, flow_id: str) -> Outcome:
        return await self._readers.call(lambda reader: reader.flow(flow_id))

    async def _find_campaign(self, message_id: str) -> Outcome:
        outcome = await self._readers.call(lambda reader: reader.campaign(message_id))
        if isinstance(outcome, LockedOut) and outcome.status == 404:
            return await self._readers.call(lambda reader: reader.campaign_of_message(message_id))
        return outcome

    async def _fetch_names(
        self, kind: str, ids: Sequence[str], find: Callable[[str], Awaitable[Outcome]]
    ) -> dict[str, NamedRef]:
        unique_ids = list(dict.fromkeys(ids))
        cached = await self._cached(kind, unique_ids, DAY)
        missing = [] if kind in self._denied else [object_id for object_id in unique_ids if object_id not in cached]
        for object_id in missing[:MAX_LOOKUPS]:
            outcome = await find(object_id)
            self._record_denied(kind, outcome)
            name = _cached_name(outcome)
            if name is None:
                break
            cached[object_id] = name
            await self._save(kind, {object_id: name})
        return {
            object_id: NamedRef(value.target, value.name or object_id)
            for object_id, value in cached.items()
            if value.target
        }

    def _record_denied(self, kind: str, outcome: Outcome) -> None:
        """Remember for an hour that the key may not read something. A new key starts a new worker."""
        if isinstance(outcome, LockedOut) and outcome.status == 403:
            self._denied[kind] = True

    async def _cached(self, kind: str, ids: list[str] | None, age: timedelta) -> dict[str, CachedName]:
        return await klaviyo_names.read(self._db, self._connection_id, kind, ids, max_age=age)

    async def _save(self, kind: str, names: dict[str, CachedName]) -> None:
        await klaviyo_names.save(self._db, self._connection_id, kind, names)


def _cached_name(outcome: Outcome) -> CachedName | None:
    """Return the name in a response; None if the response does not say."""
    match outcome:
        case Accepted(body=body):
            campaign = read_campaign(body)
            return CachedName(None) if campaign is None else CachedName(campaign.id, campaign.name)
        case LockedOut(status=404) | Refused():
            return CachedName(None)
        case _:
            return None
