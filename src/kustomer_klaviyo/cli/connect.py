"""``connect``: joins a Kustomer organisation to a Klaviyo account without a browser, or changes such a connection."""

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

from kustomer_klaviyo.cli.failures import ExitCode, UsageError
from kustomer_klaviyo.cli.output import bold, print_json, say, warning
from kustomer_klaviyo.connections.clock import clock_problem, keep_clock, kustomer_now
from kustomer_klaviyo.connections.options import read_options
from kustomer_klaviyo.connections.registry import joined
from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.metric_names import USUAL
from kustomer_klaviyo.klaviyo.scopes import Standing
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.service import house
from kustomer_klaviyo.settings import load_settings
from kustomer_klaviyo.setup.credentials import (
    KLAVIYO_URL,
    KUSTOMER_URL,
    MOST_TOKENS,
    NAME,
    WEBHOOK_PATH,
    SetupError,
    check_address,
    clean_secret,
    is_local,
    known_at_the_door,
    propose_metrics,
    put_first,
    repeated_metrics,
    with_klaviyo_key,
    with_webhook,
)
from kustomer_klaviyo.setup.key_checks import KlaviyoCheck, check_klaviyo, check_kustomer
from kustomer_klaviyo.store.connections import Connection, Connections, Secrets
from kustomer_klaviyo.store.encryption import SealError

KUSTOMER_KEY, KLAVIYO_KEY, WEBHOOK_TOKEN = "KUSTOMER_API_KEY", "KLAVIYO_PRIVATE_KEY", "KUSTOMER_WEBHOOK_TOKEN"
"""The environment variables that hold the secrets; what is missing is asked for."""


EARLIEST_SINCE, LATEST_SINCE = datetime(2000, 1, 1, tzinfo=UTC), timedelta(hours=1)
"""Between these the moment lies from which a connection tells; a clock may be wrong by a little."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line asked for; None keeps what the connection has."""

    name: str
    organisation: str | None
    public_url: str | None
    kustomer_url: str | None
    klaviyo_url: str | None
    since: datetime | None
    options: dict[str, Any]
    drop_old_key: bool
    site_id: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A connection as it was saved, and what was noticed."""

    connection: Connection
    webhook_was_found: bool
    missing: list[str]
    """Scopes and permissions that would be useful, and are not there."""
    warnings: list[str]
    """What is allowed and hardly meant."""


def connect(
    organisation: str | None = None,
    *,
    connection: str | None = None,
    public_url: str | None = None,
    kustomer_url: str | None = None,
    klaviyo_url: str | None = None,
    since: datetime | None = None,
    option: Annotated[Sequence[str], Parameter(name="--option", negative="")] = (),
    drop_old_key: Annotated[bool, Parameter(negative="")] = False,
    site_id: str | None = None,
    json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Join a Kustomer organisation to a Klaviyo account, or change the connection; run it again at any time.

    Checks both keys, then creates the webhook in Kustomer (or finds it). The keys are read from KUSTOMER_API_KEY and
    KLAVIYO_PRIVATE_KEY, else asked for; on a change, an empty answer keeps the key there is.

    Example: kustomer-klaviyo connect acme --public-url https://hooks.acme.com
    Example: kustomer-klaviyo connect acme --option closed_metric="Kustomer Conversation Close"

    Parameters
    ----------
    organisation
        The subdomain: acme for acme.kustomerapp.com.
    connection
        A name of its own for the connection; the organisation's by default.
    public_url
        Where Kustomer reaches this service.
    kustomer_url
        The Kustomer API, when it is not https://ORGANISATION.api.kustomerapp.com.
    klaviyo_url
        The Klaviyo API, when it is not https://a.klaviyo.com.
    since
        Tell nothing that happened earlier; the moment of connecting by default.
    option
        NAME=VALUE, several times. Events: created_metric, closed_metric, satisfaction_metric, link_template, spam,
        imported, keep_unidentified_days. Profiles: profiles (everyone, conversations, none), update_only,
        support_state, default_country, placeholders, only_tags, only_attributes, external_id, merge_profiles,
        on_deletion (nothing, clear, erase), sweep_minutes. Card: card_minutes, profile_link, list_link, segment_link,
        campaign_link, flow_link, agents_at, cards_sdk, card_sandbox. House: kustomer_share, keep_events_days,
        keep_deliveries_days.
    drop_old_key
        Forget the former Klaviyo key instead of keeping it as a fallback.
    site_id
        The Klaviyo account's site ID (its public key): a key of another account is refused.
    json
        Print JSON for a program.
    """
    name = connection or organisation
    if name is None or not NAME.match(name) or not NAME.match(organisation or name):
        raise UsageError("Name the Kustomer organisation (lower-case letters, digits, dashes): connect acme ...")
    reached, kustomer, klaviyo = map(_address, (public_url, kustomer_url, klaviyo_url))
    wish = Wish(name, organisation, reached, kustomer, klaviyo, _moment(since), _read_pairs(option), drop_old_key)
    made = asyncio.run(_connect(replace(wish, site_id=site_id)))
    _report(made, json=json)
    return ExitCode.DONE


