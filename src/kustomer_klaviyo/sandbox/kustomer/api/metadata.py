"""The organisation's own attributes of customers and conversations, as its definitions tell of them. Pure.

The ending of a name is its type (developer.kustomer.com/api): ``Str``, ``Txt``, ``Num``, ``At``, ``Bool``, ``Url``.
"""

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

CUSTOM: dict[str, dict[str, str]] = {
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
"""Names as the API has them, and as people see them."""

TYPES = {"Str": "string", "Txt": "string", "Num": "number", "At": "date", "Bool": "boolean", "Url": "string"}


def metadata_resource(kind: str) -> Document:
    """Show the definitions of one kind of resource."""
    properties = {
        name: {"displayName": title, "type": _type(name), "array": False, "enumeration": False, "multi": False}
        for name, title in CUSTOM[kind].items()
    }
    return {
        "type": "metadata",
        "id": kind,
        "attributes": {"name": kind, "properties": properties},
        "links": {"self": f"/v1/metadata/{kind}"},
    }


def _type(name: str) -> str:
    return next(kind for ending, kind in TYPES.items() if name.endswith(ending))
