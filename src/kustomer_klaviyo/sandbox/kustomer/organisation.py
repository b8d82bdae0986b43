"""What one Kustomer organisation holds, and how every change becomes an event with its differences."""

import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kustomer_klaviyo.sandbox.kustomer.documents import (
    Document,
    moment,
    new_conversation,
    new_customer,
    new_id,
    new_message,
)

Announce = Callable[[str, Document], None]
"""Takes an event's name and its envelope."""

CLIENTS = ("api-gw", "routing-worker", "postmark-drafts-sender")


class Conflict(Exception):
    """A value that must be unique within the organisation is taken."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something that truly happened, for comparison with what was told elsewhere."""

    kind: str
    conversation: str
    at: str
    rating: int | None = None
    channel: str | None = None
    """As the conversation had it then."""


@dataclass(slots=True)
class Organisation:
    """The state of the organisation."""

    name: str
    announce: Announce
    clock: Callable[[], float] = time.time
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    customers: dict[str, Document] = field(default_factory=dict)
    conversations: dict[str, Document] = field(default_factory=dict)
    messages: dict[str, Document] = field(default_factory=dict)
    merges: list[Document] = field(default_factory=list)
    truth: list[Told] = field(default_factory=list)
    by_email: dict[str, str] = field(default_factory=dict)

    def now(self) -> str:
        """Return the organisation's time as it writes it."""
        return moment(self.clock())

    def new_id(self) -> str:
        """Return an unused id."""
        return new_id(self.clock())

    def add_customer(self, given: Document) -> Document:
        """Create a customer. Raises Conflict when an email is taken."""
        one = self.new_id()
        self._claim_emails(one, given)
        customer = new_customer(one, self.id, self.now(), given)
        self.customers[one] = customer
        self._announce("create", customer, None)
        return customer

    def add_conversation(self, customer: str, given: Document, *, brand: str | None = None) -> Document:
        """Create a conversation."""
        conversation = new_conversation(self.new_id(), self.id, customer, self.now(), given)
        if brand is not None:
            conversation["relationships"]["brand"] = {
                "data": {"type": "brand", "id": brand},
                "links": {"self": f"/v1/brands/{brand}"},
            }
        self.conversations[conversation["id"]] = conversation
        self._announce("create", conversation, None)
        return conversation

    def add_message(self, conversation: Document, given: Document) -> Document:
        """Create a message."""
        message = new_message(self.new_id(), self.id, conversation, self.now(), given)
        self.messages[message["id"]] = message
        self._announce("create", message, None)
        return message

    def change(self, resource: Document, news: Mapping[str, Any], *, is_edit: bool = True) -> None:
        """Change attributes: the revision grows, and the event says what was before and after.

        Resources are replaced attribute by attribute, never in place, so that an event keeps what it saw.
        """
        now = self.now()
        if resource["type"] == "customer":
            self._claim_emails(resource["id"], news)
        before = resource["attributes"]
        after = before | news | {"updatedAt": now, "rev": before["rev"] + 1}
        if is_edit:
            after["modifiedAt"] = now
        resource["attributes"] = after
        changes = {
            name: {"op": "replace" if name in before else "add", "before": before.get(name), "after": value}
            for name, value in after.items()
            if before.get(name) != value
        }
        self._announce("update", resource, {"attributes": changes, "relationships": {}})

    def delete(self, resource: Document) -> None:
        """Delete a customer or conversation: no event tells of it."""
        resource["attributes"] = resource["attributes"] | {"deleted": True, "updatedAt": self.now()}
        for email in resource["attributes"].get("emails", []):
            self.by_email.pop(str(email["email"]).lower(), None)

    def _claim_emails(self, one: str, news: Mapping[str, Any]) -> None:
        wanted = [str(entry["email"]).lower() for entry in news.get("emails") or []]
        if any(self.by_email.get(email, one) != one for email in wanted):
            raise Conflict("emails")
        if "emails" not in news:
            return
        if one in self.customers:
            for entry in self.customers[one]["attributes"]["emails"]:
                self.by_email.pop(str(entry["email"]).lower(), None)
        self.by_email |= dict.fromkeys(wanted, one)

    def _announce(self, verb: str, resource: Document, changes: Document | None) -> None:
        name = f"kustomer.{resource['type']}.{verb}"
        envelope: Document = {
            "id": self.new_id(),
            "name": name,
            "org": self.id,
            "partition": self.id,
            # A shallow copy: attributes are replaced as a whole, so what is announced stays as it was.
            "data": dict(resource),
            "createdAt": self.now(),
            "persist": True,
            "client": CLIENTS[0],
            "dataId": resource["id"],
            "meta": {"customChanged": False},
            "snsFilters": ["csat"] if resource["type"] == "conversation" else [],
        }
        if changes is not None:
            envelope["changes"] = changes
            envelope["orgName"] = self.name
        self.announce(name, envelope)
