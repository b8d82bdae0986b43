"""What an admin asks set-up for, the connection to save, and what is worth a warning. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kustomer_klaviyo.connections.context import load_context
from kustomer_klaviyo.connections.options import read_options
from kustomer_klaviyo.setup.credentials import with_klaviyo_key
from kustomer_klaviyo.setup.service_urls import KLAVIYO_URL, KUSTOMER_URL, is_local, webhook_url
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode
from kustomer_klaviyo.store.connections import Connection, Secrets

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
"""Names of organisations and connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectRequest:
    """A connection to create or change. None keeps the existing value, or means the default of a new connection."""

    name: str
    organisation: str | None = None
    public_url: str | None = None
    """Where Kustomer reaches this service."""
    kustomer_url: str | None = None
    klaviyo_url: str | None = None
    kustomer_key: str | None = field(default=None, repr=False)
    klaviyo_key: str | None = field(default=None, repr=False)
    webhook_token: str | None = field(default=None, repr=False)
    """The token of a webhook that the admin created; then set-up creates none."""
    klaviyo_account: str | None = None
    """The account of the Klaviyo key, if the key was checked already."""
    site_id: str | None = None
    """The account that the Klaviyo key must belong to."""
    since: datetime | None = None
    options: dict[str, Any] = field(default_factory=dict)
    drop_fallback_key: bool = False


@dataclass(frozen=True, slots=True)
class ConnectResult:
    """A saved connection, and what set-up found out about it."""

    connection: Connection
    webhook_was_found: bool
    missing: list[str]
    """Optional scopes and permissions that the keys lack."""
    warnings: list[str]
    """Valid settings that are probably a mistake."""


def is_complete(connection: Connection) -> bool:
    """Whether the connection has its webhook. A crash during set-up leaves one without."""
    return connection.webhook_id is not None or bool(connection.secrets.webhook_tokens)


def require_public_url(request: ConnectRequest, existing: Connection | None) -> None:
    """Raise SetupError unless the request or the existing connection says where Kustomer reaches this service."""
    if request.public_url is None and (existing is None or existing.webhook_url is None):
        raise SetupError(SetupErrorCode.PUBLIC_URL_MISSING)


def draft_connection(request: ConnectRequest, existing: Connection | None) -> Connection:
    """Return the connection to save: the existing or a new one, with what the request says. Raises OptionsError."""
    require_public_url(request, existing)
    organisation = request.organisation or (existing.organisation if existing else request.name)
    base = existing or Connection(
        id=request.name,
        organisation=organisation,
        kustomer_url=KUSTOMER_URL.format(organisation),
        klaviyo_url=KLAVIYO_URL,
        secrets=Secrets("", (), ()),
        since=datetime.now(UTC),
    )
    options = base.options | request.options
    read_options(options)
    return replace(
        base,
        organisation=organisation,
        kustomer_url=request.kustomer_url or base.kustomer_url,
        klaviyo_url=request.klaviyo_url or base.klaviyo_url,
        secrets=_secrets(request, base.secrets),
        since=request.since or base.since,
        options=options,
        webhook_url=base.webhook_url if request.public_url is None else webhook_url(request.public_url, request.name),
    )


def _secrets(request: ConnectRequest, existing: Secrets) -> Secrets:
    secrets = replace(existing, kustomer_key=request.kustomer_key or existing.kustomer_key)
    klaviyo_key = request.klaviyo_key or next(iter(existing.klaviyo_keys), "")
    return with_klaviyo_key(secrets, klaviyo_key, keep_previous=not request.drop_fallback_key)


def setting_warnings(request: ConnectRequest, connection: Connection) -> list[str]:
    """Return warnings about settings that are valid but probably a mistake."""
    warnings = []
    effective_since = load_context(connection).rules.since
    if request.since is not None and effective_since > connection.since:
        warnings.append(
            f"--since is earlier than delivery_retention_days allows: nothing before {effective_since:%Y-%m-%d} is sent"
        )
    url = connection.webhook_url or ""
    if url.startswith("http://") and not is_local(url):
        warnings.append(f"{url} is not https: Kustomer sends webhooks to https only")
    return warnings


def metric_warnings(connection: Connection, duplicate_names: Sequence[str]) -> list[str]:
    """Return warnings about metric names that several metrics of the account have."""
    options = read_options(connection.options)
    used = (options.created_metric, options.done_metric, options.csat_metric)
    return [
        f"the Klaviyo account has several metrics called {name!r}: use the one of this service (integration API) in "
        "flows and segments, or choose another name with --option"
        for name in duplicate_names
        if name in used
    ]
