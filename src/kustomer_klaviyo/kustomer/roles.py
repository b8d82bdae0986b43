"""What a Kustomer API key may do, told by its roles. Pure.

Roles and permissions: developer.kustomer.com/docs/get-started/api-keys-and-roles
"""

from collections.abc import Collection
from dataclasses import dataclass

FORMS = ("org.permission.{}", "org.user.{}", "org.admin.{}", "org.{}")
"""The names, newer and older, under which a role may grant a permission such as ``customer.read``."""


@dataclass(frozen=True, slots=True)
class Permission:
    """Something the key should be allowed to do."""

    name: str
    why: str
    """What does not work without it."""
    is_needed: bool = True


PERMISSIONS = (
    Permission("customer.read", "reading customers whom no webhook told of"),
    Permission("conversation.read", "reading a conversation again when its webhook was lost"),
    Permission("search.create", "finding deleted and merged customers"),
    Permission("customer_merge.read", "telling a merged customer from a deleted one"),
    Permission("outbound_webhook.read", "finding our webhook"),
    Permission("outbound_webhook.create", "creating our webhook"),
    Permission("outbound_webhook.delete", "replacing our webhook when Kustomer switched it off"),
    Permission("metadata.read", "showing your own attributes for the mapping", is_needed=False),
    Permission("brand.read", "routing brands by their names", is_needed=False),
    Permission("apps", "installing the card", is_needed=False),
    Permission("setting.update", "giving the card its secret", is_needed=False),
)


def is_granted(permission: str, roles: Collection[str]) -> bool:
    """Say whether roles grant a permission: one stands for all that begin with it."""
    names = [form.format(permission) for form in FORMS]
    names += [name.replace("outbound_webhook.", "outbound_webhooks.") for name in names]
    return any(name == role or name.startswith(f"{role}.") for name in names for role in roles)
