"""Masking of sensitive customer attributes. Pure.

Format: developer.kustomer.com/kustomer-apps-platform/docs/data-masking
"""

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

MASK = "********"
SENSITIVE = ("name", "firstName", "lastName", "displayName", "username")
CONTACT_LISTS = {
    "emails": "email",
    "sharedEmails": "email",
    "phones": "phone",
    "sharedPhones": "phone",
    "whatsapps": "phone",
}


def masked(resource: Document) -> Document:
    """Return a customer with every sensitive value masked; other resources are returned unchanged."""
    if resource["type"] != "customer":
        return resource
    return resource | {"attributes": _masked_attributes(resource["attributes"])}


def masked_event(envelope: Document) -> Document:
    """Return an event with its customer and the customer's differences masked."""
    if envelope["data"]["type"] != "customer":
        return envelope
    result = envelope | {"data": masked(envelope["data"])}
    if "changes" in envelope:
        changed = {
            name: {
                side: _masked_attributes({name: value})[name] if side != "op" else value
                for side, value in change.items()
            }
            for name, change in envelope["changes"]["attributes"].items()
        }
        result["changes"] = envelope["changes"] | {"attributes": changed}
    return result


def _masked_attributes(attributes: Document) -> Document:
    names = {name: MASK for name in SENSITIVE if attributes.get(name)}
    lists = {
        name: [entry | {value_key: MASK} for entry in attributes[name]]
        for name, value_key in CONTACT_LISTS.items()
        if name in attributes
    }
    return attributes | names | lists
