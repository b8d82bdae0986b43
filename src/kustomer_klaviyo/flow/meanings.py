"""What Klaviyo's ids stand for: found out once, then remembered. An id that stays unknown costs nobody a card."""

from collections.abc import Awaitable, Callable, Sequence

from kustomer_klaviyo.flow.keys import Keys
from kustomer_klaviyo.klaviyo.insight import MESSAGE_METRICS, Named, read_campaign, read_metrics
from kustomer_klaviyo.klaviyo.reading import KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused
from kustomer_klaviyo.store import names
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.names import Meaning

METRIC, CAMPAIGN, FLOW = "metric", "campaign", "flow"
METRICS_HOURS = 24
UNKNOWN_METRICS_HOURS = 1
"""A metric begins to exist with its first event, so that those not found are looked for again sooner."""

NAMES_HOURS = 24 * 7
MOST_AT_ONCE = 5
"""Ids looked up for one card; the others are looked up for the next."""


class Meanings:
    """The names and ids of one connection's account."""

    def __init__(self, database: Database, connection_id: str, readers: Keys[KlaviyoReader]) -> None:
        self._database = database
        self._connection_id = connection_id
        self._readers = readers

    async def metrics(self) -> dict[str, str] | Outcome:
        """Return the ids of the message metrics by their names, or why they are not known."""
        known = await self._known(METRIC, None, METRICS_HOURS)
        if any(name not in known or known[name].target is None for name in MESSAGE_METRICS):
            lately = await self._known(METRIC, None, UNKNOWN_METRICS_HOURS)
            if not set(lately) >= set(MESSAGE_METRICS):
                outcome = await self._read_metrics()
                if outcome is not None:
                    return outcome
                known = await self._known(METRIC, None, METRICS_HOURS)
        return {name: found.target for name, found in known.items() if found.target is not None}

    async def _read_metrics(self) -> Outcome | None:
        outcomes: list[Outcome] = []

        async def read(reader: KlaviyoReader) -> Outcome:
            outcomes[:] = await reader.metrics()
            return outcomes[-1]

        last = await self._readers.use(read)
        if not isinstance(last, Accepted):
            return last
        found: dict[str, str] = {}
        for outcome in outcomes:
            if isinstance(outcome, Accepted):
                found |= read_metrics(outcome.body)
        await self._save(METRIC, {name: Meaning(found.get(name), name) for name in MESSAGE_METRICS})
        return None

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
        known = await self._known(kind, wanted, NAMES_HOURS)
        for one in [one for one in wanted if one not in known][:MOST_AT_ONCE]:
            meaning = _meaning(await find(one))
            if meaning is None:
                break
            known[one] = meaning
            await self._save(kind, {one: meaning})
        return {one: Named(found.target, found.name or one) for one, found in known.items() if found.target}

    async def _known(self, kind: str, ids: list[str] | None, hours: int) -> dict[str, Meaning]:
        return await names.read(self._database, self._connection_id, kind, ids, hours=hours)

    async def _save(self, kind: str, found: dict[str, Meaning]) -> None:
        await names.save(self._database, self._connection_id, kind, found)


def _meaning(outcome: Outcome) -> Meaning | None:
    """Return what an answer says an id stands for; None when it says nothing yet."""
    match outcome:
        case Accepted(body=body):
            named = read_campaign(body)
            return Meaning(None) if named is None else Meaning(named.id, named.name)
        case LockedOut(status=403 | 404) | Refused():
            return Meaning(None)
        case _:
            return None
