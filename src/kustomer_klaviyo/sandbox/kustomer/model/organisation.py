"""What one Kustomer organisation holds, and how every change becomes an event with its differences."""

import random
import secrets
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.documents import (
    Document,
    Message,
    Surroundings,
    invented_name,
    message_resource,
    moment,
    new_conversation,
    new_customer,
    new_id,
    related,
    surroundings,
)

Announce = Callable[[str, Callable[[], Document]], None]
"""Takes an event's name and how its envelope is made, should anybody want it."""

CLIENTS = ("api-gw", "routing-worker", "postmark-drafts-sender")
EVENT_DELAY = 0.011
"""Seconds between a change and its event, as in recorded ones."""

UNIQUE = {"emails": "email", "phones": "phone", "whatsapps": "phone", "externalIds": "externalId"}
"""Lists whose values belong to one customer of the organisation alone (developer.kustomer.com/api)."""

_ABSENT = object()


class Conflict(Exception):
    """A value that must be unique within the organisation is taken."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something that truly happened, for comparison with what was told elsewhere."""

    kind: str
    conversation: str
    at: str
    rating: float | None = None
    score: int | None = None
    channel: str | None = None
    """As the conversation had it then."""


@dataclass(slots=True)
class Organisation:
    """The state of the organisation."""

    name: str
    announce: Announce
    clock: Callable[[], float] = time.time
    chance: random.Random = field(default_factory=random.Random)
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    customers: dict[str, Document] = field(default_factory=dict)
    conversations: dict[str, Document] = field(default_factory=dict)
    conversations_of: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """The conversations of each customer."""
    messages_of: defaultdict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    """The messages of each conversation."""
    surveys: dict[str, Document] = field(default_factory=dict)
    """Every survey sent, as it stands, by its response id."""
    brands: dict[str, str] = field(default_factory=dict)
    """The ids of the brands, by name."""
    merges: list[Document] = field(default_factory=list)
    truth: list[Told] = field(default_factory=list)
    around: Surroundings = field(init=False)
    _owners: dict[tuple[str, str], str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.around = surroundings(self.id)

    def now(self) -> str:
        """Return the organisation's time as it writes it."""
        return moment(self.clock())

    def new_id(self) -> str:
        """Return an unused id."""
        return new_id(self.clock())

    def forget(self) -> None:
        """Begin anew: nobody was ever here."""
        held = (self.customers, self.conversations, self.conversations_of, self.messages_of, self.surveys, self._owners)
        for one in (*held, self.brands):
            one.clear()
        self.merges.clear()
        self.truth.clear()

    def owner(self, listed: str, value: str) -> Document | None:
        """Return the customer that a contact of a list belongs to."""
        return self.customers.get(self._owners.get((listed, value.lower()), ""))

    def brand(self, named: str) -> str:
        """Return the id of a brand; a name not known yet becomes a brand."""
        if len(named) == 24 and set(named) <= set("0123456789abcdef"):
            return named
        return self.brands.setdefault(named, self.new_id())

    def brand_documents(self) -> list[Document]:
        """Return the brands: the organisation's own, and those that became known."""
        named = {self.name: self.around.brand} | self.brands
        return [
            {"type": "brand", "id": one, "attributes": {"name": name, "displayName": name},
             "links": {"self": f"/v1/brands/{one}"}}
            for name, one in named.items()
        ]  # fmt: skip

    def add_customer(self, given: Document) -> Document:
        """Create a customer. Raises Conflict when a contact is taken."""
        one, news = self.new_id(), _identified(given)
        self._claim(one, news)
        customer = new_customer(one, self.id, self.now(), news)
        self.customers[one] = customer
        self._announce("create", customer, None)
        return customer

    def add_conversation(self, customer: str, given: Document, *, brand: str | None = None) -> Document:
        """Create a conversation."""
        conversation = new_conversation(self.new_id(), self.id, customer, self.now(), given)
        if brand is not None:
            conversation["relationships"]["brand"] = related("brand", self.brand(brand), "brands")
        self.conversations[conversation["id"]] = conversation
        self.conversations_of[customer].append(conversation["id"])
        self._announce("create", conversation, None)
        return conversation

    def add_message(self, conversation: Document, message: Message) -> None:
        """Create a message."""
        self.messages_of[conversation["id"]].append(message)
        self._announce("create", message_resource(message, self.around, conversation), None)

    def touch_message(self, conversation: Document, message: Message, changes: Document) -> None:
        """Tell of a change to a message, such as that it was delivered; it is of no use to anybody."""
        resource = message_resource(message, self.around, conversation, rev=2)
        resource["attributes"] |= changes
        self._announce("update", resource, _differences({}, changes))

    def change(self, resource: Document, given: Mapping[str, Any], *, is_edit: bool = True) -> Document:
        """Change attributes: the revision grows, and the event says what was before and after. Raises Conflict.

        Attributes are replaced as a whole, never in place, so that an event keeps what it saw.
        """
        before = resource["attributes"]
        news: Document = dict(given)
        if resource["type"] == "customer":
            news = _renamed(resource["id"], _identified(news))
            self._claim(resource["id"], news)
        now = self.now()
        news |= {"updatedAt": now, "rev": before["rev"] + 1}
        if is_edit:
            news["modifiedAt"] = now
        resource["attributes"] = before | news
        self._announce("update", resource, _differences(before, news))
        return resource

    def give(self, conversation: Document, customer: Document) -> None:
        """Let a conversation be another customer's from now on."""
        former = conversation["relationships"]["customer"]["data"]["id"]
        moved = {"customer": related("customer", customer["id"], "customers")}
        conversation["relationships"] = conversation["relationships"] | moved
        self.conversations_of[former].remove(conversation["id"])
        self.conversations_of[customer["id"]].append(conversation["id"])
        self.change(conversation, {})

    def announce_nameless(self, conversation: Document) -> None:
        """Tell of a conversation without saying whose it is; whoever reads it by API learns it."""
        attributes = conversation["attributes"]
        conversation["attributes"] = attributes | {"updatedAt": self.now(), "rev": attributes["rev"] + 1}
        others = {name: one for name, one in conversation["relationships"].items() if name != "customer"}
        self._announce("update", conversation | {"relationships": others}, _differences({}, {}))

    def delete(self, resource: Document) -> None:
        """Delete a customer or conversation: no event tells of it."""
        self._release(resource["id"], resource["attributes"], UNIQUE)
        resource["attributes"] = resource["attributes"] | {"deleted": True, "updatedAt": self.now()}

    def _claim(self, one: str, news: Document) -> None:
        wanted = {name: _values(news, name) for name in UNIQUE if name in news}
        for name, values in wanted.items():
            if any(self._owners.get((name, value), one) != one for value in values):
                raise Conflict(name)
        if one in self.customers:
            self._release(one, self.customers[one]["attributes"], wanted)
        for name, values in wanted.items():
            self._owners |= {(name, value): one for value in values}

    def _release(self, one: str, attributes: Document, lists: Iterable[str]) -> None:
        for name in lists:
            for value in _values(attributes, name):
                if self._owners.get((name, value)) == one:
                    del self._owners[name, value]

    def _announce(self, verb: str, resource: Document, changes: Document | None) -> None:
        name = f"kustomer.{resource['type']}.{verb}"
        # A shallow copy: attributes are replaced as a whole, so what is announced stays as it was.
        self.announce(name, lambda: self._envelope(name, dict(resource), changes))

    def _envelope(self, name: str, resource: Document, changes: Document | None) -> Document:
        envelope: Document = {
            "id": self.new_id(),
            "name": name,
            "org": self.id,
            "partition": self.id,
            "data": resource,
            "createdAt": moment(self.clock() + EVENT_DELAY),
            "persist": True,
            "dataId": resource["id"],
            "meta": {"customChanged": changes is not None and "custom" in changes["attributes"]},
            "snsFilters": ["csat"] if resource["type"] == "conversation" else [],
        }
        # Recorded events name the organisation only at times, and a new one neither changes nor always its maker.
        if self.chance.random() < 0.4:
            envelope["orgName"] = self.name
        if changes is not None:
            envelope |= {"changes": changes, "client": self.chance.choice(CLIENTS)}
        return envelope


def _values(attributes: Document, name: str) -> list[str]:
    return [str(entry.get(UNIQUE[name], "")).lower() for entry in attributes.get(name) or []]


def _identified(given: Document) -> Document:
    """Let the one external id stand in the list of external ids too."""
    if not given.get("externalId") or "externalIds" in given:
        return dict(given)
    return given | {"externalIds": [{"externalId": given["externalId"], "verified": True}]}


def _renamed(one: str, news: Document) -> Document:
    """Let the displayed name follow the name."""
    if "name" in news and "displayName" not in news:
        news["displayName"] = news["name"] or invented_name(one)
    return news


def _differences(before: Document, news: Document) -> Document:
    changed = {
        name: {"op": "replace", "before": before[name], "after": value}
        if name in before
        else {"op": "add", "after": value}
        for name, value in news.items()
        if before.get(name, _ABSENT) != value
    }
    return {"attributes": changed, "relationships": {}}
