"""Checks what two API keys may do, before anything is saved."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.scopes import (
    ERASURE_SCOPE,
    NATIVE_APP_SCOPES,
    PROBES,
    ScopeProbe,
    ScopeStatus,
    key_page_url,
    scope_status,
)
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.roles import PERMISSIONS, Permission, is_granted
from kustomer_klaviyo.kustomer.wire import as_text
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Throttled
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode, VendorAction
from kustomer_klaviyo.setup.vendor_response import accepted_json, decode_json

PARALLEL_PROBES = 4
ACCOUNTS_SCOPE = "accounts:read"


@dataclass(frozen=True, slots=True)
class ScopeCheck:
    """Whether a key has one scope or permission."""

    name: str
    purpose: str
    is_required: bool
    status: ScopeStatus
    in_native_app: bool = False
    """Kustomer's own app asks for this scope too."""


class MissingScopes(SetupError):
    """A key is valid, but lacks required scopes or permissions."""

    def __init__(self, code: SetupErrorCode, checks: Sequence[ScopeCheck], **details: object) -> None:
        super().__init__(code, **details)
        self.checks = checks


@dataclass(frozen=True, slots=True)
class KlaviyoCheck:
    """The account and scopes of a Klaviyo key."""

    account: str
    """The site ID of the key's account."""
    account_name: str | None
    """None if the key may not read it."""
    checks: tuple[ScopeCheck, ...]

    def require(self) -> None:
        """Raise MissingScopes if a required scope is missing."""
        scopes = missing(self.checks, required=True)
        if scopes:
            raise MissingScopes(
                SetupErrorCode.KLAVIYO_SCOPES_MISSING, self.checks, scopes=", ".join(scopes), url=key_page_url(scopes)
            )


@dataclass(frozen=True, slots=True)
class KustomerCheck:
    """The organisation and permissions of a Kustomer key."""

    organisation: str | None
    checks: tuple[ScopeCheck, ...]

    def require(self) -> None:
        """Raise MissingScopes if a required permission is missing."""
        permissions = missing(self.checks, required=True)
        if permissions:
            roles = ", ".join(f"org.permission.{name}" for name in permissions)
            raise MissingScopes(SetupErrorCode.KUSTOMER_ROLES_MISSING, self.checks, roles=roles)


def missing(checks: Sequence[ScopeCheck], *, required: bool) -> list[str]:
    """Return the names of the missing scopes: the required ones, or the optional ones."""
    return [check.name for check in checks if check.status is ScopeStatus.MISSING and check.is_required is required]


async def check_klaviyo(
    client: KlaviyoClient, *, site_id: str | None = None, options: Mapping[str, Any] | None = None
) -> KlaviyoCheck:
    """Check that a key is valid and belongs to the account, and read its scopes. Raises SetupError.

    Some ``options`` of a connection require scopes of their own.
    """
    outcome = await client.account()
    _require_valid_key(outcome)
    erases = (options or {}).get("on_deletion") == "erase"
    checks = await _probe_scopes(client, outcome, erases=erases)
    # Every response to a valid key names the account.
    account = client.account_id
    if account is None:
        raise SetupError(SetupErrorCode.KLAVIYO_ACCOUNT_UNKNOWN)
    if site_id is not None and site_id.strip().lower() != account.lower():
        raise SetupError(SetupErrorCode.SITE_ID_MISMATCH, account=account, site_id=site_id.strip())
    return KlaviyoCheck(account, _account_name(outcome), checks)


def _require_valid_key(outcome: Outcome) -> None:
    """Raise SetupError unless Klaviyo accepted the key in the request for its account."""
    match outcome:
        case LockedOut(status=401):
            raise SetupError(SetupErrorCode.KLAVIYO_KEY_REJECTED)
        case Accepted() | LockedOut(status=403) | Throttled():
            # This request has the lowest rate limit of all, and its scope is optional.
            pass
        case _:
            raise SetupError(SetupErrorCode.KLAVIYO_UNAVAILABLE, detail=outcome.detail)


async def _probe_scopes(client: KlaviyoClient, account: Outcome, *, erases: bool) -> tuple[ScopeCheck, ...]:
    semaphore = asyncio.Semaphore(PARALLEL_PROBES)

    async def check(probe: ScopeProbe) -> ScopeCheck:
        async with semaphore:
            outcome = account if probe.scope == ACCOUNTS_SCOPE else await client.probe(probe)
        is_required = probe.is_required or (erases and probe.scope == ERASURE_SCOPE)
        status = scope_status(probe, outcome)
        return ScopeCheck(probe.scope, probe.purpose, is_required, status, probe.scope in NATIVE_APP_SCOPES)

    return tuple(await asyncio.gather(*map(check, PROBES)))


def _account_name(outcome: Outcome) -> str | None:
    if not isinstance(outcome, Accepted):
        return None
    accounts = as_list(decode_json(outcome.body, VendorAction.READ_KLAVIYO_ACCOUNT).get("data"))
    attributes = as_object(as_object(accounts[0]).get("attributes")) if accounts else {}
    return as_text(as_object(attributes.get("contact_information")).get("organization_name"))


async def check_kustomer(client: KustomerClient, *, organisation: str | None = None) -> KustomerCheck:
    """Check that a key is valid and belongs to the organisation, and read its permissions. Raises SetupError."""
    document = accepted_json(await client.organisation(), VendorAction.READ_ORGANISATION)
    name = as_text(as_object(as_object(document.get("data")).get("attributes")).get("name"))
    if organisation is not None and name is not None and name != organisation:
        raise SetupError(SetupErrorCode.ORGANISATION_MISMATCH, actual=name, expected=organisation)
    roles = await _read_roles(client)
    return KustomerCheck(name, tuple(_permission_check(permission, roles) for permission in PERMISSIONS))


def _permission_check(permission: Permission, roles: list[str] | None) -> ScopeCheck:
    if roles is None:
        status = ScopeStatus.UNKNOWN
    else:
        status = ScopeStatus.GRANTED if is_granted(permission.name, roles) else ScopeStatus.MISSING
    return ScopeCheck(permission.name, permission.purpose, permission.is_required, status)


async def _read_roles(client: KustomerClient) -> list[str] | None:
    """Return the key's roles; None if Kustomer does not show them."""
    for request in (client.token, client.user):
        outcome = await request()
        if isinstance(outcome, Accepted):
            document = decode_json(outcome.body, VendorAction.READ_ROLES)
            attributes = as_object(as_object(document.get("data")).get("attributes"))
            roles = [role for role in as_list(attributes.get("roles")) if isinstance(role, str)]
            if roles:
                return roles
    return None
