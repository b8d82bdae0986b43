"""Vendor-neutral facts, each with a key derived from the object that it is about.

Kustomer events become facts, and facts become Klaviyo requests. This module knows neither vendor.
"""

from datetime import datetime
from typing import Any

import msgspec


class Conversation(msgspec.Struct, frozen=True):
    """The part of a conversation that every fact about it carries."""

    id: str
    customer_id: str | None
    """None when the observation names no customer."""
    subject: str | None = None
    channel: str | None = None
    brand_id: str | None = None
    rev: int = 0
    """The vendor's revision of the observation; a higher one is newer."""
    spam: bool = False
    kustomer_import: bool = False
    deleted: bool = False


class ConversationCreated(msgspec.Struct, frozen=True):
    """A conversation was created."""

    conversation: Conversation
    occurred_at: datetime

    @property
    def fact_key(self) -> str:
        """One per conversation."""
        return f"created:{self.conversation.id}"


class ConversationDone(msgspec.Struct, frozen=True):
    """A conversation was marked done; that may happen many times."""

    conversation: Conversation
    occurred_at: datetime
    approximate: bool = False
    """Derived from the change of status alone: ``occurred_at`` may be seconds off."""

    @property
    def fact_key(self) -> str:
        """One per time the conversation is done; an approximate fact never takes the key of an exact one."""
        return f"done:{self.conversation.id}:{'~' if self.approximate else ''}{epoch_milliseconds(self.occurred_at)}"


class CsatSubmitted(msgspec.Struct, frozen=True):
    """The customer answered a satisfaction survey."""

    conversation: Conversation
    occurred_at: datetime
    response_id: str | None
    """Identifies the survey, so that a second survey of the same conversation is another fact. None if the vendor gives
    no id: then ``is_newly_answered`` and the recorded facts decide whether it is another one."""
    rating: float | None
    """From 1 to 5, as the vendor normalises it; None if there is only a score."""
    score: int | None
    """1 is good, 0 is bad; used only if there is no rating."""
    survey_created_at: datetime | None = None
    """When the survey was created; survey tools may rewrite it."""
    is_newly_answered: bool = False
    """The observation shows the survey changing from unanswered to answered."""

    @property
    def fact_key(self) -> str:
        """One per survey, however often its answer is edited."""
        return f"csat:{self.conversation.id}:{self.response_id or f'~{epoch_milliseconds(self.occurred_at)}'}"

    @property
    def fingerprint(self) -> str:
        """Changes whenever anything changes that distinguishes an answer without an id from another one."""
        created = "" if self.survey_created_at is None else epoch_milliseconds(self.survey_created_at)
        rev = f"|{self.conversation.rev}" if self.is_newly_answered else ""
        return f"answer:{self.conversation.id}:{self.rating}|{self.score}|{created}{rev}"


class Contact(msgspec.Struct, frozen=True):
    """An email address or phone number as stored by the vendor."""

    value: str
    verified: bool = False


class ConversationObserved(msgspec.Struct, frozen=True):
    """The state of a conversation at one revision."""

    conversation: Conversation
    is_open: bool
    """Not done: open or snoozed."""
    status_changed_at: datetime
    """When the conversation became open or done."""
    created_at: datetime
    is_unanswered: bool = False
    """It has a survey without an id and without an answer: the next answer is another fact."""
    status_history: dict[str, bool] = {}
    """Earlier changes of status, by epoch milliseconds: true if open, false if done."""

    def was_open(self, at: datetime) -> bool:
        """Return whether it was open at a time; a created one counts as open until it is known to be done."""
        limit = epoch_milliseconds(at)
        earlier = [(int(changed_at), is_open) for changed_at, is_open in self.status_history.items()]
        earlier = [change for change in earlier if change[0] <= limit]
        return max(earlier)[1] if earlier else self.created_at <= at

    @property
    def fingerprint(self) -> str:
        """Changes whenever anything that is derived from the observation changes."""
        conversation = self.conversation
        flags = f"{self.is_open:d}{conversation.spam:d}{conversation.deleted:d}{self.is_unanswered:d}"
        changed_at = epoch_milliseconds(self.status_changed_at)
        return f"{conversation.customer_id}|{conversation.brand_id}|{flags}|{changed_at}"


class OpenCount(msgspec.Struct, frozen=True):
    """The vendor's own count of a customer's conversations that are not done."""

    count: int
    counted_at: datetime


class CustomerObserved(msgspec.Struct, frozen=True):
    """A customer at one revision, without contacts that several customers share."""

    customer_id: str
    rev: int
    emails: tuple[Contact, ...] = ()
    phones: tuple[Contact, ...] = ()
    attributes: dict[str, Any] = {}
    """The vendor's other attributes, under its own names; the mapping selects from them."""
    open_count: OpenCount | None = None
    removed: bool = False
    """The customer was deleted, or merged into another one."""
    masked: tuple[str, ...] = ()
    """``email`` or ``phone`` if the API key may not read them: unknown, which is not the same as none."""
    updated_at: datetime | None = None
    """When the vendor last updated the customer."""


class RefetchHint(msgspec.Struct, frozen=True):
    """A signal that a conversation should be fetched, since it has a fact that was not received yet."""

    conversation_id: str
    expected_fact_key: str
    """The key of the fact that fetching should bring; once it is recorded, nothing is fetched."""
    occurred_at: datetime
    """When the expected fact occurred."""


Fact = ConversationCreated | ConversationDone | CsatSubmitted
"""A fact that is sent to Klaviyo as an event."""


def epoch_milliseconds(at: datetime) -> int:
    """Return epoch milliseconds, which do not depend on how the vendor wrote the time."""
    return round(at.timestamp() * 1000)


def is_approximate_key(fact_key: str) -> bool:
    """Return whether a key belongs to an approximate fact."""
    return ":~" in fact_key
