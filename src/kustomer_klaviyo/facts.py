"""What happened: vendor-neutral facts, each with a key made of the thing itself.

The narrow waist of the house: Kustomer events become facts, facts become Klaviyo calls. Knows neither vendor.
"""

from datetime import datetime
from typing import Any

import msgspec


class Conversation(msgspec.Struct, frozen=True):
    """What every fact about one conversation carries along."""

    id: str
    customer_id: str | None
    """None when the observation names no customer."""
    subject: str | None = None
    channel: str | None = None
    brand_id: str | None = None
    rev: int = 0
    """The vendor's revision of the observation; a higher one is newer."""
    spam: bool = False
    imported: bool = False
    deleted: bool = False


class ConversationOpened(msgspec.Struct, frozen=True):
    """A conversation began at ``at``."""

    conversation: Conversation
    at: datetime

    @property
    def key(self) -> str:
        """One per conversation."""
        return f"opened:{self.conversation.id}"


class ConversationClosed(msgspec.Struct, frozen=True):
    """A conversation was marked done at ``at``; a conversation may be closed many times."""

    conversation: Conversation
    at: datetime
    approximate: bool = False
    """The vendor did not state the closing itself, only the change of status: ``at`` may be seconds off."""

    @property
    def key(self) -> str:
        """One per closing. A closing known only approximately never takes the key of one stated exactly."""
        return f"closed:{self.conversation.id}:{'~' if self.approximate else ''}{milliseconds(self.at)}"


class SatisfactionAnswered(msgspec.Struct, frozen=True):
    """The customer answered the satisfaction survey ``response`` at ``at``."""

    conversation: Conversation
    at: datetime
    response: str | None
    """Names the survey sent, so that a second survey of the same conversation is another fact; None where the vendor
    does not name it: then ``is_turning`` and what was told before decide whether it is another one."""
    rating: float | None
    """Normalised by the vendor to 1 to 5; None when only a score was given."""
    score: int | None
    """1 good, 0 bad, as the vendor has it; used only where there is no rating."""
    made_at: datetime | None = None
    """When the vendor says that the survey was made; tools that write surveys may rewrite it."""
    is_turning: bool = False
    """The observation shows the survey turning from unanswered to answered."""

    @property
    def key(self) -> str:
        """One per survey sent, however often its answer is touched up."""
        return f"satisfaction:{self.conversation.id}:{self.response or f'~{milliseconds(self.at)}'}"

    @property
    def evidence(self) -> str:
        """A text that changes whenever anything does that tells an unnamed answer from another."""
        made = "" if self.made_at is None else milliseconds(self.made_at)
        turn = f"|{self.conversation.rev}" if self.is_turning else ""
        return f"answer:{self.conversation.id}:{self.rating}|{self.score}|{made}{turn}"


class Contact(msgspec.Struct, frozen=True):
    """An email address or phone number as the vendor holds it."""

    value: str
    verified: bool = False


class ConversationSeen(msgspec.Struct, frozen=True):
    """A conversation as one observation shows it: open, or done."""

    conversation: Conversation
    is_open: bool
    """Not done: waiting for an agent, for the customer, or put aside until later."""
    since: datetime
    """When it became so."""
    opened_at: datetime
    is_unanswered: bool = False
    """A survey that the vendor does not name was sent and is not answered (yet): the next answer is another one."""
    turns: dict[str, bool] = {}
    """When it opened (true) or was done (false) before, as far as that was seen, by epoch milliseconds."""

    def was_open(self, at: datetime) -> bool:
        """Say whether it was open at a time; one that had begun counts as open until it is known to be done."""
        before = [(int(moment), is_open) for moment, is_open in self.turns.items() if int(moment) <= milliseconds(at)]
        if before:
            return max(before)[1]
        return self.opened_at <= at

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever what is said here does."""
        one = self.conversation
        flags = f"{self.is_open:d}{one.spam:d}{one.deleted:d}{self.is_unanswered:d}"
        return f"{one.customer_id}|{one.brand_id}|{flags}|{milliseconds(self.since)}"


class Counted(msgspec.Struct, frozen=True):
    """How many conversations of a customer the vendor itself counts as not done."""

    open: int
    at: datetime


class PersonSeen(msgspec.Struct, frozen=True):
    """A customer as one observation shows them; contacts shared between customers are left out."""

    customer_id: str
    rev: int
    emails: tuple[Contact, ...] = ()
    phones: tuple[Contact, ...] = ()
    attributes: dict[str, Any] = {}
    """What else the vendor holds, by its own names, unread: the mapping says what of it is wanted."""
    counted: Counted | None = None
    gone: bool = False
    """The vendor says that this customer was deleted, or became part of another."""
    masked: tuple[str, ...] = ()
    """``email`` or ``phone`` where the API key may not read them: not known is not the same as none."""
    at: datetime | None = None
    """When the vendor last wrote what is observed."""


class ConversationHinted(msgspec.Struct, frozen=True):
    """Something seen elsewhere says that this conversation has news worth reading it for."""

    conversation_id: str
    key: str
    """The key of the fact that the reading is expected to bring; no reading is owed once it is told."""
    at: datetime
    """When that happened."""


Fact = ConversationOpened | ConversationClosed | SatisfactionAnswered
"""What is told to Klaviyo."""


def milliseconds(at: datetime) -> int:
    """Epoch milliseconds: one moment has one text whatever way the vendor wrote it."""
    return round(at.timestamp() * 1000)
