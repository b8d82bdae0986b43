"""What a Kustomer document says happened: events become facts. Pure; knows nothing of Klaviyo or of storage.

Facts are stated, not detected: each observation of a conversation states all it shows, whatever changed.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.facts import (
    Conversation,
    ConversationClosed,
    ConversationHinted,
    ConversationOpened,
    ConversationSeen,
    Counted,
    Fact,
    PersonSeen,
    SatisfactionAnswered,
)
from kustomer_klaviyo.kustomer.contacts import masked_contacts, own_emails, own_phones
from kustomer_klaviyo.kustomer.wire import (
    PROFILE_ATTRIBUTES,
    Attributes,
    Envelope,
    Relationships,
    Resource,
    as_count,
    as_id,
    as_list,
    as_number,
    as_object,
    as_rev,
    as_text,
    as_time,
    changed,
    related_id,
)

SAME_CLOSING = timedelta(seconds=5)
"""How far the time of a change of status and the stated closing may lie apart and still be one closing:
Kustomer's own workers write a conversation milliseconds after one another."""

JUST_NOW = timedelta(minutes=2)
"""So long after a customer's message an agent is likely to look."""

ANSWERED = ("rated", "commented")
"""Survey states that hold an answer (help.kustomer.com/en_us/view-satisfaction-surveys-S1_kAtucU)."""

OPEN = ("open", "snoozed")
"""The states of a conversation that is not done (developer.kustomer.com/docs/concepts/conversations-and-messages)."""

WANTED_EVENTS = (
    "kustomer.conversation.create",
    "kustomer.conversation.update",
    "kustomer.customer.create",
    "kustomer.customer.update",
)
"""The events we subscribe to; any other one is accepted and means nothing here."""


class Statement(msgspec.Struct, frozen=True):
    """All that one event tells."""

    facts: tuple[Fact, ...] = ()
    seen: ConversationSeen | None = None
    person: PersonSeen | None = None
    hint: ConversationHinted | None = None
    conversation_id: str | None = None
    customer_id: str | None = None
    rev: int = 0
    awaits_agent: bool = False
    """The customer has just written, so that an agent is likely to look soon."""


NOTHING = Statement()


def interpret(event: Envelope, *, received_at: datetime) -> Statement:
    """Say what a webhook tells; times it does not name fall back on when it was sent, then received."""
    resource = event.data
    if resource is None:
        return NOTHING
    seen_at = as_time(event.created_at) or received_at
    kind = _kind(event, resource)
    resource_id = as_id(resource.id) or as_id(event.data_id)
    if resource_id is None:
        return NOTHING
    if kind == "conversation":
        return _state_conversation(resource, resource_id, event, seen_at)
    if kind == "customer":
        return state_customer(resource, resource_id, seen_at=seen_at)
    return NOTHING


def _kind(event: Envelope, resource: Resource) -> str | None:
    parts = event.name.split(".") if isinstance(event.name, str) else []
    if len(parts) == 3 and parts[0] == "kustomer":
        return parts[1] if event.name in WANTED_EVENTS else None
    return resource.type if event.name is None and isinstance(resource.type, str) else None


def _state_conversation(resource: Resource, conversation_id: str, event: Envelope, seen_at: datetime) -> Statement:
    """State every fact an observation of a conversation shows, the oldest first."""
    attributes = resource.attributes or Attributes()
    conversation = _conversation(attributes, resource.relationships, conversation_id)
    facts: list[Fact] = [ConversationOpened(conversation, as_time(attributes.created_at) or seen_at)]
    facts += _closings(attributes, conversation, event, seen_at)
    answer = _answer(attributes.satisfaction_level, conversation, event, seen_at)
    if answer is not None:
        facts.append(answer)
    return Statement(
        facts=tuple(facts),
        seen=_seen(attributes, conversation, seen_at),
        conversation_id=conversation_id,
        customer_id=conversation.customer_id,
        rev=conversation.rev,
        awaits_agent=_awaits_agent(attributes, event, seen_at),
    )


def _awaits_agent(attributes: Attributes, event: Envelope, seen_at: datetime) -> bool:
    if attributes.status == "done":
        return False
    written = as_time(as_object(attributes.last_message_in).get("createdAt"))
    is_new = event.name == "kustomer.conversation.create"
    return is_new or (written is not None and abs(seen_at - written) <= JUST_NOW)


def _conversation(attributes: Attributes, relationships: Relationships | None, conversation_id: str) -> Conversation:
    neighbours = relationships or Relationships()
    return Conversation(
        id=conversation_id,
        customer_id=related_id(neighbours.customer),
        subject=as_text(attributes.name),
        channel=_channel(attributes),
        brand_id=related_id(neighbours.brand),
        rev=as_rev(attributes.rev),
        spam=attributes.spam is True,
        imported=as_time(attributes.imported_at) is not None,
    )


