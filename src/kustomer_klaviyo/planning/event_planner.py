"""Plans events: which facts are new, and what is delivered for each. Pure, given what is recorded and known."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import msgspec

from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import ConversationCreated, ConversationDone, CsatSubmitted, Fact, RefetchHint
from kustomer_klaviyo.klaviyo.event_request import build_event
from kustomer_klaviyo.planning.same_fact import is_same_fact
from kustomer_klaviyo.planning.skip_reasons import event_skip_reason
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store.conversations import NewestObservation
from kustomer_klaviyo.store.customers import Identifiers
from kustomer_klaviyo.store.lookups import Lookup, LookupKind
from kustomer_klaviyo.store.outbox import DeliveryKind, DeliveryState, NewDelivery, ReplannedDelivery
from kustomer_klaviyo.store.recorded_facts import RecordedFact

FACT_TYPES: dict[DeliveryKind, type[Fact]] = {
    DeliveryKind.CREATED: ConversationCreated,
    DeliveryKind.DONE: ConversationDone,
    DeliveryKind.CSAT: CsatSubmitted,
}
KIND_OF = {fact_type: kind for kind, fact_type in FACT_TYPES.items()}

REFETCH_DELAY_SECONDS = 60.0
"""A survey's answer is copied to the customer at once; its own webhook has this long to arrive."""


class PlanResult(StrEnum):
    """The result of planning one fact or hint."""

    RECORDED = "recorded"
    ALREADY_RECORDED = "already_recorded"
    RELEASED = "released"
    REFETCH_SCHEDULED = "refetch_scheduled"


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """The state and the request of one fact's delivery."""

    state: DeliveryState
    reason: str | None = None
    identifier: str | None = None
    request: dict[str, Any] | None = None
    releasable: bool = False
    """Skipped by a setting, until a newer revision of the conversation no longer gives the reason."""
    notes: tuple[str, ...] = ()

    def to_replanned(self, fact_key: str, fact: Fact | None = None) -> ReplannedDelivery:
        """Return the plan for an existing delivery; with a fact, also its new content, customer and revision."""
        replanned = ReplannedDelivery(
            fact_key, self.state, self.reason, self.identifier, self.request, releasable=self.releasable
        )
        if fact is None:
            return replanned
        conversation = fact.conversation
        document = encode_fact(fact, self.notes)
        return replace(replanned, fact=document, subject=conversation.customer_id or "", rev=conversation.rev)


def plan_delivery(fact: Fact, customer: Identifiers | None, rules: ConnectionRules) -> DeliveryPlan:
    """Decide what is delivered for a fact, given what is known about its customer."""
    skip_reason = event_skip_reason(fact, rules)
    if skip_reason is not None:
        route = rules.describe_other_route(fact.conversation.brand_id)
        notes = (route,) if skip_reason is Reason.NOT_ROUTED_HERE and route else ()
        return DeliveryPlan(DeliveryState.SKIPPED, skip_reason, releasable=True, notes=notes)
    if fact.conversation.customer_id is None:
        return DeliveryPlan(DeliveryState.UNIDENTIFIED, Reason.NO_CUSTOMER)
    if customer is None:
        return DeliveryPlan(DeliveryState.UNIDENTIFIED, Reason.LOOKING_UP_CUSTOMER)
    if customer.removed:
        return DeliveryPlan(DeliveryState.FAILED, Reason.CUSTOMER_REMOVED)
    if customer.skip_reason is not None:
        return DeliveryPlan(DeliveryState.SKIPPED, customer.skip_reason)
    if customer.email is None and customer.phone is None:
        return DeliveryPlan(DeliveryState.UNIDENTIFIED, _missing_identifier(customer))
    return _plan_request(fact, customer, rules)


def _plan_request(fact: Fact, customer: Identifiers, rules: ConnectionRules) -> DeliveryPlan:
    request = build_event(
        fact,
        email=customer.email,
        phone=customer.phone,
        settings=rules.event_settings,
        backfill=fact.conversation.kustomer_import,
    )
    return DeliveryPlan(DeliveryState.PENDING, None, request.email or request.phone, msgspec.to_builtins(request))


