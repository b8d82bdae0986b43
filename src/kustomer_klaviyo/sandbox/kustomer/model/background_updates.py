"""Background updates: routing, tags, activity, message delivery. None of them causes an event in Klaviyo."""

import random

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation


def add_background_update(org: Organisation, conversation: Document, customer: Document, rng: random.Random) -> None:
    """Make one random update."""
    references, attributes = org.references, conversation["attributes"]
    match rng.randrange(5):
        case 0:
            org.update(customer, {"lastActivityAt": org.now()}, is_edit=False)
        case 1:
            org.update(conversation, {"tags": [*attributes["tags"][-4:], references.team]})
        case 2:
            org.update(conversation, {"assignedUsers": [references.agent], "assignedTeams": [references.team]})
        case 3 if messages := org.messages_of[conversation["id"]]:
            org.update_message(conversation, messages[-1], {"status": "delivered", "updatedAt": org.now()})
        case _:
            org.update(conversation, {"lastActivityAt": org.now(), "phase": "active"}, is_edit=False)
