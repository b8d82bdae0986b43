"""Which facts are news, and what is owed for each: a pure decision over what is already told and known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kustomer_klaviyo.facts import (
    ConversationClosed,
    ConversationHinted,
    ConversationOpened,
    Fact,
    SatisfactionAnswered,
)
from kustomer_klaviyo.flow.rules import Rules
from kustomer_klaviyo.klaviyo.express import express
from kustomer_klaviyo.kustomer.interpret import SAME_CLOSING
from kustomer_klaviyo.store.deliveries import NewDelivery, Restated, State, Told
from kustomer_klaviyo.store.lookups import Kind, Question
from kustomer_klaviyo.store.people import Identifiers

KINDS: dict[str, type[Fact]] = {
    "opened": ConversationOpened,
    "closed": ConversationClosed,
    "satisfaction": SatisfactionAnswered,
}
KIND_OF = {fact_type: kind for kind, fact_type in KINDS.items()}

LOOKING_UP = "the customer is being looked up in Kustomer"
NOT_READ = "the customer could not be read from Kustomer (see `status`); `retry` asks again"
NO_IDENTIFIER = "no identifier: the customer has neither a usable email nor a phone yet"
GONE = "the customer no longer exists in Kustomer (deleted, or merged into another)"
TAKEN = "no identifier: the customer has only a number, and Klaviyo keeps that under another profile"
REFUSED = "no identifier: Klaviyo takes none of the customer's addresses and numbers; correct them in Kustomer"
NO_CUSTOMER = "the conversation names no customer"
SPAM = "spam: the conversation is marked as spam (option spam=skip)"
IMPORTED = "imported: the conversation was imported into Kustomer (option imported=skip)"

HINT_DELAY_SECONDS = 60.0
"""A survey's answer is mirrored on the customer at once; its own webhook is given this long to arrive."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What is owed for a fact right now."""

    state: State
    reason: str | None = None
    identifier: str | None = None
    call: dict[str, Any] | None = None
    held: bool = False
    """A setting sets it aside, until a newer observation of the conversation no longer gives the reason."""

    def restated(self, key: str, fact: dict[str, Any] | None = None) -> Restated:
        """Return the new standing of a delivery."""
        return Restated(key, self.state, self.reason, self.identifier, self.call, fact, self.held)


def held_by(fact: Fact, rules: Rules) -> str | None:
    """Return why a setting sets the fact aside; None when none does."""
    if fact.conversation.spam and rules.options.spam == "skip":
        return SPAM
    if fact.conversation.imported and rules.options.imported == "skip":
        return IMPORTED
    return rules.away(fact.conversation.brand_id)


def standing(fact: Fact, person: Identifiers | None, rules: Rules) -> Standing:
    """Say what is owed for a fact, given what is known of its customer."""
    held = held_by(fact, rules)
    if held is not None:
        return Standing(State.SKIPPED, held, held=True)
    if fact.conversation.customer_id is None:
        return Standing(State.FAILED, NO_CUSTOMER)
    if person is None:
        return Standing(State.UNIDENTIFIED, LOOKING_UP)
    if person.gone:
        return Standing(State.FAILED, GONE)
    if person.left_out is not None:
        return Standing(State.SKIPPED, person.left_out)
    if person.email is None and person.phone is None:
        return Standing(State.UNIDENTIFIED, _without_identifier(person))
    call = express(
        fact, email=person.email, phone=person.phone, options=rules.express, backfill=fact.conversation.imported
    )
    return Standing(State.WAITING, None, call.email or call.phone, msgspec.to_builtins(call))


def _without_identifier(person: Identifiers) -> str:
    if person.is_refused:
        return REFUSED
    return TAKEN if person.is_taken else NO_IDENTIFIER


def pack(fact: Fact) -> dict[str, Any]:
    """Return the fact as a JSON object, for keeping."""
    packed: dict[str, Any] = msgspec.to_builtins(fact)
    return packed


