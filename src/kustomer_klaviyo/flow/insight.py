"""What a card shows of one customer: fetched from Klaviyo part by part, each part with its own age."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.flow.identity import is_email, is_placeholder
from kustomer_klaviyo.flow.keys import Keys
from kustomer_klaviyo.flow.meanings import Meanings
from kustomer_klaviyo.klaviyo.insight import (
    Message,
    Named,
    Who,
    latest,
    messages,
    read_happenings,
    read_named,
    read_profiles,
)
from kustomer_klaviyo.klaviyo.reading import KlaviyoReader
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Throttled
from kustomer_klaviyo.store.people import Reachable

HISTORY = timedelta(days=90)
"""How far back the card looks for messages."""

SCOPES = {
    "profile": "profiles:read",
    "lists": "lists:read",
    "segments": "segments:read",
    "messages": "events:read",
    "metrics": "metrics:read",
}


class Insight(msgspec.Struct, kw_only=True):
    """What is known of one customer for the card. A part that was never fetched is None."""

    status: str = "known"
    """``known`` and ``unknown`` to Klaviyo; ``no_contact``, ``masked``, ``gone``: nothing to ask Klaviyo by."""
    who: Who | None = None
    others: tuple[Who, ...] = ()
    """Further profiles, under the customer's other addresses."""
    who_at: datetime | None = None
    lists: tuple[Named, ...] | None = None
    lists_at: datetime | None = None
    segments: tuple[Named, ...] | None = None
    segments_at: datetime | None = None
    messages: tuple[Message, ...] | None = None
    messages_at: datetime | None = None
    campaigns: dict[str, Named] = {}
    """The campaigns behind the messages' ids, where Klaviyo tells."""
    flows: dict[str, str] = {}
    """The flows' names by their ids."""
    troubles: dict[str, str] = {}
    """Why a part could not be fetched the last time."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is missing that Klaviyo would tell later."""
        return self.status != "known" or None not in (self.lists, self.segments, self.messages)


def read_insight(document: dict[str, Any] | None) -> Insight | None:
    """Return a card as it was kept; None for none, and for one that another version of the program kept."""
    try:
        return None if document is None else msgspec.convert(document, Insight)
    except msgspec.ValidationError:
        return None


class Fetched(msgspec.Struct, frozen=True):
    """What a fetch brought."""

    insight: Insight
    again_in: float | None
    """Seconds after which what is missing is worth another try; None when nothing is missing."""


def addresses(person: Reachable, placeholders: Sequence[str]) -> list[str]:
    """Return the addresses that are the customer's own, the one Klaviyo is told first."""
    held = [str(one.get("value", "")) for one in person.contacts.get("emails", ())]
    own = [one for one in held if is_email(one) and not is_placeholder(one, placeholders)]
    return list(dict.fromkeys(filter(None, (person.email, *own))))


def nothing_to_ask_by(person: Reachable, emails: Sequence[str]) -> str | None:
    """Return the status of a customer whom Klaviyo cannot be asked about; None when it can."""
    if person.gone:
        return "gone"
    if emails or person.phone is not None or person.klaviyo_id is not None:
        return None
    return "masked" if {"email", "phone"} & set(person.masked) else "no_contact"


