"""Merging customers: contacts are combined and conversations move. The only event is the target's update.

Rules: developer.kustomer.com/api (customer merges)
"""

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, relationship
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation

COMBINED = (
    "emails", "sharedEmails", "phones", "sharedPhones", "whatsapps", "socials", "locations", "watchers", "tags",
    "externalIds",
)  # fmt: skip
TARGET_WINS = (
    "name", "firstName", "lastName", "displayName", "companyName", "externalId", "username", "avatarUrl", "locale",
    "timeZone", "birthdayAt", "gender",
)  # fmt: skip
LATEST = ("signedUpAt", "lastSeenAt", "lastActivityAt", "lastCustomerActivityAt")


def merge(org: Organisation, source: Document, target: Document) -> Document:
    """Merge the source into the target, and return the record of the merge. The source is deleted."""
    changes = combined_attributes(source["attributes"], target["attributes"])
    org.delete(source)
    org.update(target, changes)
    for conversation_id in org.conversations_of.pop(source["id"], []):
        conversation = org.conversations[conversation_id]
        owner = {"customer": relationship("customer", target["id"], "customers")}
        conversation["relationships"] = conversation["relationships"] | owner
        org.conversations_of[target["id"]].append(conversation_id)
    record = _record(org, source, target)
    org.merges.append(record)
    return record


def combined_attributes(source: Document, target: Document) -> Document:
    """Return the attributes that the target gains."""
    changes: Document = {
        name: [*target.get(name, []), *(entry for entry in source.get(name, []) if entry not in target.get(name, []))]
        for name in COMBINED
        if source.get(name)
    }
    changes |= {name: source[name] for name in TARGET_WINS if source.get(name) and not target.get(name)}
    changes |= {name: max(source[name], target.get(name, "")) for name in LATEST if source.get(name)}
    if source.get("custom"):
        changes["custom"] = source["custom"] | target.get("custom", {})
    counts = target["conversationCounts"]
    changes["conversationCounts"] = {name: count + source["conversationCounts"][name] for name, count in counts.items()}
    return changes | {"createdAt": min(source["createdAt"], target["createdAt"])}


def _record(org: Organisation, source: Document, target: Document) -> Document:
    now, merge_id = org.now(), org.new_id()
    return {
        "type": "customer_merge",
        "id": merge_id,
        "attributes": {"status": "complete", "createdAt": now, "updatedAt": now},
        "relationships": {
            "source": relationship("customer", source["id"], "customers"),
            "target": relationship("customer", target["id"], "customers"),
            "createdBy": relationship("user", org.references.agent, "users"),
        },
        "links": {"self": f"/v1/customers/merges/{merge_id}"},
    }
