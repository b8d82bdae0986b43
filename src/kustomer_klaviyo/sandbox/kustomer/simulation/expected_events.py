"""The events and customers that Klaviyo is expected to have, for comparison with those it has."""

from typing import Any

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import ExpectedEvent, Organisation


def expected_events(organisation: Organisation) -> list[dict[str, Any]]:
    """Return every conversation created or done and every survey answered, with current customer data."""
    return [_event_row(organisation, event) for event in organisation.expected_events]


def expected_customers(organisation: Organisation) -> list[dict[str, Any]]:
    """Return every customer with their contacts and the number of their conversations that are not done."""
    return [
        _contact_fields(customer)
        | {"name": customer["attributes"].get("name"), "open_count": _open_count(organisation, customer)}
        for customer in organisation.customers.values()
        if not customer["attributes"]["deleted"]
    ]


def _open_count(organisation: Organisation, customer: Document) -> int:
    ids = organisation.conversations_of[customer["id"]]
    conversations = [organisation.conversations[conversation_id]["attributes"] for conversation_id in ids]
    return sum(attributes["status"] != "done" and not attributes.get("deleted") for attributes in conversations)


def _event_row(organisation: Organisation, event: ExpectedEvent) -> dict[str, Any]:
    conversation = organisation.conversations[event.conversation]
    customer = organisation.customers[conversation["relationships"]["customer"]["data"]["id"]]
    attributes = conversation["attributes"]
    return _contact_fields(customer) | {
        "kind": event.kind,
        "conversation": event.conversation,
        "subject": attributes.get("name"),
        "channel": event.channel,
        "occurred_at": event.occurred_at,
        "rating": event.rating,
        "score": event.score,
        "spam": attributes["spam"],
        "imported": bool(attributes.get("importedAt")),
        "deleted": bool(attributes.get("deleted")),
    }


def _contact_fields(customer: Document) -> dict[str, Any]:
    return {
        "customer": customer["id"],
        "email": own_contact(customer, "emails", "sharedEmails", "email"),
        "phone": own_contact(customer, "phones", "sharedPhones", "phone"),
    }


def own_contact(customer: Document, list_name: str, shared_list: str, key: str) -> str | None:
    """Return a contact that the customer does not share: the first verified one, else the first."""
    shared = [entry[key] for entry in customer["attributes"][shared_list]]
    own = [entry for entry in customer["attributes"][list_name] if entry[key] not in shared]
    verified = [entry for entry in own if entry.get("verified")]
    chosen = next(iter(verified or own), None)
    return None if chosen is None else str(chosen[key])
