"""Custom attributes of customers and conversations, and their definitions. Pure.

The suffix of a name is its type (developer.kustomer.com/api): ``Str``, ``Txt``, ``Num``, ``At``, ``Bool``, ``Url``.
"""

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

CUSTOM_ATTRIBUTES: dict[str, dict[str, str]] = {
    "customer": {
        "loyaltyTierStr": "Loyalty tier",
        "loyaltyPointsNum": "Loyalty points",
        "memberSinceAt": "Member since",
        "vipBool": "VIP",
        "shoeSizeNum": "Shoe size",
        "favouriteShopUrl": "Favourite shop",
        "internalNoteTxt": "Internal note",
    },
    "conversation": {"orderNumberStr": "Order number", "reasonStr": "Contact reason"},
    "company": {},
    "message": {},
}
"""Attribute names with their display names."""

TYPES = {"Str": "string", "Txt": "string", "Num": "number", "At": "date", "Bool": "boolean", "Url": "string"}


def metadata_resource(kind: str) -> Document:
    """Return the definitions for one kind of resource."""
    properties = {
        name: {"displayName": title, "type": _type(name), "array": False, "enumeration": False, "multi": False}
        for name, title in CUSTOM_ATTRIBUTES[kind].items()
    }
    return {
        "type": "metadata",
        "id": kind,
        "attributes": {"name": kind, "properties": properties},
        "links": {"self": f"/v1/metadata/{kind}"},
    }


def _type(name: str) -> str:
    return next(kind for suffix, kind in TYPES.items() if name.endswith(suffix))
