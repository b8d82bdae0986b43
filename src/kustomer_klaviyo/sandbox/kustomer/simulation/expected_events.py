"""What really happened in the organisation, for comparison with what Klaviyo was told."""

from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation, Told


def expected(organisation: Organisation) -> list[dict[str, Any]]:
    """Return every conversation created, every closing, every survey answered, with whom it concerns as of now."""
    return [_entry(organisation, told) for told in organisation.truth]


def expected_people(organisation: Organisation) -> list[dict[str, Any]]:
    """Return every customer as of now: by what they are known, and how many of their conversations are not done."""
    return [
        {
            "customer": customer["id"],
            "email": own_contact(customer, "emails", "sharedEmails", "email"),
            "phone": own_contact(customer, "phones", "sharedPhones", "phone"),
            "name": customer["attributes"].get("name"),
            "open": sum(
                organisation.conversations[one]["attributes"]["status"] != "done"
                and not organisation.conversations[one]["attributes"].get("deleted")
                for one in organisation.conversations_of[customer["id"]]
            ),
        }
        for customer in organisation.customers.values()
        if not customer["attributes"]["deleted"]
    ]


def _entry(organisation: Organisation, told: Told) -> dict[str, Any]:
    conversation = organisation.conversations[told.conversation]
    customer = organisation.customers[conversation["relationships"]["customer"]["data"]["id"]]
    attributes = conversation["attributes"]
    return {
        "kind": told.kind,
        "conversation": told.conversation,
        "customer": customer["id"],
        "email": own_contact(customer, "emails", "sharedEmails", "email"),
        "phone": own_contact(customer, "phones", "sharedPhones", "phone"),
        "subject": attributes.get("name"),
        "channel": told.channel,
        "at": told.at,
        "rating": told.rating,
        "score": told.score,
        "spam": attributes["spam"],
        "imported": bool(attributes.get("importedAt")),
        "deleted": bool(attributes.get("deleted")),
    }


def own_contact(customer: Document, listed: str, shared: str, part: str) -> str | None:
    """Return the contact that is the customer's own: the first verified one, else the first."""
    strangers = [entry[part] for entry in customer["attributes"][shared]]
    own = [entry for entry in customer["attributes"][listed] if entry[part] not in strangers]
    verified = [entry for entry in own if entry.get("verified")]
    chosen = next(iter(verified or own), None)
    return None if chosen is None else str(chosen[part])
