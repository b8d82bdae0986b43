"""State of one Kustomer organisation. Every change is announced as an event with its differences."""

import random
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.documents import (
    ConversationMessage,
    Document,
    OrgReferences,
    format_time,
    generated_name,
    message_resource,
    new_conversation,
    new_customer,
    new_id,
    org_references,
    relationship,
)

Announce = Callable[[str, Callable[[], Document]], None]
"""Takes an event's name and a function that makes its envelope, called only when a webhook is subscribed to it."""

CLIENTS = ("api-gw", "routing-worker", "postmark-drafts-sender")
EVENT_DELAY = 0.011
"""Seconds between a change and its event, as in recorded events."""

UNIQUE = {"emails": "email", "phones": "phone", "whatsapps": "phone", "externalIds": "externalId"}
"""Lists whose values belong to at most one customer of the organisation (developer.kustomer.com/api)."""

_ABSENT = object()


class ContactConflict(Exception):
    """A value that must be unique within the organisation belongs to another customer."""


@dataclass(frozen=True, slots=True)
class ExpectedEvent:
    """Something that happened in the organisation, for comparison with the events in Klaviyo."""

    kind: str
    """``created``, ``done`` or ``csat``."""
    conversation: str
    occurred_at: str
    rating: float | None = None
    score: int | None = None
    channel: str | None = None
    """The conversation's channel at that time."""


