"""Interprets a Kustomer document: returns the facts that it contains. Pure; knows neither Klaviyo nor storage.

Facts do not depend on what changed: each document of a conversation yields every fact that it shows.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kustomer_klaviyo.facts import (
    Conversation,
    ConversationCreated,
    ConversationDone,
    ConversationObserved,
    CustomerObserved,
    Fact,
    OpenCount,
    RefetchHint,
)
from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.kustomer.contacts import masked_contacts, own_emails, own_phones
from kustomer_klaviyo.kustomer.surveys import is_unanswered, read_csat, read_refetch_hint
from kustomer_klaviyo.kustomer.times import TimeReader, is_after, time_reader
from kustomer_klaviyo.kustomer.wire import (
    PROFILE_ATTRIBUTES,
    Attributes,
    Envelope,
    Relationships,
    Resource,
    as_count,
    as_id,
    as_rev,
    as_text,
    as_time,
    read_change,
    related_id,
)

SAME_DONE_WINDOW = timedelta(seconds=5)
"""A change of status and ``lastDone`` at most this far apart are the same fact: Kustomer's own workers write a
conversation several times within milliseconds."""

RECENT_MESSAGE_WINDOW = timedelta(minutes=2)
"""An agent is likely to look within this time after a customer's message."""

OPEN_STATUSES = ("open", "snoozed")
"""The statuses of a conversation that is not done (developer.kustomer.com/docs/concepts/conversations-and-messages)."""

PAST_ATTRIBUTES = ("createdAt", "signedUpAt", "birthdayAt")
"""Attributes of a customer whose time can only be in the past."""

SUBSCRIBED_EVENTS = (
    "kustomer.conversation.create",
    "kustomer.conversation.update",
    "kustomer.customer.create",
    "kustomer.customer.update",
)
"""The events of the webhook; any other event is accepted and ignored."""


class Observation(msgspec.Struct, frozen=True):
    """Everything that one event contains."""

    facts: tuple[Fact, ...] = ()
    conversation: ConversationObserved | None = None
    customer: CustomerObserved | None = None
    refetch_hint: RefetchHint | None = None
    conversation_id: str | None = None
    customer_id: str | None = None
    rev: int = 0
    awaits_agent: bool = False
    """The customer has just written, so an agent is likely to look soon."""
    notes: tuple[str, ...] = ()
    """Values that could not be used, and why."""


EMPTY_OBSERVATION = Observation()


def interpret(event: Envelope, *, received_at: datetime) -> Observation:
    """Interpret a webhook; missing times fall back to when it was sent, then to when it was received."""
    resource = event.data
    if resource is None:
        return EMPTY_OBSERVATION
    reader = time_reader(event.created_at, received_at=received_at)
    kind = _kind(event, resource)
    resource_id = as_id(resource.id) or as_id(event.data_id)
    if resource_id is None:
        return EMPTY_OBSERVATION
    if kind == "conversation":
        return _interpret_conversation(resource, resource_id, event, reader)
    if kind == "customer":
        return _interpret_customer(resource, resource_id, reader)
    return EMPTY_OBSERVATION


def _kind(event: Envelope, resource: Resource) -> str | None:
    parts = event.name.split(".") if isinstance(event.name, str) else []
    if len(parts) == 3 and parts[0] == "kustomer":
        return parts[1] if event.name in SUBSCRIBED_EVENTS else None
    return resource.type if event.name is None and isinstance(resource.type, str) else None


def _interpret_conversation(
    resource: Resource, conversation_id: str, event: Envelope, reader: TimeReader
) -> Observation:
    """Return every fact that a conversation shows, oldest first."""
    attributes = resource.attributes or Attributes()
    conversation = _conversation(attributes, resource.relationships, conversation_id)
    created_at = reader.read(attributes.created_at, "createdAt") or reader.observed_at
    facts: list[Fact] = [ConversationCreated(conversation, created_at)]
    facts += _done_facts(attributes, conversation, event, reader)
    csat = read_csat(attributes.satisfaction_level, conversation, event, reader)
    if csat is not None:
        facts.append(csat)
    return Observation(
        facts=tuple(facts),
        conversation=_observe(attributes, conversation, created_at, reader),
        conversation_id=conversation_id,
        customer_id=conversation.customer_id,
        rev=conversation.rev,
        awaits_agent=_awaits_agent(attributes, event, reader.observed_at),
        notes=tuple(reader.notes),
    )


def _awaits_agent(attributes: Attributes, event: Envelope, observed_at: datetime) -> bool:
    if attributes.status == "done" or attributes.deleted is True:
        return False
    written_at = as_time(as_object(attributes.last_message_in).get("createdAt"))
    is_new = event.name == "kustomer.conversation.create"
    return is_new or (written_at is not None and abs(observed_at - written_at) <= RECENT_MESSAGE_WINDOW)


def _conversation(attributes: Attributes, relationships: Relationships | None, conversation_id: str) -> Conversation:
    related = relationships or Relationships()
    return Conversation(
        id=conversation_id,
        customer_id=related_id(related.customer),
        subject=as_text(attributes.name),
        channel=_channel(attributes),
        brand_id=related_id(related.brand),
        rev=as_rev(attributes.rev),
        spam=attributes.spam is True,
        kustomer_import=as_time(attributes.imported_at) is not None,
        deleted=attributes.deleted is True,
    )


