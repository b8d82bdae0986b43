"""Builds the card of one customer, part by part, each part with its own age. Pure."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.card.card_status import CardError, CardStatus
from kustomer_klaviyo.klaviyo.profile_view import KlaviyoProfile, Message, NamedRef
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Throttled
from kustomer_klaviyo.planning.identity import is_placeholder, usable_emails
from kustomer_klaviyo.store.customers import CustomerIdentity

NOT_SEARCHABLE = (CardStatus.NO_CONTACT, CardStatus.MASKED, CardStatus.CUSTOMER_DELETED)
MAX_EMAILS = 10
RETRY_WINDOW = timedelta(minutes=2)
"""A card fetched within this time is fetched again only for the parts that failed."""

UNAVAILABLE_RETRY_SECONDS = 10.0
"""The delay before the next request after Klaviyo was unavailable."""


class Insight(msgspec.Struct, kw_only=True):
    """The data of one customer's card. A part that was never fetched is None."""

    status: CardStatus = CardStatus.OK
    """``ok`` or ``customer_unknown``; or one of ``NOT_SEARCHABLE``."""
    account: str | None = None
    """The name of the Klaviyo account."""
    currency: str | None = None
    """The currency of the account's values (ISO 4217)."""
    profile: KlaviyoProfile | None = None
    other_profiles: tuple[KlaviyoProfile, ...] = ()
    """Profiles with the customer's other email addresses."""
    profile_at: datetime | None = None
    lists: tuple[NamedRef, ...] | None = None
    lists_at: datetime | None = None
    segments: tuple[NamedRef, ...] | None = None
    segments_at: datetime | None = None
    messages: tuple[Message, ...] | None = None
    messages_at: datetime | None = None
    campaigns: dict[str, NamedRef] = {}
    """The campaigns of the messages, by the ids in the messages."""
    flows: dict[str, str] = {}
    """The names of the flows, by id."""
    errors: dict[str, CardError] = {}
    """Why a part could not be fetched the last time, by part."""


def _parts_to_retry(before: Insight | None) -> set[str] | None:
    """Return the parts to fetch again, if the last fetch was recent and partly successful; None for all parts."""
    if before is None or before.profile_at is None or not before.errors or "profile" in before.errors:
        return None
    if datetime.now(UTC) - before.profile_at > RETRY_WINDOW:
        return None
    return {"messages" if part == "metrics" else part for part in before.errors}


def read_insight(document: dict[str, Any] | None) -> Insight | None:
    """Read stored card data; None if there is none, or if another version of the program stored it."""
    try:
        return None if document is None else msgspec.convert(document, Insight)
    except msgspec.ValidationError:
        return None


def own_emails(customer: CustomerIdentity, placeholders: Sequence[str]) -> list[str]:
    """Return the email addresses of the customer, the identifier first, without placeholders."""
    emails = [str(email.get("value", "")) for email in customer.contacts.get("emails", ())]
    usable = usable_emails(email for email in emails if not is_placeholder(email, placeholders))
    return list(dict.fromkeys(filter(None, (customer.email, *usable))))[:MAX_EMAILS]


def unsearchable_status(customer: CustomerIdentity, emails: Sequence[str]) -> CardStatus | None:
    """Return the status of a customer who cannot be searched in Klaviyo; None if they can."""
    if customer.removed:
        return CardStatus.CUSTOMER_DELETED
    if emails or customer.phone is not None or customer.klaviyo_profile_id is not None:
        return None
    return CardStatus.MASKED if {"email", "phone"} & set(customer.masked) else CardStatus.NO_CONTACT


