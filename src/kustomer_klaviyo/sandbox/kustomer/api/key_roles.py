"""API keys and their roles. Pure.

Rules: developer.kustomer.com/docs/get-started/api-keys-and-roles
"""

from collections.abc import Mapping

from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal

ROLE_FORMATS = ("org.permission.{}", "org.user.{}", "org.admin.{}", "org.{}")
"""The names, newer and older, of roles that grant a permission such as ``customer.read``."""


def check_key(authorization: str, keys: Mapping[str, frozenset[str]], permission: str | None) -> frozenset[str]:
    """Check the key in an ``Authorization`` header, and return its roles. Raises KustomerRefusal (401, 403)."""
    scheme, _, key = authorization.partition(" ")
    roles = keys.get(key) if scheme == "Bearer" else None
    if roles is None:
        raise KustomerRefusal(401, "unauthorized", "Unauthorized", detail="Invalid or expired token")
    if permission is not None and not has_permission(roles, permission):
        raise KustomerRefusal(403, "forbidden", "Forbidden", detail=f"Missing role org.permission.{permission}")
    return roles


def has_permission(roles: frozenset[str], permission: str) -> bool:
    """Return whether roles grant a permission. A role includes every role that starts with it."""
    names = [role_format.format(permission) for role_format in ROLE_FORMATS]
    # The older role for webhooks is plural: org.outbound_webhooks.
    names += [name.replace("outbound_webhook.", "outbound_webhooks.") for name in names]
    return any(name == role or name.startswith(f"{role}.") for name in names for role in roles)
