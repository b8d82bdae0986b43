"""New documents of a Kustomer organisation: customers, conversations, messages. Pure."""

import itertools
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Document = dict[str, Any]
"""A resource or a part of one. Documents are never changed in place, so they may share parts."""

_sequence = itertools.count(secrets.randbits(20))

NO_RESPONSE: Document = {"createdByTeams": [], "assignedTeams": [], "assignedUsers": []}
COLOURS, OBJECTS = ("Silver", "Amber", "Violet", "Teal"), ("Scissors", "Lantern", "Teapot", "Anchor")


def new_id(now: float) -> str:
    """Return a 24-digit hex id that increases with time, like a MongoDB ObjectId."""
    return f"{int(now):08x}{secrets.token_hex(5)}{next(_sequence) & 0xFFFFFF:06x}"


def format_time(epoch: float) -> str:
    """Format a time as Kustomer does: milliseconds and ``Z``."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def relationship(kind: str, resource_id: str, path: str) -> Document:
    """Return a relationship to one resource."""
    return {"data": {"type": kind, "id": resource_id}, "links": {"self": f"/v1/{path}/{resource_id}"}}


@dataclass(frozen=True, slots=True)
class OrgReferences:
    """Ids that every document of an organisation refers to."""

    org: str
    agent: str
    team: str
    queue: str
    brand: str

    def relationships(self, kind: str, resource_id: str) -> Document:
        """Return the relationships that customers and conversations have in common."""
        user = relationship("user", self.agent, "users")
        return {
            "messages": {"links": {"self": f"/v1/{kind}s/{resource_id}/messages"}},
            "createdBy": user,
            "modifiedBy": user,
            "org": relationship("org", self.org, "orgs"),
        }


@lru_cache(maxsize=16)
def org_references(org: str) -> OrgReferences:
    """Return the ids that an organisation's documents refer to; they are derived from its own id."""
    return OrgReferences(org, *(f"{org[:-2]}{number:02x}" for number in range(0xA0, 0xA4)))


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


def new_customer(customer_id: str, org: str, now: str, fields: Document) -> Document:
    """Make a customer resource; Kustomer generates a display name for a customer without a name."""
    name = fields.get("name") or " ".join(filter(None, (fields.get("firstName"), fields.get("lastName"))))
    attributes = _CUSTOMER | dict.fromkeys(("createdAt", "updatedAt", "modifiedAt", "lastActivityAt"), now)
    attributes |= {"displayName": name or generated_name(customer_id), "recentLocation": {"updatedAt": now}}
    if name:
        attributes["name"] = name
    return {
        "type": "customer",
        "id": customer_id,
        "attributes": attributes | fields,
        "relationships": org_references(org).relationships("customer", customer_id),
        "links": {"self": f"/v1/customers/{customer_id}"},
    }


def generated_name(customer_id: str) -> str:
    """Return the display name of a customer without a name."""
    return f"{COLOURS[int(customer_id[-1], 16) % 4]} {OBJECTS[int(customer_id[-2], 16) % 4]}"


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
    "firstResponse": NO_RESPONSE,
    "firstResponseSinceLastDone": NO_RESPONSE,
    "lastResponse": NO_RESPONSE,
    "firstDone": NO_RESPONSE,
    "lastDone": NO_RESPONSE,
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
_TRACKED_ATTRIBUTES = (
    "name",
    "priority",
    "channel",
    "assignedTeams",
    "assignedUsers",
    "brand",
    "defaultLang",
    "tags",
    "custom",
)


def new_conversation(conversation_id: str, org: str, customer: str, now: str, fields: Document) -> Document:
    """Make a conversation resource: open, without messages or channel."""
    attributes = _CONVERSATION | dict.fromkeys(("createdAt", "updatedAt", "modifiedAt", "lastActivityAt"), now)
    references = org_references(org)
    status_at = fields.get("lastDone", {}).get("createdAt") or fields.get("createdAt") or now
    attributes |= {
        "open": {"statusAt": fields.get("createdAt") or now},
        "modificationHistory": dict.fromkeys((f"{name}At" for name in _TRACKED_ATTRIBUTES), None)
        | {"statusAt": status_at},
    }
    relationships = references.relationships("conversation", conversation_id) | {
        "customer": relationship("customer", customer, "customers"),
        "queue": relationship("queue", references.queue, "routing/queues"),
        "brand": relationship("brand", references.brand, "brands"),
    }
    return {
        "type": "conversation",
        "id": conversation_id,
        "attributes": attributes | fields,
        "relationships": relationships,
        "links": {"self": f"/v1/conversations/{conversation_id}"},
    }


@dataclass(frozen=True, slots=True)
class ConversationMessage:
    """A message in compact form: an organisation holds many."""

    id: str
    sent_at: str
    channel: str
    is_inbound: bool
    text: str
    extra: Document = field(default_factory=dict)


def message_resource(
    message: ConversationMessage, references: OrgReferences, conversation: Document, *, rev: int = 1
) -> Document:
    """Make a message resource."""
    customer = conversation["relationships"]["customer"]["data"]["id"]
    attributes: Document = {
        "externalId": None,
        "direction": "in" if message.is_inbound else "out",
        "directionType": "initial-in" if message.is_inbound else "response-out",
        "channel": message.channel,
        "preview": message.text,
        "status": "received" if message.is_inbound else "sent",
        "createdAt": message.sent_at,
        "updatedAt": message.sent_at,
        "sentAt": message.sent_at,
        "rev": rev,
    }
    return {
        "type": "message",
        "id": message.id,
        "attributes": attributes | message.extra,
        "relationships": {
            "org": relationship("org", references.org, "orgs"),
            "customer": relationship("customers", customer, "customers"),
            "conversation": relationship("conversation", conversation["id"], "conversations"),
        },
        "links": {"self": f"/v1/messages/{message.id}"},
    }