class CardBuild:
    """A card that is being built: starts from the stored data and replaces one part after the other."""

    def __init__(self, customer: CustomerIdentity, before: Insight | None, placeholders: Sequence[str]) -> None:
        self.customer = customer
        self.emails = own_emails(customer, placeholders)
        # A card stored without an identifier holds no data to reuse.
        reusable = None if before is None or before.status in NOT_SEARCHABLE else before
        self.insight = Insight() if reusable is None else msgspec.structs.replace(reusable, errors={})
        self._missing_parts = _parts_to_retry(reusable)
        self.retry_seconds: float | None = None
        """Seconds until the failed parts are worth another attempt; None if no part failed or an admin must act."""
        self.profiles: list[KlaviyoProfile] = []
        """The customer's profiles found in Klaviyo."""
        status = unsearchable_status(customer, self.emails)
        self.is_searchable = status is None
        if status is not None:
            self.insight = Insight(status=status, profile_at=datetime.now(UTC))

    def needs(self, part: str) -> bool:
        """Return whether a part is to be fetched: all are, unless a recent fetch missed only some."""
        return self._missing_parts is None or part in self._missing_parts

    @property
    def is_known(self) -> bool:
        """Whether Klaviyo has a profile of the customer."""
        return self.insight.status is CardStatus.OK and self.insight.profile is not None

    @property
    def profile(self) -> KlaviyoProfile:
        """The customer's Klaviyo profile. Raises LookupError if there is none."""
        if self.insight.profile is None:
            raise LookupError(self.customer.customer_id)
        return self.insight.profile

    def take_own(self, profiles: Sequence[KlaviyoProfile]) -> list[KlaviyoProfile]:
        """Add the profiles that belong to the customer, and return them."""
        own = [profile for profile in profiles if self._is_own(profile)]
        self.profiles = list({profile.id: profile for profile in (*self.profiles, *own)}.values())
        return own

    def _is_own(self, profile: KlaviyoProfile) -> bool:
        if profile.id == self.customer.klaviyo_profile_id:
            return True
        if self.emails:
            return (profile.email or "").lower() in {email.lower() for email in self.emails}
        return profile.phone is not None and profile.phone == self.customer.phone

    def record(self, part: str, outcome: Outcome) -> bool:
        """Return whether a request for a part succeeded; record the error and the time of the next attempt if not."""
        if isinstance(outcome, Accepted):
            return True
        self.insight.errors[part] = _error(outcome)
        seconds = _retry_seconds(outcome)
        if seconds is not None:
            self.retry_seconds = seconds if self.retry_seconds is None else min(self.retry_seconds, seconds)
        return False

    def resolve(self) -> None:
        """Choose the customer's profile among those found. If it is another one than before, drop all other parts."""
        insight = self.insight
        insight.profile_at = datetime.now(UTC)
        ranked = sorted(self.profiles, key=self._rank)
        best = ranked[0] if ranked else None
        if best is None or insight.profile is None or insight.profile.id != best.id:
            insight.lists = insight.segments = insight.messages = None
            insight.lists_at = insight.segments_at = insight.messages_at = None
        elif best.prediction is None:
            # Predictions are not requested while their own rate limit is used up.
            best = msgspec.structs.replace(best, prediction=insight.profile.prediction)
        insight.status = CardStatus.CUSTOMER_UNKNOWN if best is None else CardStatus.OK
        insight.profile, insight.other_profiles = best, tuple(ranked[1:])

    def _rank(self, profile: KlaviyoProfile) -> tuple[bool, int]:
        """Order profiles: the known one first, then by the order of the customer's addresses."""
        ranks = {email.lower(): rank for rank, email in enumerate(self.emails)}
        is_other = profile.id != self.customer.klaviyo_profile_id
        return is_other, ranks.get((profile.email or "").lower(), len(ranks))

    def name_messages(self, campaigns: Mapping[str, NamedRef], flows: Mapping[str, str]) -> None:
        """Add the names of campaigns and flows; keep only those of messages that the customer received."""
        insight = self.insight
        campaigns, flows = {**insight.campaigns, **campaigns}, {**insight.flows, **flows}
        ids = [message.id for message in insight.messages or ()]
        flow_ids = [message.flow_id for message in insight.messages or () if message.flow_id is not None]
        insight.campaigns = {message_id: campaigns[message_id] for message_id in ids if message_id in campaigns}
        insight.flows = {flow_id: flows[flow_id] for flow_id in flow_ids if flow_id in flows}


def _error(outcome: Outcome) -> CardError:
    match outcome:
        case Throttled():
            return CardError.RATE_LIMITED
        case LockedOut(status=401):
            return CardError.KEY_REJECTED
        case LockedOut(status=403):
            return CardError.MISSING_SCOPE
        case _:
            return CardError.KLAVIYO_UNAVAILABLE


def _retry_seconds(outcome: Outcome) -> float | None:
    """Return the seconds until another attempt makes sense; None if somebody must act first."""
    match outcome:
        case Throttled(retry_after=seconds):
            return max(1.0, seconds or 5.0)
        case LockedOut():
            return None
        case _:
            return UNAVAILABLE_RETRY_SECONDS