def _missing_identifier(customer: Identifiers) -> Reason:
    if customer.has_refused_contact:
        return Reason.CONTACTS_REFUSED
    return Reason.PHONE_CONFLICT if customer.has_phone_conflict else Reason.NO_IDENTIFIER


def encode_fact(fact: Fact, notes: Sequence[str] = ()) -> dict[str, Any]:
    """Return the fact as a JSON object, to be stored."""
    document: dict[str, Any] = msgspec.to_builtins(fact)
    return document | {"notes": list(notes)} if notes else document


def decode_fact(kind: str, document: dict[str, Any]) -> Fact:
    """Return a stored fact."""
    return msgspec.convert(document, FACT_TYPES[DeliveryKind(kind)])


def with_latest_conversation(fact: Fact, newest: NewestObservation | None) -> Fact:
    """Return the fact with its conversation's current customer, brand and flags."""
    if newest is None:
        return fact
    conversation, latest = fact.conversation, newest.conversation
    if latest.rev < conversation.rev:
        latest = conversation
    updated = msgspec.structs.replace(
        conversation,
        customer_id=newest.customer_id or conversation.customer_id,
        brand_id=latest.brand_id,
        spam=latest.spam,
        kustomer_import=latest.kustomer_import,
        deleted=latest.deleted,
    )
    return msgspec.structs.replace(fact, conversation=updated)


