"""The documents of a Kustomer organisation as new ones look: customers, conversations, messages."""

import itertools
import secrets
from datetime import UTC, datetime
from typing import Any

Document = dict[str, Any]

_sequence = itertools.count(secrets.randbits(20))

NO_HANDLING: Document = {"createdByTeams": [], "assignedTeams": [], "assignedUsers": []}


def new_id(now: float) -> str:
    """Return a 24-hex id that grows with time, as MongoDB makes them."""
    return f"{int(now):08x}{secrets.token_hex(5)}{next(_sequence) & 0xFFFFFF:06x}"


def moment(epoch: float) -> str:
    """Return a time as Kustomer writes it: milliseconds and ``Z``."""
    return datetime.fromtimestamp(epoch, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def related(kind: str, one: str, path: str) -> Document:
    """Return a relationship to one resource."""
    return {"data": {"type": kind, "id": one}, "links": {"self": f"/v1/{path}/{one}"}}


def new_customer(one: str, org: str, now: str, given: Document) -> Document:
    """Make a customer's resource; without a name Kustomer invents one to display."""
    name = given.get("name") or " ".join(filter(None, (given.get("firstName"), given.get("lastName"))))
    attributes: Document = {
        "displayName": name or _invented(one),
        "displayColor": "pink",
        "displayIcon": "stereo",
        "externalIds": [],
        "sharedExternalIds": [],
        "emails": [],
        "sharedEmails": [],
        "phones": [],
        "sharedPhones": [],
        "whatsapps": [],
        "socials": [],
        "urls": [],
        "locations": [],
        "activeUsers": [],
        "watchers": [],
        "recentLocation": {"updatedAt": now},
        "locale": None,
        "birthdayAt": None,
        "createdAt": now,
        "updatedAt": now,
        "modifiedAt": now,
        "lastActivityAt": now,
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
    if name:
        attributes["name"] = name
    return {
        "type": "customer",
        "id": one,
        "attributes": attributes | given,
        "relationships": {
            "messages": {"links": {"self": f"/v1/customers/{one}/messages"}},
            "org": related("org", org, "orgs"),
        },
        "links": {"self": f"/v1/customers/{one}"},
    }


def _invented(one: str) -> str:
    colours, things = ("Silver", "Amber", "Violet", "Teal"), ("Scissors", "Lantern", "Teapot", "Anchor")
    return f"{colours[int(one[-1], 16) % 4]} {things[int(one[-2], 16) % 4]}"


def new_conversation(one: str, org: str, customer: str, now: str, given: Document) -> Document:
    """Make a conversation's resource: open, without messages or channel."""
    attributes: Document = {
        "channels": [],
        "status": "open",
        "open": {"statusAt": now},
        "messageCount": 0,
        "noteCount": 0,
        "satisfaction": 0,
        "satisfactionLevel": {"sentByTeams": [], "answers": []},
        "createdAt": now,
        "updatedAt": now,
        "modifiedAt": now,
        "lastActivityAt": now,
        "spam": False,
        "ended": False,
        "tags": [],
        "suggestedTags": [],
        "predictions": [],
        "firstMessageIn": {},
        "firstMessageOut": {"createdByTeams": []},
        "lastMessageIn": {},
        "lastMessageOut": {},
        "assignedUsers": [],
        "assignedTeams": [],
        "firstResponse": dict(NO_HANDLING),
        "lastResponse": dict(NO_HANDLING),
        "firstDone": dict(NO_HANDLING),
        "lastDone": dict(NO_HANDLING),
        "doneCount": 0,
        "reopenCount": 0,
        "direction": "in",
        "outboundMessageCount": 0,
        "inboundMessageCount": 0,
        "rev": 1,
        "priority": 3,
        "defaultLang": "en_us",
        "modificationHistory": {"nameAt": None, "statusAt": now, "tagsAt": None, "brandAt": None, "customAt": None},
        "billingStatus": "no_messages",
        "assistant": {"fac": {"reasons": [], "exclusions": [], "source": {}}, "assistantId": []},
        "aiAgent": {"automationId": []},
        "phase": "initial",
        "matchedTimeBasedRules": [],
    }
    return {
        "type": "conversation",
        "id": one,
        "attributes": attributes | given,
        "relationships": {
            "messages": {"links": {"self": f"/v1/conversations/{one}/messages"}},
            "org": related("org", org, "orgs"),
            "customer": related("customer", customer, "customers"),
        },
        "links": {"self": f"/v1/conversations/{one}"},
    }


def new_message(one: str, org: str, conversation: Document, now: str, given: Document) -> Document:
    """Make a message's resource."""
    customer = conversation["relationships"]["customer"]["data"]["id"]
    attributes: Document = {
        "externalId": None,
        "direction": "in",
        "channel": "email",
        "preview": "",
        "status": "received",
        "createdAt": now,
        "updatedAt": now,
        "sentAt": now,
        "rev": 1,
    }
    return {
        "type": "message",
        "id": one,
        "attributes": attributes | given,
        "relationships": {
            "org": related("org", org, "orgs"),
            "customer": related("customers", customer, "customers"),
            "conversation": related("conversation", conversation["id"], "conversations"),
        },
        "links": {"self": f"/v1/messages/{one}"},
    }