def unpack(kind: str, document: dict[str, Any]) -> Fact:
    """Return a kept fact."""
    return msgspec.convert(document, KINDS[kind])


@dataclass(slots=True)
class Telling:
    """One batch of facts being told: starts from what was told before, ends with what is owed anew."""

    rules: Rules
    told: Mapping[str, Sequence[Told]]
    people: Mapping[str, Identifiers]
    new: dict[str, NewDelivery] = field(default_factory=dict)
    released: dict[str, Restated] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    """The customers of whom something is told or released."""

    def tell(self, fact: Fact, event_id: str) -> str:
        """Take a fact in; returns in a few words what became of it."""
        if fact.at < self.rules.horizon:
            return "before the horizon"
        known = self._known(fact)
        if known is not None:
            return self._release(fact, known)
        self._add(fact, event_id)
        return f"{KIND_OF[type(fact)]} told"

    def hint(self, hint: ConversationHinted) -> str:
        """Owe a reading of a conversation that something else says has news."""
        told = any(one.key == hint.key for one in self.told.get(hint.conversation_id, ()))
        if told or hint.key in self.new or hint.at < self.rules.horizon:
            return "survey told"
        question = Question(Kind.CONVERSATION, hint.conversation_id, hint.key, HINT_DELAY_SECONDS)
        self.questions.setdefault(f"conversation:{question.id}", question)
        return "survey answered: the conversation will be read unless it tells so itself"

    def _person(self, fact: Fact) -> Identifiers | None:
        customer_id = fact.conversation.customer_id
        return None if customer_id is None else self.people.get(customer_id)

    def _known(self, fact: Fact) -> Told | None:
        kind = KIND_OF[type(fact)]
        before = [one for one in self.told.get(fact.conversation.id, ()) if one.kind == kind]
        before += [
            Told(new.key, new.kind, new.occurred_at, new.held, new.rev)
            for new in self.new.values()
            if new.conversation_id == fact.conversation.id and new.kind == kind
        ]
        return next((one for one in before if one.key == fact.key or _is_same_closing(fact, one)), None)

    def _release(self, fact: Fact, known: Told) -> str:
        """Let go what a setting held back, when a newer observation no longer gives the reason."""
        is_free = known.held and known.key not in self.released and known.rev < fact.conversation.rev
        if not is_free or held_by(fact, self.rules):
            return "already told"
        owed = standing(fact, self._person(fact), self.rules)
        self._ask(fact, owed)
        self._note_subject(fact)
        self.released[known.key] = owed.restated(known.key, pack(fact))
        return f"{known.kind} released"

    def _add(self, fact: Fact, event_id: str) -> None:
        owed = standing(fact, self._person(fact), self.rules)
        self._ask(fact, owed)
        self._note_subject(fact)
        self.new[fact.key] = NewDelivery(
            key=fact.key,
            kind=KIND_OF[type(fact)],
            subject=fact.conversation.customer_id or "",
            conversation_id=fact.conversation.id,
            occurred_at=fact.at,
            rev=fact.conversation.rev,
            state=owed.state,
            fact=pack(fact),
            event_id=event_id,
            reason=owed.reason,
            identifier=owed.identifier,
            call=owed.call,
            held=owed.held,
        )

    def _note_subject(self, fact: Fact) -> None:
        if fact.conversation.customer_id is not None:
            self.subjects.add(fact.conversation.customer_id)

    def _ask(self, fact: Fact, owed: Standing) -> None:
        customer_id = fact.conversation.customer_id
        if owed.reason == LOOKING_UP and customer_id is not None:
            self.questions.setdefault(f"customer:{customer_id}", Question(Kind.CUSTOMER, customer_id))


def _is_same_closing(fact: Fact, told: Told) -> bool:
    """Say whether a closing and a told one are the same, one of them known only approximately."""
    if not isinstance(fact, ConversationClosed):
        return False
    told_approximately = ":~" in told.key
    if told_approximately == fact.approximate:
        return False
    return abs(told.occurred_at - fact.at) <= SAME_CLOSING
