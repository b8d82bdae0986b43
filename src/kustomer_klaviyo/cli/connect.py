"""``connect``: connects a Kustomer organisation to a Klaviyo account without a browser, or changes the connection."""

import asyncio
import contextlib
import getpass
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import aiohttp
from cyclopts import Parameter

from kustomer_klaviyo.cli.errors import ExitCode, UsageError
from kustomer_klaviyo.cli.output import bold, print_json, print_line, warning
from kustomer_klaviyo.connections.options import read_options
from kustomer_klaviyo.klaviyo.metric_names import KNOWN_NAMES
from kustomer_klaviyo.service import open_app
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.setup.connect_request import NAME_PATTERN, ConnectRequest, ConnectResult, require_public_url
from kustomer_klaviyo.setup.credentials import clean_secret
from kustomer_klaviyo.setup.service_urls import check_url
from kustomer_klaviyo.setup.wizard import SetupWizard
from kustomer_klaviyo.store.connections import Connection

KUSTOMER_KEY, KLAVIYO_KEY, WEBHOOK_TOKEN = "KUSTOMER_API_KEY", "KLAVIYO_PRIVATE_KEY", "KUSTOMER_WEBHOOK_TOKEN"
"""The environment variables with the secrets. In a terminal, missing keys are asked for."""

EARLIEST_SINCE, LATEST_SINCE = datetime(2000, 1, 1, tzinfo=UTC), timedelta(hours=1)
"""The earliest ``--since``, and how far it may lie in the future, since clocks differ a little."""


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectOptions:
    """The options of the command."""

    connection: str | None = None
    """The name of the connection; by default that of the organisation."""
    public_url: str | None = None
    """Where Kustomer reaches this service."""
    kustomer_url: str | None = None
    """The Kustomer API, if it is not https://ORGANISATION.api.kustomerapp.com."""
    klaviyo_url: str | None = None
    """The Klaviyo API, if it is not https://a.klaviyo.com."""
    since: datetime | None = None
    """Send nothing that happened earlier; by default the moment of connecting."""
    option: Annotated[Sequence[str], Parameter(name="--option", negative="")] = ()
    """NAME=VALUE; can be repeated. Events: created_metric, done_metric, csat_metric, conversation_link, spam,
    kustomer_imports, unidentified_retention_days. Profiles: profiles (everyone, conversations, none), update_only,
    support_state, default_country, placeholders, only_tags, only_attributes, external_id, merge_profiles, on_deletion
    (nothing, clear, erase), sweep_interval_minutes. Card: card_max_age_minutes, profile_link, list_link, segment_link,
    campaign_link, flow_link, kustomer_app_url, cards_sdk_url, card_sandbox. Service: kustomer_rate_share,
    event_retention_days, delivery_retention_days."""
    drop_old_key: Annotated[bool, Parameter(negative="")] = False
    """Remove the previous Klaviyo key instead of keeping it as a fallback."""
    site_id: str | None = None
    """The site ID (public key) of the Klaviyo account; a key of another account is rejected."""
    json: Annotated[bool, Parameter(name="--json", negative="")] = False
    """Print JSON."""


DEFAULT_OPTIONS = ConnectOptions()


def connect(organisation: str | None = None, *, options: ConnectOptions = DEFAULT_OPTIONS) -> int:
    """Connect a Kustomer organisation to a Klaviyo account, or change the connection; run it again at any time.

    Checks both keys, then creates the webhook in Kustomer, or finds it. The keys are read from KUSTOMER_API_KEY and
    KLAVIYO_PRIVATE_KEY, or asked for in a terminal. For an existing connection, an empty answer keeps the key.

    Example: kustomer-klaviyo connect acme --public-url https://hooks.acme.com
    Example: kustomer-klaviyo connect acme --option done_metric="Kustomer Conversation Close"

    Parameters
    ----------
    organisation
        The subdomain: acme for acme.kustomerapp.com.
    """
    name = options.connection or organisation
    if name is None or not NAME_PATTERN.match(name) or not NAME_PATTERN.match(organisation or name):
        raise UsageError("Name the Kustomer organisation (lower-case letters, digits, dashes): connect acme ...")
    request = ConnectRequest(
        name=name,
        organisation=organisation,
        public_url=_url(options.public_url),
        kustomer_url=_url(options.kustomer_url),
        klaviyo_url=_url(options.klaviyo_url),
        site_id=options.site_id,
        since=_utc(options.since),
        options=_read_pairs(options.option),
        drop_fallback_key=options.drop_old_key,
    )
    _report(asyncio.run(_connect(request)), json=options.json)
    return ExitCode.DONE


