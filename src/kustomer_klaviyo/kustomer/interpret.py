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
)
from kustomer_klaviyo.kustomer.contacts import masked_contacts, own_emails, own_phones
from kustomer_klaviyo.kustomer.surveys import answer_of, hint_of, is_unanswered
from kustomer_klaviyo.kustomer.times import Times, is_ahead, times
from kustomer_klaviyo.kustomer.wire import (
    PROFILE_ATTRIBUTES,
    Attributes,
    Envelope,
    Relationships,
    Resource,
    as_count,
    as_id,
    as_list,
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

OPEN = ("open", "snoozed")
"""The states of a conversation that is not done (developer.kustomer.com/docs/concepts/conversations-and-messages)."""

PAST = ("createdAt", "signedUpAt", "birthdayAt")
"""Attributes of a customer that can only lie in the past."""

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
    notes: tuple[str, ...] = ()
    """What of it could not be used, and why."""


NOTHING = Statement()


def interpret(event: Envelope, *, received_at: datetime) -> Statement:
    """Say what a webhook tells; times it does not name fall back on when it was sent, then received."""
    resource = event.data
    if resource is None:
        return NOTHING
    read = times(event.created_at, received_at=received_at)
    kind = _kind(event, resource)
    resource_id = as_id(resource.id) or as_id(event.data_id)
    if resource_id is None:
        return NOTHING
    if kind == "conversation":
        return _state_conversation(resource, resource_id, event, read)
    if kind == "customer":
        return _state_customer(resource, resource_id, read)
    return NOTHING


def _kind(event: Envelope, resource: Resource) -> str | None:
    parts = event.name.split(".") if isinstance(event.name, str) else []
    if len(parts) == 3 and parts[0] == "kustomer":
        return parts[1] if event.name in WANTED_EVENTS else None
    return resource.type if event.name is None and isinstance(resource.type, str) else None


def _state_conversation(resource: Resource, conversation_id: str, event: Envelope, read: Times) -> Statement:
    """State every fact an observation of a conversation shows, the oldest first."""
    attributes = resource.attributes or Attributes()
    conversation = _conversation(attributes, resource.relationships, conversation_id)
    opened_at = read.read(attributes.created_at, "createdAt") or read.seen_at
    facts: list[Fact] = [ConversationOpened(conversation, opened_at)]
    facts += _closings(attributes, conversation, event, read)
    answer = answer_of(attributes.satisfaction_level, conversation, event, read)
    if answer is not None:
        facts.append(answer)
    return Statement(
        facts=tuple(facts),
        seen=_seen(attributes, conversation, opened_at, read),
        conversation_id=conversation_id,
        customer_id=conversation.customer_id,
        rev=conversation.rev,
        awaits_agent=_awaits_agent(attributes, event, read.seen_at),
        notes=tuple(read.notes),
    )


def _awaits_agent(attributes: Attributes, event: Envelope, seen_at: datetime) -> bool:
    if attributes.status == "done" or attributes.deleted is True:
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
        deleted=attributes.deleted is True,
    )


def _seen(
    attributes: Attributes, conversation: Conversation, opened_at: datetime, read: Times
) -> ConversationSeen | None:
    """State whether the conversation is open; a status not known to us says nothing. A deleted one is not open."""
    if attributes.status not in (*OPEN, "done") and not conversation.deleted:
        return None
    is_open = attributes.status in OPEN and not conversation.deleted
    turned = read.read(as_object(attributes.modification_history).get("statusAt"), "modificationHistory.statusAt")
    done = None if is_open else _time_of(attributes.last_done, "lastDone", read)
    since = turned or done or opened_at
    if conversation.deleted and attributes.status != "done":
        since = read.read(attributes.updated_at, "updatedAt") or read.seen_at
    return ConversationSeen(conversation, is_open, since, opened_at, is_unanswered(attributes.satisfaction_level))


def _time_of(moment: Any, name: str, read: Times) -> datetime | None:
    return read.read(as_object(moment).get("createdAt"), f"{name}.createdAt")


def _channel(attributes: Attributes) -> str | None:
    candidates = [
        *as_list(attributes.channels)[:1],
        as_object(attributes.first_message_in).get("channel"),
        as_object(attributes.last_message_in).get("channel"),
    ]
    return next((channel for channel in map(as_text, candidates) if channel), None)


def _closings(
    attributes: Attributes, conversation: Conversation, event: Envelope, read: Times
) -> Iterator[ConversationClosed]:
    """State the closings shown: the first, the last, and one that only the status shows yet.

    ``lastDone`` is not cleared when a conversation is opened again, so it heals a closing whose webhook was lost; and
    it may be filled later than the status, so that a ``done`` without a fresh ``lastDone`` is stated approximately.
    """
    first = _time_of(attributes.first_done, "firstDone", read)
    last = _time_of(attributes.last_done, "lastDone", read)
    if first is not None and (last is None or last - first > SAME_CLOSING):
        yield ConversationClosed(conversation, first)
    if last is not None:
        yield ConversationClosed(conversation, last)
    if attributes.status != "done":
        return
    since = read.read(as_object(attributes.modification_history).get("statusAt"), "modificationHistory.statusAt")
    if since is None and _became_done(event):
        since = read.read(attributes.updated_at, "updatedAt") or read.seen_at
    if since is not None and (last is None or since - last > SAME_CLOSING):
        yield ConversationClosed(conversation, since, approximate=True)


def _became_done(event: Envelope) -> bool:
    if event.name == "kustomer.conversation.create":
        return True
    return bool(changed(event.changes, "status").get("after") == "done")


def state_customer(resource: Resource, customer_id: str, *, seen_at: datetime) -> Statement:
    """State who a customer read at a time is, and the conversation whose survey they answered last."""
    return _state_customer(resource, customer_id, times(None, received_at=seen_at))


def _state_customer(resource: Resource, customer_id: str, read: Times) -> Statement:
    attributes = resource.attributes or Attributes()
    person = PersonSeen(
        customer_id,
        rev=as_rev(attributes.rev),
        emails=own_emails(attributes),
        phones=own_phones(attributes),
        attributes={
            name: value
            for name, field in PROFILE_ATTRIBUTES.items()
            if (value := getattr(attributes, field)) is not None and not _is_ahead(name, value, read)
        },
        counted=_counted(attributes, read),
        at=read.read(attributes.updated_at, "updatedAt") or read.seen_at,
        gone=attributes.deleted is True,
        masked=masked_contacts(attributes),
    )
    hint = hint_of(as_object(attributes.satisfaction_level).get("lastSatisfaction"), read)
    return Statement(person=person, hint=hint, customer_id=customer_id, rev=person.rev, notes=tuple(read.notes))


def _is_ahead(name: str, value: Any, read: Times) -> bool:
    """Say whether a time of the past, as mapped to profiles, lies in the future."""
    return name in PAST and is_ahead(value, read.latest) and read.read(value, name) is None


def _counted(attributes: Attributes, read: Times) -> Counted | None:
    counts = as_object(attributes.conversation_counts)
    numbers = [as_count(counts[state]) for state in OPEN if state in counts]
    total = as_count(sum(filter(None, numbers)))
    if not numbers or None in numbers or total is None:
        return None
    return Counted(total, read.read(attributes.updated_at, "updatedAt") or read.seen_at)
