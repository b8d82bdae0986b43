"""How two customers become one: contacts join, conversations move, and no event tells of it but the target's change.

Rules: developer.kustomer.com/api (customer merges)
"""

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document, related
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation

UNITED = (
    "emails", "sharedEmails", "phones", "sharedPhones", "whatsapps", "socials", "locations", "watchers", "tags",
    "externalIds",
)  # fmt: skip
TARGET_WINS = (
    "name", "firstName", "lastName", "displayName", "companyName", "externalId", "username", "avatarUrl", "locale",
    "timeZone", "birthdayAt", "gender",
)  # fmt: skip
LATEST = ("signedUpAt", "lastSeenAt", "lastActivityAt", "lastCustomerActivityAt")


def merge(org: Organisation, source: Document, target: Document) -> Document:
    """Unite two customers and return the merge's record; the source is gone."""
    news = united(source["attributes"], target["attributes"])
    org.delete(source)
    org.change(target, news)
    for one in org.conversations_of.pop(source["id"], []):
        conversation = org.conversations[one]
        moved = {"customer": related("customer", target["id"], "customers")}
        conversation["relationships"] = conversation["relationships"] | moved
        org.conversations_of[target["id"]].append(one)
    record = _record(org, source, target)
    org.merges.append(record)
    return record


def united(source: Document, target: Document) -> Document:
    """Return the attributes that the target gains."""
    news: Document = {
        name: [*target.get(name, []), *(entry for entry in source.get(name, []) if entry not in target.get(name, []))]
        for name in UNITED
        if source.get(name)
    }
    news |= {name: source[name] for name in TARGET_WINS if source.get(name) and not target.get(name)}
    news |= {name: max(source[name], target.get(name, "")) for name in LATEST if source.get(name)}
    if source.get("custom"):
        news["custom"] = source["custom"] | target.get("custom", {})
    counts = target["conversationCounts"]
    news["conversationCounts"] = {name: count + source["conversationCounts"][name] for name, count in counts.items()}
    return news | {"createdAt": min(source["createdAt"], target["createdAt"])}


def _record(org: Organisation, source: Document, target: Document) -> Document:
    now, one = org.now(), org.new_id()
    return {
        "type": "customer_merge",
        "id": one,
        "attributes": {"status": "complete", "createdAt": now, "updatedAt": now},
        "relationships": {
            "source": related("customer", source["id"], "customers"),
            "target": related("customer", target["id"], "customers"),
            "createdBy": related("user", org.around.agent, "users"),
        },
        "links": {"self": f"/v1/customers/merges/{one}"},
    }