@dataclass(slots=True)
class EventPlanner:
    """Plans the facts of one batch of events; collects new deliveries, replanned ones and lookups."""

    rules: ConnectionRules
    recorded: Mapping[str, Sequence[RecordedFact]]
    """The recorded facts of each conversation."""
    customers: Mapping[str, Identifiers]
    conversations: Mapping[str, NewestObservation] = field(default_factory=dict)
    """The newest observation of each conversation."""
    new_deliveries: dict[str, NewDelivery] = field(default_factory=dict)
    replanned: dict[str, ReplannedDelivery] = field(default_factory=dict)
    lookups: dict[str, Lookup] = field(default_factory=dict)
    subjects: set[str] = field(default_factory=set)
    """The customers with a new or replanned delivery."""

    def plan(self, fact: Fact, event_id: str) -> PlanResult:
        """Plan a fact of an event."""
        fact = with_latest_conversation(fact, self.conversations.get(fact.conversation.id))
        recorded = self._find_recorded(fact)
        if recorded is not None:
            return self._release(fact, recorded)
        self._add(fact, event_id)
        return PlanResult.RECORDED

    def plan_refetch(self, hint: RefetchHint) -> PlanResult:
        """Schedule a lookup of a conversation, unless the expected fact is recorded."""
        key = hint.expected_fact_key
        is_recorded = any(recorded.fact_key == key for recorded in self.recorded.get(hint.conversation_id, ()))
        if is_recorded or key in self.new_deliveries or hint.occurred_at < self.rules.since:
            return PlanResult.ALREADY_RECORDED
        self._enqueue(Lookup(LookupKind.CONVERSATION, hint.conversation_id, key, REFETCH_DELAY_SECONDS))
        return PlanResult.REFETCH_SCHEDULED

    def replan_unsent(self) -> None:
        """Replan unsent facts whose conversation has another customer now, or is skipped or released."""
        for conversation_id, newest in self.conversations.items():
            for recorded in self.recorded.get(conversation_id, ()):
                if _is_unsent(recorded) and recorded.fact_key not in self.replanned and recorded.fact is not None:
                    self._replan_unsent(recorded, decode_fact(recorded.kind, recorded.fact), newest)

    def _replan_unsent(self, recorded: RecordedFact, fact: Fact, newest: NewestObservation) -> None:
        current, rev = with_latest_conversation(fact, newest), newest.conversation.rev
        is_moved = (current.conversation.customer_id or "") != recorded.subject and rev >= recorded.rev
        is_skipped = event_skip_reason(current, self.rules) is not None
        if is_moved or (is_skipped != recorded.releasable and rev > recorded.rev):
            if recorded.subject:
                self.subjects.add(recorded.subject)
            self._replan(recorded.fact_key, current, rev)

    def _find_recorded(self, fact: Fact) -> RecordedFact | None:
        """Return the recorded fact that is the same, of an earlier batch or of this one."""
        kind, conversation_id = KIND_OF[type(fact)], fact.conversation.id
        candidates = [recorded for recorded in self.recorded.get(conversation_id, ()) if recorded.kind == kind]
        candidates += [
            _as_recorded(delivery)
            for delivery in self.new_deliveries.values()
            if delivery.conversation_id == conversation_id and delivery.kind == kind
        ]
        newest = self.conversations.get(conversation_id)
        unanswered_rev = 0 if newest is None else newest.unanswered_rev
        same = (recorded for recorded in candidates if is_same_fact(fact, recorded, unanswered_rev=unanswered_rev))
        return next(same, None)

    def _release(self, fact: Fact, recorded: RecordedFact) -> PlanResult:
        """Release a skipped fact if a newer revision no longer gives the reason."""
        is_older = recorded.rev < fact.conversation.rev
        is_candidate = recorded.releasable and recorded.fact_key not in self.replanned and is_older
        if not is_candidate or event_skip_reason(fact, self.rules):
            return PlanResult.ALREADY_RECORDED
        self._replan(recorded.fact_key, _at_first_time(fact, recorded), fact.conversation.rev)
        return PlanResult.RELEASED

    def _replan(self, fact_key: str, fact: Fact, rev: int) -> None:
        self.replanned[fact_key] = replace(self._plan_delivery(fact).to_replanned(fact_key, fact), rev=rev)

    def _add(self, fact: Fact, event_id: str) -> None:
        plan = self._plan_delivery(fact)
        self.new_deliveries[fact.fact_key] = NewDelivery(
            fact_key=fact.fact_key,
            kind=KIND_OF[type(fact)],
            subject=fact.conversation.customer_id or "",
            conversation_id=fact.conversation.id,
            occurred_at=fact.occurred_at,
            rev=fact.conversation.rev,
            state=plan.state,
            fact=encode_fact(fact, plan.notes),
            event_id=event_id,
            reason=plan.reason,
            identifier=plan.identifier,
            request=plan.request,
            releasable=plan.releasable,
        )

    def _plan_delivery(self, fact: Fact) -> DeliveryPlan:
        """Plan a delivery, and note its customer and the lookup that it needs."""
        conversation = fact.conversation
        customer_id = conversation.customer_id
        plan = plan_delivery(fact, None if customer_id is None else self.customers.get(customer_id), self.rules)
        if plan.reason == Reason.LOOKING_UP_CUSTOMER and customer_id is not None:
            self._enqueue(Lookup(LookupKind.CUSTOMER, customer_id))
        elif plan.reason == Reason.NO_CUSTOMER:
            self._enqueue(Lookup(LookupKind.CONVERSATION, conversation.id, delay_seconds=REFETCH_DELAY_SECONDS))
        if customer_id is not None and fact.occurred_at >= self.rules.since:
            self.subjects.add(customer_id)
        return plan

    def _enqueue(self, lookup: Lookup) -> None:
        self.lookups.setdefault(f"{lookup.kind}:{lookup.id}", lookup)


def _as_recorded(delivery: NewDelivery) -> RecordedFact:
    return RecordedFact(
        delivery.fact_key,
        delivery.kind,
        delivery.occurred_at,
        delivery.releasable,
        delivery.rev,
        delivery.state,
        delivery.subject,
        delivery.fact,
    )


def _at_first_time(fact: Fact, recorded: RecordedFact) -> Fact:
    """Return a survey answer with the time that was recorded first, since answers are edited later."""
    if not isinstance(fact, CsatSubmitted):
        return fact
    return msgspec.structs.replace(fact, occurred_at=min(fact.occurred_at, recorded.occurred_at))


def _is_unsent(recorded: RecordedFact) -> bool:
    """Return whether the fact was not sent, for a reason that its conversation may remove."""
    if recorded.releasable or recorded.state in (DeliveryState.PENDING, DeliveryState.UNIDENTIFIED):
        return True
    reasons = (Reason.CUSTOMER_REMOVED, Reason.CUSTOMER_NOT_READ)
    return recorded.state is DeliveryState.FAILED and recorded.reason in reasons
