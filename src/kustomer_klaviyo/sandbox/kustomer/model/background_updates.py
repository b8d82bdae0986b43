"""What workers and agents write all day: routing, tags, activity, deliveries. It tells nothing new."""

import random

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Organisation


def murmur(org: Organisation, conversation: Document, customer: Document, chance: random.Random) -> None:
    """Write one update that tells nothing new."""
    around, attributes = org.around, conversation["attributes"]
    match chance.randrange(5):
        case 0:
            org.change(customer, {"lastActivityAt": org.now()}, is_edit=False)
        case 1:
            org.change(conversation, {"tags": [*attributes["tags"][-4:], around.team]})
        case 2:
            org.change(conversation, {"assignedUsers": [around.agent], "assignedTeams": [around.team]})
        case 3 if messages := org.messages_of[conversation["id"]]:
            org.touch_message(conversation, messages[-1], {"status": "delivered", "updatedAt": org.now()})
        case _:
            org.change(conversation, {"lastActivityAt": org.now(), "phase": "active"}, is_edit=False)
