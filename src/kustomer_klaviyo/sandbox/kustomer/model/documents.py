"""The documents of a Kustomer organisation as new ones look: customers, conversations, messages. Pure."""

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Document = dict[str, Any]
"""A resource or a part of one. Documents are never changed in place, so that they may share their parts."""

_sequence = itertools.count(secrets.randbits(20))

NO_HANDLING: Document = {"createdByTeams": [], "assignedTeams": [], "assignedUsers": []}
COLOURS, THINGS = ("Silver", "Amber", "Violet", "Teal"), ("Scissors", "Lantern", "Teapot", "Anchor")


def new_id(now: float) -> str:
    """Return a 24-hex id that grows with time, as MongoDB makes them."""
    return f"{int(now):08x}{secrets.token_hex(5)}{next(_sequence) & 0xFFFFFF:06x}"


def moment(epoch: float) -> str:
    """Return a time as Kustomer writes it: milliseconds and ``Z``."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def related(kind: str, one: str, path: str) -> Document:
    """Return a relationship to one resource."""
    return {"data": {"type": kind, "id": one}, "links": {"self": f"/v1/{path}/{one}"}}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every document of an organisation refers to."""

    org: str
    agent: str
    team: str
    queue: str
    brand: str

    def relationships(self, kind: str, one: str) -> Document:
        """Return the relationships that customers and conversations share."""
        user = related("user", self.agent, "users")
        return {
            "messages": {"links": {"self": f"/v1/{kind}s/{one}/messages"}},
            "createdBy": user,
            "modifiedBy": user,
            "org": related("org", self.org, "orgs"),
        }


@lru_cache(maxsize=16)
def surroundings(org: str) -> Surroundings:
    """Return what an organisation's documents refer to; the ids follow from its own."""
    return Surroundings(org, *(f"{org[:-2]}{number:02x}" for number in range(0xA0, 0xA4)))


_CUSTOMER: Document = {
    "displayColor": "pink",
    "displayIcon": "stereo",
    "externalIds": [],
    "sharedExternalIds": [],
    "emails": [],
    "sharedEmails": [],
    "phones": [],
    "sharedPhones": [],
    "whatsapps": [],
    "sharedWhatsapps": [],
    "facebookIds": [],
    "instagramIds": [],
    "socials": [],
    "sharedSocials": [],
    "urls": [],
    "locations": [],
    "activeUsers": [],
    "watchers": [],
    "locale": None,
    "birthdayAt": None,
    "deleted": False,
    "lastConversation": {"channels": [], "tags": []},
    "conversationCounts": {"done": 0, "open": 0, "snoozed": 0, "all": 0},
    "preview": {},
    "tags": [],
    "sentiment": {},
    "progressiveStatus": None,
    "verified": False,
    "rev": 1,
    "recentItems": [],
    "defaultLang": "en_us",
    "satisfactionLevel": {"firstSatisfaction": {"sentByTeams": []}, "lastSatisfaction": {"sentByTeams": []}},
    "roleGroupVersions": [],
    "accessOverride": [],
}


def new_customer(one: str, org: str, now: str, given: Document) -> Document:
    """Make a customer's resource; without a name Kustomer invents one to display."""
    name = given.get("name") or " ".join(filter(None, (given.get("firstName"), given.get("lastName"))))
    attributes = _CUSTOMER | dict.fromkeys(("createdAt", "updatedAt", "modifiedAt", "lastActivityAt"), now)
    attributes |= {"displayName": name or invented_name(one), "recentLocation": {"updatedAt": now}}
    if name:
        attributes["name"] = name
    return {
        "type": "customer",
        "id": one,
        "attributes": attributes | given,
        "relationships": surroundings(org).relationships("customer", one),
        "links": {"self": f"/v1/customers/{one}"},
    }


def invented_name(one: str) -> str:
    """Return the name that is displayed for a nameless customer."""
    return f"{COLOURS[int(one[-1], 16) % 4]} {THINGS[int(one[-2], 16) % 4]}"