def _read_pairs(pairs: Sequence[str]) -> dict[str, Any]:
    options = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not separator:
            raise UsageError(f"--option wants NAME=VALUE, not {pair!r}")
        options[name.strip()] = value
    read_options(options)
    return options


def _address(text: str | None) -> str | None:
    try:
        return None if text is None else check_address(text)
    except SetupError as error:
        raise UsageError(str(error)) from error


def _moment(since: datetime | None) -> datetime | None:
    """Return the moment from which is told, in UTC. Raises UsageError for one that no conversation can have."""
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


async def _connect(wish: Wish) -> Made:
    async with house(load_settings()) as home, aiohttp.ClientSession() as session:
        before = await _before(home.connections, wish.name)
        draft = _draft(wish, before)
        klaviyo = await _check_klaviyo(session, draft, before, wish.site_id)
        draft = replace(draft, klaviyo_account=klaviyo.account)
        if before is None:
            draft = await _with_metric_names(session, draft)
        kustomer = KustomerClient(session, base_url=draft.kustomer_url, key=draft.secrets.kustomer_key)
        roles = await check_kustomer(kustomer, organisation=draft.organisation)
        roles.insist()
        if before is None and wish.since is None:
            draft = replace(draft, horizon=kustomer_now(kustomer))
        async with home.connections.alone(draft.id), known_at_the_door(home.connections, draft) as known:
            connection, found = await _with_webhook(kustomer, known)
            await home.connections.save(connection)
        await keep_clock(home.database, connection.id, kustomer)
        findings = (*klaviyo.findings, *roles.findings)
        missing = [f"{one.name}: {one.why}" for one in findings if one.standing is Standing.MISSING]
        warnings = [*_warnings(wish, connection, kustomer), *await _doubled(session, connection)]
        return Made(connection, found, missing, warnings)


def _warnings(wish: Wish, connection: Connection, kustomer: KustomerClient) -> list[str]:
    """Say what is allowed and hardly meant."""
    found = [clock_problem(kustomer.ahead)]
    reached = joined(connection).rules.horizon
    if wish.since is not None and reached > connection.horizon:
        found.append(
            f"--since reaches back beyond keep_deliveries_days: nothing from before {reached:%Y-%m-%d} is sent"
        )
    address = connection.webhook_url or ""
    if address.startswith("http://") and not is_local(address):
        found.append(f"{address} is not https: Kustomer sends webhooks to https only")
    return [one for one in found if one is not None]


async def _doubled(session: aiohttp.ClientSession, connection: Connection) -> list[str]:
    """Say which of our metrics' names several metrics of the account have: flows and segments tell them apart."""
    client = KlaviyoClient(session, base_url=connection.klaviyo_url, key=connection.secrets.klaviyo_keys[0])
    options = read_options(connection.options)
    names = (options.created_metric, options.closed_metric, options.satisfaction_metric)
    return [
        f"the Klaviyo account has several metrics called {name!r}: build flows and segments on the one of this "
        "service (integration API), or choose another name with --option"
        for name in await repeated_metrics(client)
        if name in names
    ]


async def _before(connections: Connections, name: str) -> Connection | None:
    """Return the connection as it is; where the key to its secrets is lost, without them."""
    try:
        return await connections.get(name)
    except SealError:
        return await connections.without_secrets(name)