def _seen(attributes: Attributes, conversation: Conversation, seen_at: datetime) -> ConversationSeen | None:
    """State whether the conversation is open; a status not known to us says nothing."""
    if attributes.status not in (*OPEN, "done"):
        return None
    is_open = attributes.status != "done"
    turned = as_time(as_object(attributes.modification_history).get("statusAt"))
    done = None if is_open else as_time(as_object(attributes.last_done).get("createdAt"))
    opened_at = as_time(attributes.created_at) or seen_at
    return ConversationSeen(conversation, is_open, turned or done or opened_at, opened_at)


def _channel(attributes: Attributes) -> str | None:
    candidates = [
        *as_list(attributes.channels)[:1],
        as_object(attributes.first_message_in).get("channel"),
        as_object(attributes.last_message_in).get("channel"),
    ]
    return next((channel for channel in map(as_text, candidates) if channel), None)


def _closings(
    attributes: Attributes, conversation: Conversation, event: Envelope, seen_at: datetime
) -> Iterator[ConversationClosed]:
    """State the closings shown: the first, the last, and one that only the status shows yet.

    ``lastDone`` is not cleared when a conversation is opened again, so it heals a closing whose webhook was lost; and
    it may be filled later than the status, so that a ``done`` without a fresh ``lastDone`` is stated approximately.
    """
    first = as_time(as_object(attributes.first_done).get("createdAt"))
    last = as_time(as_object(attributes.last_done).get("createdAt"))
    if first is not None and (last is None or last - first > SAME_CLOSING):
        yield ConversationClosed(conversation, first)
    if last is not None:
        yield ConversationClosed(conversation, last)
    if attributes.status != "done":
        return
    since = as_time(as_object(attributes.modification_history).get("statusAt"))
    if since is None and _became_done(event):
        since = as_time(attributes.updated_at) or seen_at
    if since is not None and (last is None or since - last > SAME_CLOSING):
        yield ConversationClosed(conversation, since, approximate=True)


def _became_done(event: Envelope) -> bool:
    if event.name == "kustomer.conversation.create":
        return True
    return bool(changed(event.changes, "status").get("after") == "done")


def _answer(level: Any, conversation: Conversation, event: Envelope, seen_at: datetime) -> SatisfactionAnswered | None:
    survey = as_object(level)
    if survey.get("status") not in (*ANSWERED, None):
        return None
    rating, score = as_number(survey.get("rating")), as_number(survey.get("score"))
    if rating is None and score is None:
        return None
    return SatisfactionAnswered(
        conversation,
        at=as_time(_first_answer(survey, event).get("updatedAt")) or seen_at,
        response=_response(survey),
        rating=rating,
        score=None if score is None else int(score > 0),
    )


def _first_answer(survey: dict[str, Any], event: Envelope) -> dict[str, Any]:
    """Return the survey as it was when it was answered: a comment's webhook may come first, and tells of before."""
    if survey.get("status") != "commented":
        return survey
    before = as_object(changed(event.changes, "satisfactionLevel").get("before"))
    was_answered = before.get("status") in ANSWERED and _response(before) == _response(survey)
    return before if was_answered else survey


def _response(survey: dict[str, Any]) -> str:
    """Name the survey sent: its response id; where a survey tool set none, when it was made."""
    named = as_id(survey.get("formResponse"))
    if named is not None:
        return named
    made = as_time(survey.get("createdAt")) or as_time(survey.get("sentAt"))
    return "unnamed" if made is None else str(round(made.timestamp() * 1000))


def state_customer(resource: Resource, customer_id: str, *, seen_at: datetime) -> Statement:
    """State who a customer is, and the conversation whose survey they answered last."""
    attributes = resource.attributes or Attributes()
    person = PersonSeen(
        customer_id,
        rev=as_rev(attributes.rev),
        emails=own_emails(attributes),
        phones=own_phones(attributes),
        attributes={
            name: value
            for name, field in PROFILE_ATTRIBUTES.items()
            if (value := getattr(attributes, field)) is not None
        },
        counted=_counted(attributes, seen_at),
        at=as_time(attributes.updated_at) or seen_at,
        gone=attributes.deleted is True,
        masked=masked_contacts(attributes),
    )
    hint = _hint(as_object(as_object(attributes.satisfaction_level).get("lastSatisfaction")), seen_at)
    return Statement(person=person, hint=hint, customer_id=customer_id, rev=person.rev)


def _counted(attributes: Attributes, seen_at: datetime) -> Counted | None:
    counts = as_object(attributes.conversation_counts)
    numbers = [as_count(counts[state]) for state in OPEN if state in counts]
    total = as_count(sum(filter(None, numbers)))
    if not numbers or None in numbers or total is None:
        return None
    return Counted(total, as_time(attributes.updated_at) or seen_at)


def _hint(survey: dict[str, Any], seen_at: datetime) -> ConversationHinted | None:
    """Tell of an answered survey mirrored on the customer: a second signal should the conversation's own be lost."""
    conversation_id = as_id(survey.get("conversation"))
    if conversation_id is None or survey.get("status") not in ANSWERED:
        return None
    return ConversationHinted(
        conversation_id,
        key=f"satisfaction:{conversation_id}:{_response(survey)}",
        at=as_time(survey.get("updatedAt")) or seen_at,
    )