@dataclass(slots=True)
class Organisation:
    """The state of the organisation."""

    name: str
    announce: Announce
    clock: Callable[[], float] = time.time
    rng: random.Random = field(default_factory=random.Random)
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    customers: dict[str, Document] = field(default_factory=dict)
    conversations: dict[str, Document] = field(default_factory=dict)
    conversations_of: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The conversation ids of each customer."""
    messages_of: defaultdict[str, list[ConversationMessage]] = field(default_factory=lambda: defaultdict(list))
    """The messages of each conversation."""
    surveys: dict[str, Document] = field(default_factory=dict)
    """Every survey sent, in its current state, by response id."""
    brands: dict[str, str] = field(default_factory=dict)
    """Brand ids by name."""
    merges: list[Document] = field(default_factory=list)
    expected_events: list[ExpectedEvent] = field(default_factory=list)
    references: OrgReferences = field(init=False)
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.references = org_references(self.id)

    def now(self) -> str:
        """Return the organisation's time in Kustomer's format."""
        return format_time(self.clock())

    def new_id(self) -> str:
        """Return an unused id."""
        return new_id(self.clock())

    def reset(self) -> None:
        """Remove all data. The organisation keeps its id."""
        for collection in (self.customers, self.conversations, self.conversations_of, self.messages_of, self.surveys):
            collection.clear()
        self._owners.clear()
        self.brands.clear()
        self.merges.clear()
        self.expected_events.clear()

    def owner(self, list_name: str, value: str) -> Document | None:
        """Return the customer that a contact in a list belongs to."""
        return self.customers.get(self._owners.get((list_name, value.lower()), ""))

    def brand(self, name_or_id: str) -> str:
        """Return the id of a brand. An unknown name creates a brand."""
        if len(name_or_id) == 24 and set(name_or_id) <= set("0123456789abcdef"):
            return name_or_id
        return self.brands.setdefault(name_or_id, self.new_id())

    def brand_documents(self) -> list[Document]:
        """Return the brands: the organisation's default brand, and those created since."""
        brands = {self.name: self.references.brand} | self.brands
        return [
            {"type": "brand", "id": brand_id, "attributes": {"name": name, "displayName": name},
             "links": {"self": f"/v1/brands/{brand_id}"}}
            for name, brand_id in brands.items()
        ]  # fmt: skip

    def add_customer(self, fields: Document) -> Document:
        """Create a customer. Raises ContactConflict when a contact belongs to another customer."""
        customer_id, attributes = self.new_id(), _with_external_ids(fields)
        self._claim(customer_id, attributes)
        customer = new_customer(customer_id, self.id, self.now(), attributes)
        self.customers[customer_id] = customer
        self._announce("create", customer, None)
        return customer

    def add_conversation(self, customer: str, fields: Document, *, brand: str | None = None) -> Document:
        """Create a conversation."""
        conversation = new_conversation(self.new_id(), self.id, customer, self.now(), fields)
        if brand is not None:
            conversation["relationships"]["brand"] = relationship("brand", self.brand(brand), "brands")
        self.conversations[conversation["id"]] = conversation
        self.conversations_of[customer].append(conversation["id"])
        self._announce("create", conversation, None)
        return conversation

    def add_message(self, conversation: Document, message: ConversationMessage) -> None:
        """Create a message."""
        self.messages_of[conversation["id"]].append(message)
        self._announce("create", message_resource(message, self.references, conversation), None)

    def update_message(self, conversation: Document, message: ConversationMessage, changes: Document) -> None:
        """Announce a change of a message, such as its delivery. The change is not stored."""
        resource = message_resource(message, self.references, conversation, rev=2)
        resource["attributes"] |= changes
        self._announce("update", resource, _differences({}, changes))

    def update(self, resource: Document, fields: Mapping[str, Any], *, is_edit: bool = True) -> Document:
        """Change attributes: the revision grows, and the event has the values before and after.

        The attributes are replaced as a whole, never in place, so that an event keeps the state it was made from.
        Raises ContactConflict.
        """
        before = resource["attributes"]
        changes: Document = dict(fields)
        if resource["type"] == "customer":
            changes = _with_display_name(resource["id"], _with_external_ids(changes))
            self._claim(resource["id"], changes)
        now = self.now()
        changes |= {"updatedAt": now, "rev": before["rev"] + 1}
        if is_edit:
            changes["modifiedAt"] = now
        resource["attributes"] = before | changes
        self._announce("update", resource, _differences(before, changes))
        return resource

    def move_conversation(self, conversation: Document, customer: Document) -> None:
        """Move a conversation to another customer."""
        former = conversation["relationships"]["customer"]["data"]["id"]
        owner = {"customer": relationship("customer", customer["id"], "customers")}
        conversation["relationships"] = conversation["relationships"] | owner
        self.conversations_of[former].remove(conversation["id"])
        self.conversations_of[customer["id"]].append(conversation["id"])
        self.update(conversation, {})

    def announce_without_customer(self, conversation: Document) -> None:
        """Announce an update that does not name the conversation's customer. The API still shows the customer."""
        attributes = conversation["attributes"]
        conversation["attributes"] = attributes | {"updatedAt": self.now(), "rev": attributes["rev"] + 1}
        others = {name: value for name, value in conversation["relationships"].items() if name != "customer"}
        self._announce("update", conversation | {"relationships": others}, _differences({}, {}))

    def delete(self, resource: Document) -> None:
        """Delete a customer or conversation. Kustomer has no event for deletions."""
        self._release(resource["id"], resource["attributes"], UNIQUE)
        resource["attributes"] = resource["attributes"] | {"deleted": True, "updatedAt": self.now()}

    def _claim(self, customer_id: str, attributes: Document) -> None:
        claimed = {name: _values(attributes, name) for name in UNIQUE if name in attributes}
        for name, values in claimed.items():
            if any(self._owners.get((name, value), customer_id) != customer_id for value in values):
                raise ContactConflict(name)
        if customer_id in self.customers:
            self._release(customer_id, self.customers[customer_id]["attributes"], claimed)
        for name, values in claimed.items():
            self._owners |= {(name, value): customer_id for value in values}

    def _release(self, customer_id: str, attributes: Document, lists: Iterable[str]) -> None:
        for name in lists:
            for value in _values(attributes, name):
                if self._owners.get((name, value)) == customer_id:
                    del self._owners[name, value]

    def _announce(self, verb: str, resource: Document, changes: Document | None) -> None:
        name = f"kustomer.{resource['type']}.{verb}"
        # A shallow copy is enough: attributes are replaced as a whole, so the copy does not change.
        self.announce(name, lambda: self._envelope(name, dict(resource), changes))

    def _envelope(self, name: str, resource: Document, changes: Document | None) -> Document:
        envelope: Document = {
            "id": self.new_id(),
            "name": name,
            "org": self.id,
            "partition": self.id,
            "data": resource,
            "createdAt": format_time(self.clock() + EVENT_DELAY),
            "persist": True,
            "dataId": resource["id"],
            "meta": {"customChanged": changes is not None and "custom" in changes["attributes"]},
            "snsFilters": ["csat"] if resource["type"] == "conversation" else [],
        }
        # In recorded events the organisation's name is present only sometimes; create events have no changes or client.
        if self.rng.random() < 0.4:
            envelope["orgName"] = self.name
        if changes is not None:
            envelope |= {"changes": changes, "client": self.rng.choice(CLIENTS)}
        return envelope


def _values(attributes: Document, name: str) -> list[str]:
    return [str(entry.get(UNIQUE[name], "")).lower() for entry in attributes.get(name) or []]


def _with_external_ids(fields: Document) -> Document:
    """Add ``externalId`` to the list of external ids."""
    if not fields.get("externalId") or "externalIds" in fields:
        return dict(fields)
    return fields | {"externalIds": [{"externalId": fields["externalId"], "verified": True}]}


def _with_display_name(customer_id: str, changes: Document) -> Document:
    """Update the display name together with the name."""
    if "name" in changes and "displayName" not in changes:
        changes["displayName"] = changes["name"] or generated_name(customer_id)
    return changes


def _differences(before: Document, changes: Document) -> Document:
    changed = {
        name: {"op": "replace", "before": before[name], "after": value}
        if name in before
        else {"op": "add", "after": value}
        for name, value in changes.items()
        if before.get(name, _ABSENT) != value
    }
    return {"attributes": changed, "relationships": {}}
