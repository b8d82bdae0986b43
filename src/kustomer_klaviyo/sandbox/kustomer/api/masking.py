"""What is shown of a customer to whom may not read sensitive data. Pure.

How masked values look: developer.kustomer.com/kustomer-apps-platform/docs/data-masking
"""

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

MASK = "********"
SENSITIVE = ("name", "firstName", "lastName", "displayName", "username")
CONTACTS = {
    "emails": "email",
    "sharedEmails": "email",
    "phones": "phone",
    "sharedPhones": "phone",
    "whatsapps": "phone",
}


def masked(resource: Document) -> Document:
    """Return a customer with every sensitive value hidden; anything else as it is."""
    if resource["type"] != "customer":
        return resource
    return resource | {"attributes": _hidden(resource["attributes"])}


def masked_event(envelope: Document) -> Document:
    """Return an event with the customer it shows, and the differences it tells, hidden."""
    if envelope["data"]["type"] != "customer":
        return envelope
    hidden = envelope | {"data": masked(envelope["data"])}
    if "changes" in envelope:
        changed = {
            name: {side: _hidden({name: value})[name] if side != "op" else value for side, value in change.items()}
            for name, change in envelope["changes"]["attributes"].items()
        }
        hidden["changes"] = envelope["changes"] | {"attributes": changed}
    return hidden


def _hidden(attributes: Document) -> Document:
    hidden = {name: MASK for name in SENSITIVE if attributes.get(name)}
    lists = {
        name: [entry | {part: MASK} for entry in attributes[name]]
        for name, part in CONTACTS.items()
        if name in attributes
    }
    return attributes | hidden | lists
