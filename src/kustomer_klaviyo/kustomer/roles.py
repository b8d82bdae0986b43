"""Kustomer API key permissions, derived from the key's roles. Pure.

Roles and permissions: developer.kustomer.com/docs/get-started/api-keys-and-roles
"""

from collections.abc import Collection
from dataclasses import dataclass

FORMS = ("org.permission.{}", "org.user.{}", "org.admin.{}", "org.{}")
"""The newer and older role names that grant a permission such as ``customer.read``."""


@dataclass(frozen=True, slots=True)
class Permission:
    """A permission that the key should have."""

    name: str
    purpose: str
    """What does not work without it."""
    is_required: bool = True


PERMISSIONS = (
    Permission("customer.read", "reading customers that are unknown yet"),
    Permission("conversation.read", "reading a conversation again when its webhook was lost"),
    Permission("search.create", "finding deleted and merged customers"),
    Permission("customer_merge.read", "distinguishing merged from deleted customers"),
    Permission("outbound_webhook.read", "finding the connection's webhook"),
    Permission("outbound_webhook.create", "creating the connection's webhook"),
    Permission("outbound_webhook.delete", "replacing the connection's webhook when Kustomer switched it off"),
    Permission("metadata.read", "showing custom attributes for the mapping", is_required=False),
    Permission("brand.read", "routing brands by their names", is_required=False),
    Permission("apps", "installing the card", is_required=False),
    Permission("setting.update", "giving the card its secret", is_required=False),
)


def is_granted(permission: str, roles: Collection[str]) -> bool:
    """Return whether roles grant a permission: a role grants every permission that begins with its name."""
    names = [form.format(permission) for form in FORMS]
    names += [name.replace("outbound_webhook.", "outbound_webhooks.") for name in names]
    return any(name == role or name.startswith(f"{role}.") for name in names for role in roles)
