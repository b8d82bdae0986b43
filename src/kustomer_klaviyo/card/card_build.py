"""What is known of one customer for the card, part by part, each part with its own age. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.klaviyo.profile_view import Message, Named, Who
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Throttled
from kustomer_klaviyo.planning.identity import is_placeholder, usable_emails
from kustomer_klaviyo.store.customers import Reachable

SCOPES = {
    "profile": "profiles:read",
    "lists": "lists:read",
    "segments": "segments:read",
    "messages": "events:read",
    "metrics": "metrics:read",
}
UNASKABLE = ("no_contact", "masked", "gone")
MOST_ADDRESSES = 10
JUST_NOW = timedelta(minutes=2)
AWAY_SECONDS = 10.0
"""After this long a Klaviyo that did not answer is asked again."""


class Insight(msgspec.Struct, kw_only=True):
    """What is known of one customer for the card. A part that was never fetched is None."""

    status: str = "known"
    """``known`` and ``unknown`` to Klaviyo; ``no_contact``, ``masked``, ``gone``: nothing to ask Klaviyo by."""
    account: str | None = None
    """The name of the Klaviyo account."""
    currency: str | None = None
    """What the account's values are in (ISO 4217)."""
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


def _lacks(before: Insight | None) -> set[str] | None:
    """Return the parts that the last fetch did not bring, if it was just now and brought others; None for all."""
    if before is None or before.who_at is None or not before.troubles or "profile" in before.troubles:
        return None
    if datetime.now(UTC) - before.who_at > JUST_NOW:
        return None
    return {"messages" if part == "metrics" else part for part in before.troubles}


def read_insight(document: dict[str, Any] | None) -> Insight | None:
    """Return a card as it was kept; None for none, and for one that another version of the program kept."""
    try:
        return None if document is None else msgspec.convert(document, Insight)
    except msgspec.ValidationError:
        return None


def addresses(person: Reachable, placeholders: Sequence[str]) -> list[str]:
    """Return the addresses that are the customer's own, the one Klaviyo is told first."""
    held = [str(one.get("value", "")) for one in person.contacts.get("emails", ())]
    own = usable_emails(one for one in held if not is_placeholder(one, placeholders))
    return list(dict.fromkeys(filter(None, (person.email, *own))))[:MOST_ADDRESSES]


def nothing_to_ask_by(person: Reachable, emails: Sequence[str]) -> str | None:
    """Return the status of a customer whom Klaviyo cannot be asked about; None when it can."""
    if person.gone:
        return "gone"
    if emails or person.phone is not None or person.klaviyo_id is not None:
        return None
    return "masked" if {"email", "phone"} & set(person.masked) else "no_contact"


class Draft:
    """A card in the making: the former one, part after part replaced."""

    def __init__(self, person: Reachable, before: Insight | None, placeholders: Sequence[str]) -> None:
        self.person = person
        self.emails = addresses(person, placeholders)
        # What was known of one of whom nothing could be asked is nothing.
        known = None if before is None or before.status in UNASKABLE else before
        self.insight = Insight() if known is None else msgspec.structs.replace(known, troubles={})
        self._lacks = _lacks(known)
        self.again_in: float | None = None
        """Seconds after which what is missing is worth another try; None when nothing is missing."""
        self.found: list[Who] = []
        """The profiles that Klaviyo has of the customer."""
        status = nothing_to_ask_by(person, self.emails)
        self.is_askable = status is None
        if status is not None:
            self.insight = Insight(status=status, who_at=datetime.now(UTC))

    def wants(self, part: str) -> bool:
        """Say whether a part is to be fetched: all are, unless the card was fetched just now but for some."""
        return self._lacks is None or part in self._lacks

    @property
    def is_known(self) -> bool:
        """Whether Klaviyo knows the customer, as far as we know."""
        return self.insight.status == "known" and self.insight.who is not None

    @property
    def profile(self) -> Who:
        """The Klaviyo profile that the customer is, where they are known."""
        if self.insight.who is None:
            raise LookupError(self.person.customer_id)
        return self.insight.who

    def claim(self, found: Sequence[Who]) -> list[Who]:
        """Take those of the profiles that are the customer's; returns them."""
        mine = [one for one in found if self._is_mine(one)]
        self.found = list({one.id: one for one in (*self.found, *mine)}.values())
        return mine

    def _is_mine(self, who: Who) -> bool:
        if who.id == self.person.klaviyo_id:
            return True
        if self.emails:
            return (who.email or "").lower() in {one.lower() for one in self.emails}
        return who.phone is not None and who.phone == self.person.phone

    def took(self, part: str, outcome: Outcome) -> bool:
        """Say whether an answer brings something; note why not, and when to come again."""
        if isinstance(outcome, Accepted):
            return True
        self.insight.troubles[part] = _why(part, outcome)
        wait = _wait(outcome)
        if wait is not None:
            self.again_in = wait if self.again_in is None else min(self.again_in, wait)
        return False

    def met(self, found: Sequence[Who]) -> None:
        """Take over who Klaviyo says it is; a different profile than before makes the other parts worthless."""
        insight = self.insight
        insight.who_at = datetime.now(UTC)
        ranks = {address.lower(): rank for rank, address in enumerate(self.emails)}
        known_as = self.person.klaviyo_id
        ranked = sorted(found, key=lambda one: (one.id != known_as, ranks.get((one.email or "").lower(), len(ranks))))
        who = ranked[0] if ranked else None
        if who is None or insight.who is None or insight.who.id != who.id:
            insight.lists = insight.segments = insight.messages = None
            insight.lists_at = insight.segments_at = insight.messages_at = None
        elif who.prediction is None:
            # Predictions are not asked for while their own limit is used up.
            who = msgspec.structs.replace(who, prediction=insight.who.prediction)
        insight.status = "unknown" if who is None else "known"
        insight.who, insight.others = who, tuple(ranked[1:])

    def name_messages(self, campaigns: Mapping[str, Named], flows: Mapping[str, str]) -> None:
        """Take over what the messages' campaigns and flows are called, of those that were sent to the customer."""
        insight, sent = self.insight, self.insight.messages or ()
        campaigns, flows = {**insight.campaigns, **campaigns}, {**insight.flows, **flows}
        insight.campaigns = {one.id: campaigns[one.id] for one in sent if one.id in campaigns}
        insight.flows = {one.flow: flows[one.flow] for one in sent if one.flow is not None and one.flow in flows}


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
            return AWAY_SECONDS