def _read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    options = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"--option needs NAME=VALUE, not {pair!r}")
        options[name.strip()] = value
    read_options(options)
    return options


def _url(text: str | None) -> str | None:
    return None if text is None else check_url(text)


def _utc(since: datetime | None) -> datetime | None:
    """Return the moment in UTC. Raises UsageError if no conversation can have happened then."""
    if since is None:
        return None
    try:
        moment = (since if since.tzinfo else since.replace(tzinfo=UTC)).astimezone(UTC)
    except OverflowError:
        moment = datetime.max.replace(tzinfo=UTC)
    latest = datetime.now(UTC) + LATEST_SINCE
    if not EARLIEST_SINCE <= moment <= latest:
        raise UsageError(
            f"--since must be from {EARLIEST_SINCE:%Y-%m-%d} to an hour from now, not {since.isoformat()}."
        )
    return moment


async def _connect(request: ConnectRequest) -> ConnectResult:
    async with open_app(load_settings()) as app, aiohttp.ClientSession() as session:
        wizard = SetupWizard(app.connections, session)
        existing = await wizard.find(request.name)
        require_public_url(request, existing)
        return await wizard.connect(_with_secrets(request, existing))


def _with_secrets(request: ConnectRequest, existing: Connection | None) -> ConnectRequest:
    """Add the secrets from the environment or the terminal."""
    kustomer_key, klaviyo_key = "", ""
    if existing is not None:
        kustomer_key, klaviyo_key = existing.secrets.kustomer_key, next(iter(existing.secrets.klaviyo_keys), "")
    has_token = bool(os.environ.get(WEBHOOK_TOKEN, "").strip())
    return replace(
        request,
        kustomer_key=_read_secret(KUSTOMER_KEY, "Kustomer API key", kustomer_key),
        klaviyo_key=_read_secret(KLAVIYO_KEY, "Klaviyo private key", klaviyo_key),
        webhook_token=_read_secret(WEBHOOK_TOKEN, "Kustomer webhook token", "") if has_token else None,
    )


def _read_secret(variable: str, title: str, existing: str) -> str:
    """Return a secret from the environment, else from the terminal, else the existing one. Raises UsageError."""
    secret = os.environ.get(variable, "").strip()
    if not secret and sys.stdin is not None and sys.stdin.isatty():
        with contextlib.suppress(EOFError):
            secret = getpass.getpass(f"{title}{' (empty: unchanged)' if existing else ''}: ").strip()
    if not secret and not existing:
        raise UsageError(f"No {title}: set {variable}, or run the command in a terminal to be asked for it.")
    return clean_secret(title, secret or existing)


def _report(result: ConnectResult, *, json: bool) -> None:
    if json:
        print_json(_document(result))
        return
    connection = result.connection
    print_line(bold(connection.id), f": {connection.organisation} -> Klaviyo {connection.klaviyo_account}")
    for option in KNOWN_NAMES:
        if option in connection.options:
            print_line(f"  metric, found in the account or chosen: {connection.options[option]}")
    for text in result.warnings:
        print_line("  ", warning(text))
    for text in result.missing:
        print_line(warning("  not possible with these keys"), f": {text}")
    print_line(f"  webhook {'found' if result.webhook_was_found else 'created'}: {connection.webhook_url}")
    print_line(f"  events are sent from {connection.since:%Y-%m-%d %H:%M} UTC on. Check with: kustomer-klaviyo status")


def _document(result: ConnectResult) -> dict[str, Any]:
    connection = result.connection
    return {
        "connection": connection.id,
        "organisation": connection.organisation,
        "klaviyo_account": connection.klaviyo_account,
        "webhook_id": connection.webhook_id,
        "webhook_url": connection.webhook_url,
        "webhook_was_found": result.webhook_was_found,
        "missing": result.missing,
        "warnings": result.warnings,
        "since": connection.since,
        "options": connection.options,
    }