def _observe(
    attributes: Attributes, conversation: Conversation, created_at: datetime, reader: TimeReader
) -> ConversationObserved | None:
    """Return the conversation's state; None if its status is unknown. A deleted conversation is not open."""
    if attributes.status not in (*OPEN_STATUSES, "done") and not conversation.deleted:
        return None
    is_open = attributes.status in OPEN_STATUSES and not conversation.deleted
    changed_at = _status_changed_at(attributes, reader)
    done_at = None if is_open else _created_at(attributes.last_done, "lastDone", reader)
    status_changed_at = changed_at or done_at or created_at
    if conversation.deleted and attributes.status != "done":
        status_changed_at = reader.read(attributes.updated_at, "updatedAt") or reader.observed_at
    has_unanswered_survey = is_unanswered(attributes.satisfaction_level)
    return ConversationObserved(conversation, is_open, status_changed_at, created_at, has_unanswered_survey)


def _status_changed_at(attributes: Attributes, reader: TimeReader) -> datetime | None:
    history = as_object(attributes.modification_history)
    return reader.read(history.get("statusAt"), "modificationHistory.statusAt")


def _created_at(value: Any, name: str, reader: TimeReader) -> datetime | None:
    return reader.read(as_object(value).get("createdAt"), f"{name}.createdAt")


def _channel(attributes: Attributes) -> str | None:
    candidates = [
        *as_list(attributes.channels)[:1],
        as_object(attributes.first_message_in).get("channel"),
        as_object(attributes.last_message_in).get("channel"),
    ]
    return next((channel for channel in map(as_text, candidates) if channel), None)


def _done_facts(
    attributes: Attributes, conversation: Conversation, event: Envelope, reader: TimeReader
) -> Iterator[ConversationDone]:
    """Yield when the conversation was done: the first time, the last time, and a time that only the status shows.

    ``lastDone`` is not cleared when a conversation is reopened, so it repairs a lost webhook. It may be filled later
    than the status, so a conversation that is done without a recent ``lastDone`` yields an approximate fact.
    """
    first = _created_at(attributes.first_done, "firstDone", reader)
    last = _created_at(attributes.last_done, "lastDone", reader)
    if first is not None and (last is None or last - first > SAME_DONE_WINDOW):
        yield ConversationDone(conversation, first)
    if last is not None:
        yield ConversationDone(conversation, last)
    if attributes.status != "done":
        return
    changed_at = _status_changed_at(attributes, reader)
    if changed_at is None and _became_done(event):
        changed_at = reader.read(attributes.updated_at, "updatedAt") or reader.observed_at
    if changed_at is not None and (last is None or changed_at - last > SAME_DONE_WINDOW):
        yield ConversationDone(conversation, changed_at, approximate=True)


def _became_done(event: Envelope) -> bool:
    if event.name == "kustomer.conversation.create":
        return True
    return bool(read_change(event.changes, "status").get("after") == "done")


def interpret_customer(resource: Resource, customer_id: str, *, observed_at: datetime) -> Observation:
    """Interpret a customer document that was read from the API."""
    return _interpret_customer(resource, customer_id, time_reader(None, received_at=observed_at))


def _interpret_customer(resource: Resource, customer_id: str, reader: TimeReader) -> Observation:
    """Return the customer, and a hint at the conversation whose survey the customer answered last."""
    attributes = resource.attributes or Attributes()
    customer = CustomerObserved(
        customer_id,
        rev=as_rev(attributes.rev),
        emails=own_emails(attributes),
        phones=own_phones(attributes),
        attributes={
            name: value
            for name, field in PROFILE_ATTRIBUTES.items()
            if (value := getattr(attributes, field)) is not None and not _is_in_future(name, value, reader)
        },
        open_count=_open_count(attributes, reader),
        updated_at=reader.read(attributes.updated_at, "updatedAt") or reader.observed_at,
        removed=attributes.deleted is True,
        masked=masked_contacts(attributes),
    )
    hint = read_refetch_hint(as_object(attributes.satisfaction_level).get("lastSatisfaction"), reader)
    notes = tuple(reader.notes)
    return Observation(customer=customer, refetch_hint=hint, customer_id=customer_id, rev=customer.rev, notes=notes)


def _is_in_future(name: str, value: Any, reader: TimeReader) -> bool:
    """Return whether a mapped time that can only be in the past is in the future."""
    return name in PAST_ATTRIBUTES and is_after(value, reader.latest) and reader.read(value, name) is None


def _open_count(attributes: Attributes, reader: TimeReader) -> OpenCount | None:
    counts = as_object(attributes.conversation_counts)
    numbers = [as_count(counts[status]) for status in OPEN_STATUSES if status in counts]
    total = as_count(sum(filter(None, numbers)))
    if not numbers or None in numbers or total is None:
        return None
    return OpenCount(total, reader.read(attributes.updated_at, "updatedAt") or reader.observed_at)
