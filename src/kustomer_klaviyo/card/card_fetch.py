"""Fetches cards from Klaviyo, several at once: one request tells of many people wherever Klaviyo lets it."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.card.card_build import Draft
from kustomer_klaviyo.card.memberships import KINDS, PARTS, Memberships
from kustomer_klaviyo.card.name_cache import Meanings
from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.klaviyo.profile_view import latest, messages, read_happenings, read_profiles
from kustomer_klaviyo.klaviyo.reader import MOST_ASKED, Identifier, KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted, Refused

HISTORY = timedelta(days=90)
"""How far back the card looks for messages."""

AT_ONCE = 16
"""People whose messages are read side by side."""


class InsightFetch:
    """Fetches cards for one connection."""

    def __init__(self, readers: Keys[KlaviyoReader], meanings: Meanings) -> None:
        self._readers = readers
        self._meanings = meanings
        self._memberships = Memberships(readers, meanings)

    async def ahead(self) -> int:
        """Return how many cards may be fetched ahead now."""
        return await self._memberships.ahead()

    async def beside(self, cards: int) -> int:
        """Return how many cards more may be fetched together with some, at no cost."""
        return await self._memberships.beside(cards)

    async def pause(self) -> float:
        """Return how many seconds to gather cards before more are fetched ahead."""
        return await self._memberships.pause()

    async def fetch(self, drafts: Sequence[Draft]) -> None:
        """Fetch all parts of some cards; a part that Klaviyo does not give now stays as it was before."""
        await self._fetch_who([draft for draft in drafts if draft.is_askable and draft.wants("profile")])
        known = [draft for draft in drafts if draft.is_known]
        await asyncio.gather(
            self._fetch_messages([draft for draft in known if draft.wants("messages")]),
            *(self._memberships.fetch(kind, [one for one in known if one.wants(PARTS[kind])]) for kind in KINDS),
        )
        account = await self._meanings.account()
        for draft in drafts:
            draft.insight.account = account.get("name", draft.insight.account)
            draft.insight.currency = account.get("currency", draft.insight.currency)

    async def _fetch_who(self, drafts: Sequence[Draft]) -> None:
        """Ask who they are: by address, by number where there is none, at last by the id that was remembered."""
        await self._ask_who("email", [one for one in drafts if one.emails], _spellings)
        await self._ask_who("phone_number", [one for one in drafts if not one.emails and one.person.phone], _number)
        unmet = [one for one in drafts if not one.found and not one.insight.troubles]
        await self._ask_who("id", [one for one in unmet if one.person.klaviyo_id], _remembered)
        for draft in drafts:
            if not draft.insight.troubles:
                draft.met(draft.found)

    async def _ask_who(self, by: Identifier, drafts: Sequence[Draft], values: Callable[[Draft], Sequence[str]]) -> None:
        for some in _packed(drafts, values):
            await self._ask_some(by, some, values)

    async def _ask_some(
        self, by: Identifier, drafts: Sequence[Draft], values: Callable[[Draft], Sequence[str]]
    ) -> None:
        asked = [value for draft in drafts for value in values(draft)]
        outcome = await self._readers.use(lambda reader: reader.profiles(by, asked))
        if isinstance(outcome, Refused) and len(drafts) > 1:
            # What Klaviyo does not take of one customer costs nobody else their card.
            for draft in drafts:
                await self._ask_some(by, [draft], values)
            return
        took = [draft.took("profile", outcome) for draft in drafts]
        if not all(took) or not isinstance(outcome, Accepted):
            return
        found = read_profiles(outcome.body)
        owned = [who for draft in drafts for who in draft.claim(found)]
        unmet = [draft for draft in drafts if not draft.found]
        if len(owned) == len(found) or not unmet:
            return
        if len(drafts) == 1:
            # Klaviyo may know a person by an address that it does not show.
            drafts[0].found = found
            return
        for draft in unmet:
            await self._ask_some(by, [draft], values)

    async def _fetch_messages(self, drafts: Sequence[Draft]) -> None:
        if not drafts:
            return
        names = await self._meanings.metrics()
        if not isinstance(names, Mapping):
            for draft in drafts:
                draft.took("metrics", names)
            return
        if not names:
            for draft in drafts:
                # An account that never sent anything has no metric of it.
                draft.insight.messages, draft.insight.messages_at = (), datetime.now(UTC)
            return
        gate = asyncio.Semaphore(AT_ONCE)
        await asyncio.gather(*(self._fetch_messages_of(draft, names, gate) for draft in drafts))
        sent = [one for draft in drafts for one in draft.insight.messages or ()]
        campaigns = await self._meanings.campaigns([one.id for one in sent if one.flow is None])
        flows = await self._meanings.flows([one.flow for one in sent if one.flow is not None])
        for draft in drafts:
            draft.name_messages(campaigns, flows)

    async def _fetch_messages_of(self, draft: Draft, names: Mapping[str, str], gate: asyncio.Semaphore) -> None:
        async with gate:
            since = datetime.now(UTC) - HISTORY
            outcomes = await self._readers.use_for_all(
                lambda reader: reader.events(draft.profile.id, list(names), since)
            )
        if not all(draft.took("messages", outcome) for outcome in outcomes):
            return
        happenings = [
            happening
            for outcome in outcomes
            if isinstance(outcome, Accepted)
            for happening in read_happenings(outcome.body, names)
        ]
        draft.insight.messages, draft.insight.messages_at = tuple(latest(messages(happenings))), datetime.now(UTC)


def _spellings(draft: Draft) -> Sequence[str]:
    """Return a customer's addresses as they are and in lower case: filters heed the case, Klaviyo may not keep it."""
    return list(dict.fromkeys([*draft.emails, *(one.lower() for one in draft.emails)]))


def _number(draft: Draft) -> Sequence[str]:
    return [draft.person.phone or ""]


def _remembered(draft: Draft) -> Sequence[str]:
    return [draft.person.klaviyo_id or ""]


def _packed(drafts: Iterable[Draft], values: Callable[[Draft], Sequence[str]]) -> Iterator[list[Draft]]:
    """Part customers so that one request has room for what each part is asked by."""
    some: list[Draft] = []
    size = 0
    for draft in drafts:
        wanted = len(values(draft))
        if some and size + wanted > MOST_ASKED:
            yield some
            some, size = [], 0
        some.append(draft)
        size += wanted
    if some:
        yield some
