"""Which facts are news, and what is owed for each: a pure decision over what is already told and known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.facts import (
    ConversationClosed,
    ConversationHinted,
    ConversationOpened,
    Fact,
    SatisfactionAnswered,
)
from kustomer_klaviyo.klaviyo.event_request import express
from kustomer_klaviyo.planning.same_fact import is_same
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.conversations import Newest
from kustomer_klaviyo.store.customers import Identifiers
from kustomer_klaviyo.store.lookups import Kind, Question
from kustomer_klaviyo.store.outbox import NewDelivery, Restated, State
from kustomer_klaviyo.store.recorded_facts import Told

KINDS: dict[str, type[Fact]] = {
    "opened": ConversationOpened,
    "closed": ConversationClosed,
    "satisfaction": SatisfactionAnswered,
}
KIND_OF = {fact_type: kind for kind, fact_type in KINDS.items()}

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

    def restated(self, key: str, fact: Fact | None = None) -> Restated:
        """Return the new standing of a delivery; with a fact, of what is told now and of whom."""
        if fact is None:
            return Restated(key, self.state, self.reason, self.identifier, self.call, held=self.held)
        subject, rev = fact.conversation.customer_id or "", fact.conversation.rev
        return Restated(
            key, self.state, self.reason, self.identifier, self.call, pack(fact), self.held, subject=subject, rev=rev
        )


def held_by(fact: Fact, rules: Rules) -> str | None:
    """Return why a setting, or that the conversation is deleted, sets the fact aside; None when nothing does."""
    if fact.at < rules.horizon:
        return Reason.BEFORE_SINCE
    if fact.conversation.deleted:
        return Reason.DELETED
    if fact.conversation.spam and rules.options.spam == "skip":
        return Reason.SPAM
    if fact.conversation.imported and rules.options.imported == "skip":
        return Reason.IMPORTED
    return rules.away(fact.conversation.brand_id)


def standing(fact: Fact, person: Identifiers | None, rules: Rules) -> Standing:
    """Say what is owed for a fact, given what is known of its customer."""
    held = held_by(fact, rules)
    if held is not None:
        return Standing(State.SKIPPED, held, held=True)
    if fact.conversation.customer_id is None:
        return Standing(State.UNIDENTIFIED, Reason.NO_CUSTOMER)
    if person is None:
        return Standing(State.UNIDENTIFIED, Reason.LOOKING_UP)
    if person.gone:
        return Standing(State.FAILED, Reason.CUSTOMER_GONE)
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
        return Reason.CONTACTS_REFUSED
    return Reason.PHONE_TAKEN if person.is_taken else Reason.NO_IDENTIFIER


def pack(fact: Fact) -> dict[str, Any]:
    """Return the fact as a JSON object, for keeping."""
    packed: dict[str, Any] = msgspec.to_builtins(fact)
    return packed


def unpack(kind: str, document: dict[str, Any]) -> Fact:
    """Return a kept fact."""
    return msgspec.convert(document, KINDS[kind])


def as_now(fact: Fact, newest: Newest | None) -> Fact:
    """Return the fact as its conversation is now: whose it is, and whether anything holds it back."""
    if newest is None:
        return fact
    conversation, latest = fact.conversation, newest.conversation
    if latest.rev < conversation.rev:
        latest = conversation
    now = msgspec.structs.replace(
        conversation,
        customer_id=newest.customer_id or conversation.customer_id,
        brand_id=latest.brand_id,
        spam=latest.spam,
        imported=latest.imported,
        deleted=latest.deleted,
    )
    return msgspec.structs.replace(fact, conversation=now)


@dataclass(slots=True)
class Telling:
    """One batch of facts being told: starts from what was told before, ends with what is owed anew."""

    rules: Rules
    told: Mapping[str, Sequence[Told]]
    people: Mapping[str, Identifiers]
    newest: Mapping[str, Newest] = field(default_factory=dict)
    """How each conversation stands by the newest observation."""
    new: dict[str, NewDelivery] = field(default_factory=dict)
    released: dict[str, Restated] = field(default_factory=dict)
    questions: dict[str, Question] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    """The customers of whom something is told or released."""

    def tell(self, fact: Fact, event_id: str) -> str:
        """Take a fact in; returns in a few words what became of it."""
        fact = as_now(fact, self.newest.get(fact.conversation.id))
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
        self._question(question)
        return "survey answered: the conversation will be read unless it tells so itself"

    def _person(self, fact: Fact) -> Identifiers | None:
        customer_id = fact.conversation.customer_id
        return None if customer_id is None else self.people.get(customer_id)

    def follow(self) -> None:
        """Let what was not sent yet follow its conversation: to another customer, or aside with it."""
        for conversation_id, newest in self.newest.items():
            for told in self.told.get(conversation_id, ()):
                if _is_unsent(told) and told.key not in self.released and told.fact is not None:
                    self._follow(told, unpack(told.kind, told.fact), newest)

    def _follow(self, told: Told, fact: Fact, newest: Newest) -> None:
        now, rev = as_now(fact, newest), newest.conversation.rev
        owner = now.conversation.customer_id or ""
        is_moved = owner != told.subject and rev >= told.rev
        is_turned = (held_by(now, self.rules) is not None) != told.held and rev > told.rev
        if is_moved or is_turned:
            if told.subject:
                self.subjects.add(told.subject)
            self._restate(told.key, now, rev)

    def _known(self, fact: Fact) -> Told | None:
        kind, conversation_id = KIND_OF[type(fact)], fact.conversation.id
        before = [one for one in self.told.get(conversation_id, ()) if one.kind == kind]
        before += [
            Told(new.key, new.kind, new.occurred_at, new.held, new.rev, new.state, new.subject, new.fact)
            for new in self.new.values()
            if new.conversation_id == conversation_id and new.kind == kind
        ]
        newest = self.newest.get(conversation_id)
        unanswered_rev = 0 if newest is None else newest.unanswered_rev
        return next((one for one in before if is_same(fact, one, unanswered_rev=unanswered_rev)), None)

    def _release(self, fact: Fact, known: Told) -> str:
        """Let go what a setting held back, when a newer observation no longer gives the reason."""
        is_free = known.held and known.key not in self.released and known.rev < fact.conversation.rev
        if not is_free or held_by(fact, self.rules):
            return "already told"
        self._restate(known.key, _first_told(fact, known), fact.conversation.rev)
        return f"{known.kind} released"

    def _restate(self, key: str, fact: Fact, rev: int) -> None:
        owed = standing(fact, self._person(fact), self.rules)
        self._ask(fact, owed)
        self._note_subject(fact)
        self.released[key] = replace(owed.restated(key, fact), rev=rev)

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
        if fact.conversation.customer_id is not None and fact.at >= self.rules.horizon:
            self.subjects.add(fact.conversation.customer_id)

    def _ask(self, fact: Fact, owed: Standing) -> None:
        conversation = fact.conversation
        if owed.reason == Reason.LOOKING_UP and conversation.customer_id is not None:
            self._question(Question(Kind.CUSTOMER, conversation.customer_id))
        elif owed.reason == Reason.NO_CUSTOMER:
            self._question(Question(Kind.CONVERSATION, conversation.id, delay=HINT_DELAY_SECONDS))

    def _question(self, question: Question) -> None:
        self.questions.setdefault(f"{question.kind}:{question.id}", question)


def _first_told(fact: Fact, told: Told) -> Fact:
    """Return a fact at the time that was told first: a survey's answer is written upon later."""
    if not isinstance(fact, SatisfactionAnswered):
        return fact
    return msgspec.structs.replace(fact, at=min(fact.at, told.occurred_at))


def _is_unsent(told: Told) -> bool:
    """Say whether a fact was not sent yet, for a reason that its conversation may lift."""
    waits = told.state in (State.WAITING, State.UNIDENTIFIED)
    return waits or told.held or (told.state is State.FAILED and told.reason in (Reason.CUSTOMER_GONE, Reason.NOT_READ))