def _draft(wish: Wish, before: Connection | None) -> Connection:
    """Put together what was asked for and what the connection had."""
    organisation = wish.organisation or (before.organisation if before else wish.name)
    options = (before.options if before else {}) | wish.options
    read_options(options)
    webhook_url = before.webhook_url if before else None
    if wish.public_url is not None:
        webhook_url = wish.public_url.rstrip("/") + WEBHOOK_PATH.format(wish.name)
    if webhook_url is None:
        raise UsageError("Say where Kustomer reaches this service: --public-url https://...")
    draft = before or Connection(
        id=wish.name,
        organisation=organisation,
        kustomer_url=KUSTOMER_URL.format(organisation),
        klaviyo_url=KLAVIYO_URL,
        secrets=Secrets("", (), ()),
        horizon=datetime.now(UTC),
    )
    return replace(
        draft,
        organisation=organisation,
        kustomer_url=wish.kustomer_url or draft.kustomer_url,
        klaviyo_url=wish.klaviyo_url or draft.klaviyo_url,
        secrets=_secrets(draft.secrets, drop_old_key=wish.drop_old_key),
        horizon=wish.since or draft.horizon,
        options=options,
        webhook_url=webhook_url,
    )


def _secrets(before: Secrets, *, drop_old_key: bool) -> Secrets:
    kustomer_key = _secret(KUSTOMER_KEY, "Kustomer API key", before.kustomer_key)
    klaviyo_key = _secret(KLAVIYO_KEY, "Klaviyo private key", next(iter(before.klaviyo_keys), ""))
    return with_klaviyo_key(replace(before, kustomer_key=kustomer_key), klaviyo_key, keeps_former=not drop_old_key)


def _secret(variable: str, title: str, before: str) -> str:
    given = os.environ.get(variable, "").strip()
    if not given and sys.stdin is not None and sys.stdin.isatty():
        with contextlib.suppress(EOFError):
            given = getpass.getpass(f"{title}{' (empty: as before)' if before else ''}: ").strip()
    if not given and not before:
        raise UsageError(f"No {title}: set {variable}, or run the command in a terminal to be asked for it.")
    try:
        return clean_secret(title, given or before)
    except SetupError as error:
        raise UsageError(str(error)) from error


async def _check_klaviyo(
    session: aiohttp.ClientSession, draft: Connection, before: Connection | None, site_id: str | None
) -> KlaviyoCheck:
    """Check the Klaviyo key; a change of key must not change the account."""
    client = KlaviyoClient(session, base_url=draft.klaviyo_url, key=draft.secrets.klaviyo_keys[0])
    found = await check_klaviyo(client, site_id=site_id, options=draft.options)
    if before is not None and before.klaviyo_account not in (None, found.account):
        raise SetupError(
            f"The new Klaviyo key belongs to account {found.account}, this connection to {before.klaviyo_account}. "
            "Make another connection for another account: --connection NAME"
        )
    found.insist()
    return found


async def _with_metric_names(session: aiohttp.ClientSession, draft: Connection) -> Connection:
    """Take over the names that the account's metrics have already: Klaviyo cannot rename one."""
    client = KlaviyoClient(session, base_url=draft.klaviyo_url, key=draft.secrets.klaviyo_keys[0])
    found = {one.option: one.name for one in await propose_metrics(client, draft.options) if one.exists}
    return replace(draft, options=found | draft.options)


async def _with_webhook(client: KustomerClient, draft: Connection) -> tuple[Connection, bool]:
    """Return the connection with its webhook; with a token given by hand, the webhook is the admin's own affair."""
    if not os.environ.get(WEBHOOK_TOKEN, "").strip():
        return await with_webhook(client, draft)
    by_hand = _secret(WEBHOOK_TOKEN, "Kustomer webhook token", "")
    tokens = put_first(by_hand, draft.secrets.webhook_tokens, most=MOST_TOKENS)
    return replace(draft, secrets=replace(draft.secrets, webhook_tokens=tokens)), True


def _report(made: Made, *, json: bool) -> None:
    connection, found = made.connection, made.webhook_was_found
    if json:
        print_json(
            {
                "connection": connection.id,
                "organisation": connection.organisation,
                "klaviyo_account": connection.klaviyo_account,
                "webhook_id": connection.webhook_id,
                "webhook_url": connection.webhook_url,
                "webhook_was_found": found,
                "missing": made.missing,
                "warnings": made.warnings,
                "since": connection.horizon,
                "options": connection.options,
            }
        )
        return
    say(bold(connection.id), f": {connection.organisation} -> Klaviyo {connection.klaviyo_account}")
    for option in USUAL:
        if option in connection.options:
            say(f"  metric, found in the account or chosen: {connection.options[option]}")
    for line in made.warnings:
        say("  ", warning(line))
    for line in made.missing:
        say(warning("  not with these keys"), f": {line}")
    say(f"  webhook {'found' if found else 'created'}: {connection.webhook_url}")
    say(f"  events are sent from {connection.horizon:%Y-%m-%d %H:%M} UTC on. Look with: kustomer-klaviyo status")
