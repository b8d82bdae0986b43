"""Documents in Kustomer's format. A test names only the attributes that matter to it."""

from typing import Any

CONVERSATION = "67dd47dfbc632c1804db1bf1"
CUSTOMER = "5f19aa0b1c2d3e4f5a6b7c8d"
OPENED_AT = "2026-03-20T18:50:55.976Z"


def conversation(
    *, rev: int = 1, conversation_id: str = CONVERSATION, customer: str | None = CUSTOMER, **attributes: Any
) -> dict[str, Any]:
    """Return a conversation."""
    relationships: dict[str, Any] = {}
    if customer is not None:
        relationships["customer"] = {"data": {"type": "customer", "id": customer}}
    defaults: dict[str, Any] = {
        "name": "Where is my order?",
        "status": "open",
        "channels": [],
        "createdAt": OPENED_AT,
        "updatedAt": OPENED_AT,
        "firstDone": {"createdByTeams": []},
        "lastDone": {"createdByTeams": []},
        "satisfactionLevel": {"sentByTeams": [], "answers": []},
        "modificationHistory": {"statusAt": OPENED_AT, "brandAt": None},
        "rev": rev,
    }
    return {
        "type": "conversation",
        "id": conversation_id,
        "attributes": defaults | attributes,
        "relationships": relationships,
    }


def customer(*, rev: int = 1, customer_id: str = CUSTOMER, **attributes: Any) -> dict[str, Any]:
    """Return a customer."""
    defaults: dict[str, Any] = {"displayName": "Silver Scissors", "emails": [], "phones": [], "rev": rev}
    return {"type": "customer", "id": customer_id, "attributes": defaults | attributes}


def email(address: str, *, verified: bool = False) -> dict[str, Any]:
    """Return an entry of a customer's emails."""
    return {"type": "home", "email": address, "verified": verified}


def phone(number: str, *, verified: bool = False) -> dict[str, Any]:
    """Return an entry of a customer's phones."""
    return {"type": "mobile", "phone": number, "verified": verified}


def event(resource: dict[str, Any], verb: str = "update", **envelope: Any) -> dict[str, Any]:
    """Return the body of a webhook."""
    defaults: dict[str, Any] = {
        "id": "67dd47dfbc632c1804db1e01",
        "name": f"kustomer.{resource['type']}.{verb}",
        "org": "67dd47dfbc632c1804db1b00",
        "data": resource,
        "createdAt": "2026-03-21T20:20:11.435Z",
        "persist": True,
        "client": "api-gw",
    }
    return defaults | envelope