class InsightFetch:
    """Fetches cards for one connection."""

    def __init__(self, readers: Keys[KlaviyoReader], meanings: Meanings, placeholders: Sequence[str]) -> None:
        self._readers = readers
        self._meanings = meanings
        self._placeholders = placeholders

    @property
    def leisure(self) -> float:
        """The part of the scarcest limit that is not used: 0 to 1."""
        return self._readers.current.leisure

    async def fetch(self, person: Reachable, before: Insight | None) -> Fetched:
        """Fetch all parts of a card; a part that Klaviyo does not give now stays as it was before."""
        emails = addresses(person, self._placeholders)
        status = nothing_to_ask_by(person, emails)
        if status is not None:
            return Fetched(Insight(status=status, who_at=datetime.now(UTC)), None)
        draft = _Draft(before)
        await self._fetch_who(draft, person, emails)
        who = draft.insight.who
        if draft.insight.status == "known" and who is not None:
            parts = (self._fetch_lists, self._fetch_segments, self._fetch_messages)
            await asyncio.gather(*(fetch(draft, who.id) for fetch in parts))
        return Fetched(draft.insight, draft.again_in)

    async def _fetch_who(self, draft: "_Draft", person: Reachable, emails: Sequence[str]) -> None:
        outcome = await self._readers.use(lambda reader: reader.profiles(emails, person.phone))
        if not draft.took("profile", outcome) or not isinstance(outcome, Accepted):
            return
        found = read_profiles(outcome.body)
        if not found and person.klaviyo_id is not None:
            known = person.klaviyo_id
            outcome = await self._readers.use(lambda reader: reader.profile(known))
            if _is_missing(outcome):
                found = []
            elif draft.took("profile", outcome) and isinstance(outcome, Accepted):
                found = read_profiles(outcome.body)
            else:
                return
        draft.met(found, person, emails)

    async def _fetch_lists(self, draft: "_Draft", profile_id: str) -> None:
        outcome = await self._readers.use(lambda reader: reader.lists(profile_id))
        if draft.took("lists", outcome) and isinstance(outcome, Accepted):
            draft.insight.lists, draft.insight.lists_at = tuple(read_named(outcome.body)), datetime.now(UTC)

    async def _fetch_segments(self, draft: "_Draft", profile_id: str) -> None:
        outcome = await self._readers.use(lambda reader: reader.segments(profile_id))
        if draft.took("segments", outcome) and isinstance(outcome, Accepted):
            draft.insight.segments, draft.insight.segments_at = tuple(read_named(outcome.body)), datetime.now(UTC)

    async def _fetch_messages(self, draft: "_Draft", profile_id: str) -> None:
        metrics = await self._meanings.metrics()
        if not isinstance(metrics, Mapping):
            draft.took("metrics", metrics)
            return
        since = datetime.now(UTC) - HISTORY
        asked = [self._read_events(profile_id, metric_id, since) for metric_id in metrics.values()]
        outcomes = await asyncio.gather(*asked)
        if not all(draft.took("messages", outcome) for outcome in outcomes):
            return
        happenings = [
            happening
            for metric, outcome in zip(metrics, outcomes, strict=True)
            if isinstance(outcome, Accepted)
            for happening in read_happenings(outcome.body, metric)
        ]
        found = tuple(latest(messages(happenings)))
        draft.insight.messages, draft.insight.messages_at = found, datetime.now(UTC)
        draft.insight.campaigns = await self._meanings.campaigns([one.id for one in found if one.flow is None])
        draft.insight.flows = await self._meanings.flows(sorted({one.flow for one in found if one.flow is not None}))

    async def _read_events(self, profile_id: str, metric_id: str, since: datetime) -> Outcome:
        return await self._readers.use(lambda reader: reader.events(profile_id, metric_id, since))


class _Draft:
    """A card in the making: the former one, part after part replaced."""

    def __init__(self, before: Insight | None) -> None:
        self.insight = Insight() if before is None else msgspec.structs.replace(before, troubles={})
        self.again_in: float | None = None

    def took(self, part: str, outcome: Outcome) -> bool:
        """Say whether an answer brings something; note why not, and when to come again."""
        if isinstance(outcome, Accepted):
            return True
        self.insight.troubles[part] = _why(part, outcome)
        wait = _wait(outcome)
        if wait is not None:
            self.again_in = wait if self.again_in is None else min(self.again_in, wait)
        return False

    def met(self, found: Sequence[Who], person: Reachable, emails: Sequence[str]) -> None:
        """Take over who Klaviyo says it is; a different profile than before makes the other parts worthless."""
        insight = self.insight
        insight.who_at = datetime.now(UTC)
        ranks = {address.lower(): rank for rank, address in enumerate(emails)}
        ranked = sorted(
            found, key=lambda one: (one.id != person.klaviyo_id, ranks.get((one.email or "").lower(), len(ranks)))
        )
        who = ranked[0] if ranked else None
        if who is None or insight.who is None or insight.who.id != who.id:
            insight.lists = insight.segments = insight.messages = None
            insight.lists_at = insight.segments_at = insight.messages_at = None
        elif who.prediction is None:
            # Predictions are not asked for while their own limit is used up.
            who = msgspec.structs.replace(who, prediction=insight.who.prediction)
        insight.status = "unknown" if who is None else "known"
        insight.who, insight.others = who, tuple(ranked[1:])


def _is_missing(outcome: Outcome) -> bool:
    return isinstance(outcome, LockedOut) and outcome.status == 404


def _why(part: str, outcome: Outcome) -> str:
    match outcome:
        case Throttled():
            return "throttled"
        case LockedOut(status=401):
            return "key refused"
        case LockedOut(status=403):
            return f"missing scope {SCOPES[part]}"
        case _:
            return "away"


def _wait(outcome: Outcome) -> float | None:
    """Return after how many seconds another try makes sense; None where someone must act first."""
    match outcome:
        case Throttled(retry_after=seconds):
            return max(1.0, seconds or 5.0)
        case LockedOut():
            return None
        case _:
            return 10.0