_CONVERSATION: Document = {
    "channels": [],
    "status": "open",
    "messageCount": 0,
    "noteCount": 0,
    "satisfaction": 0,
    "satisfactionLevel": {"sentByTeams": [], "answers": []},
    "spam": False,
    "ended": False,
    "tags": [],
    "suggestedTags": [],
    "predictions": [],
    "suggestedShortcuts": [],
    "firstMessageIn": {},
    "firstMessageOut": {"createdByTeams": []},
    "lastMessageIn": {},
    "lastMessageOut": {},
    "lastMessageUnrespondedTo": {},
    "lastMessageUnrespondedToSinceLastDone": {},
    "assignedUsers": [],
    "assignedTeams": [],
    "firstResponse": NO_HANDLING,
    "firstResponseSinceLastDone": NO_HANDLING,
    "lastResponse": NO_HANDLING,
    "firstDone": NO_HANDLING,
    "lastDone": NO_HANDLING,
    "doneCount": 0,
    "reopenCount": 0,
    "direction": "in",
    "outboundMessageCount": 0,
    "inboundMessageCount": 0,
    "rev": 1,
    "priority": 3,
    "defaultLang": "en_us",
    "locale": None,
    "roleGroupVersions": [],
    "accessOverride": [],
    "billingStatus": "no_messages",
    "assistant": {"fac": {"reasons": [], "exclusions": [], "source": {}}, "assistantId": []},
    "aiAgent": {"automationId": []},
    "phase": "initial",
    "matchedTimeBasedRules": [],
}
_HISTORY = ("name", "priority", "channel", "assignedTeams", "assignedUsers", "brand", "defaultLang", "tags", "custom")


def new_conversation(one: str, org: str, customer: str, now: str, given: Document) -> Document:
    """Make a conversation's resource: open, without messages or channel."""
    attributes = _CONVERSATION | dict.fromkeys(("createdAt", "updatedAt", "modifiedAt", "lastActivityAt"), now)
    around = surroundings(org)
    status_at = given.get("lastDone", {}).get("createdAt") or given.get("createdAt") or now
    attributes |= {
        "open": {"statusAt": given.get("createdAt") or now},
        "modificationHistory": dict.fromkeys((f"{name}At" for name in _HISTORY), None) | {"statusAt": status_at},
    }
    relationships = around.relationships("conversation", one) | {
        "customer": related("customer", customer, "customers"),
        "queue": related("queue", around.queue, "routing/queues"),
        "brand": related("brand", around.brand, "brands"),
    }
    return {
        "type": "conversation",
        "id": one,
        "attributes": attributes | given,
        "relationships": relationships,
        "links": {"self": f"/v1/conversations/{one}"},
    }


@dataclass(frozen=True, slots=True)
class Message:
    """A message, kept as small as possible: there are many."""

    id: str
    at: str
    channel: str
    is_inbound: bool
    text: str
    extra: Document = field(default_factory=dict)


def message_resource(message: Message, around: Surroundings, conversation: Document, *, rev: int = 1) -> Document:
    """Make a message's resource."""
    customer = conversation["relationships"]["customer"]["data"]["id"]
    attributes: Document = {
        "externalId": None,
        "direction": "in" if message.is_inbound else "out",
        "directionType": "initial-in" if message.is_inbound else "response-out",
        "channel": message.channel,
        "preview": message.text,
        "status": "received" if message.is_inbound else "sent",
        "createdAt": message.at,
        "updatedAt": message.at,
        "sentAt": message.at,
        "rev": rev,
    }
    return {
        "type": "message",
        "id": message.id,
        "attributes": attributes | message.extra,
        "relationships": {
            "org": related("org", around.org, "orgs"),
            "customer": related("customers", customer, "customers"),
            "conversation": related("conversation", conversation["id"], "conversations"),
        },
        "links": {"self": f"/v1/messages/{message.id}"},
    }
