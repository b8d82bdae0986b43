"""Connecting two accounts: what the vendors' answers during set-up mean, and the one webhook that is ours."""

import ipaddress
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import msgspec

from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.metric_names import USUAL, Proposal, propose
from kustomer_klaviyo.klaviyo.profile_view import read_named
from kustomer_klaviyo.klaviyo.reader import KlaviyoReader
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.interpret import WANTED_EVENTS
from kustomer_klaviyo.kustomer.wire import as_id, as_list, as_object, as_text
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome
from kustomer_klaviyo.store.connections import Connection, Connections, Secrets

KLAVIYO_URL = "https://a.klaviyo.com"
KUSTOMER_URL = "https://{}.api.kustomerapp.com"
WEBHOOK_PATH = "/webhooks/kustomer/{}"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
"""Of an organisation or a connection."""

LONGEST_KEY = 2000
"""Characters; Kustomer's keys are tokens of several hundred."""

MOST_KEYS = 2
WEBHOOK_NAME = "Klaviyo (kustomer-klaviyo)"
MOST_TOKENS = 3
"""Tokens accepted at a time: the current one, and those it replaces while deliveries signed with them are under way."""


class SetupError(Exception):
    """A vendor did not agree; the text says who, what they said, and what to do."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """Our outbound webhook in Kustomer."""

    id: str
    token: str
    was_found: bool
    """It was there already, and is used again."""


def answer_of(outcome: Outcome, *, asking: str) -> dict[str, Any]:
    """Return the JSON object of an accepted answer. Raises SetupError with the vendor's words otherwise."""
    match outcome:
        case Accepted(body=body):
            return read_answer(body, asking=asking)
        case LockedOut(status=status, detail=detail):
            raise SetupError(f"{asking}: the key is refused ({status}: {detail}). Check the key and its permissions.")
        case _:
            raise SetupError(f"{asking}: {outcome.detail}")


def read_answer(body: bytes, *, asking: str) -> dict[str, Any]:
    """Return the JSON object of a body. Raises SetupError for a page of something that is not the vendor's API."""
    try:
        return as_object(msgspec.json.decode(body)) if body else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SetupError(f"{asking}: what answers there is not the API. Is the address right?") from error


async def ensure_webhook(client: KustomerClient, url: str, *, former: str | None = None) -> Webhook:
    """Find our webhook by its address, or create it, and leave no other of ours.

    One that Kustomer switched off is replaced; ``former`` is the id of one that pointed elsewhere. Raises SetupError.
    """
    listed = answer_of(await client.webhooks(), asking="Listing the Kustomer webhooks")
    there = {
        webhook_id: as_object(resource.get("attributes"))
        for resource in map(as_object, as_list(listed.get("data")))
        if (webhook_id := as_id(resource.get("id"))) is not None
    }
    here = [one for one, attributes in there.items() if attributes.get("url") == url]
    off = [one for one in here if there[one].get("enabled") is False]
    for one in off:
        # First, since an organisation has few webhooks (help.kustomer.com/en_us/outbound-webhooks-rkUQvela8).
        answer_of(await client.delete_webhook(one), asking="Replacing the switched-off Kustomer webhook")
    on = [one for one in here if one not in off]
    found = Webhook(on[0], await _token(client, on[0]), was_found=True) if on else await _create(client, url)
    for one in [*on[1:], *(one for one in there if one == former and one not in here)]:
        answer_of(await client.delete_webhook(one), asking="Deleting the former Kustomer webhook")
    return found


async def _create(client: KustomerClient, url: str) -> Webhook:
    made = answer_of(
        await client.create_webhook(name=WEBHOOK_NAME, url=url, events=WANTED_EVENTS),
        asking="Creating the Kustomer webhook",
    )
    resource = as_object(made.get("data"))
    webhook_id = as_id(resource.get("id"))
    if webhook_id is None:
        raise SetupError("Creating the Kustomer webhook: the answer names no webhook. Look in Kustomer's settings.")
    token = as_text(as_object(resource.get("attributes")).get("token"))
    return Webhook(webhook_id, token or await _token(client, webhook_id), was_found=False)


async def _token(client: KustomerClient, webhook_id: str) -> str:
    document = answer_of(await client.webhook(webhook_id), asking="Reading the Kustomer webhook's token")
    token = as_text(as_object(as_object(document.get("data")).get("attributes")).get("token"))
    if token is None:
        raise SetupError("The Kustomer webhook shows no token: the key may not read it.")
    return token


def put_first(current: str, former: Sequence[str], *, most: int) -> tuple[str, ...]:
    """Make one secret the current one and keep the former ones behind it, without repeats."""
    return tuple(dict.fromkeys((current, *former)))[:most]


@asynccontextmanager
async def known_at_the_door(connections: Connections, draft: Connection) -> AsyncIterator[Connection]:
    """Save a new connection before its webhook is made, so that no process takes the first webhook for a stranger's.

    It is taken back when the webhook cannot be made; one that a crash leaves behind is finished by the next set-up.
    """
    if draft.revision:
        yield draft
        return
    saved = await connections.save(draft)
    try:
        yield saved
    except SetupError:
        await connections.take_back(saved)
        raise


async def with_webhook(client: KustomerClient, connection: Connection) -> tuple[Connection, bool]:
    """Return the connection with its one webhook, and whether that was there already. Raises SetupError."""
    webhook = await ensure_webhook(client, connection.webhook_url or "", former=connection.webhook_id)
    tokens = put_first(webhook.token, connection.secrets.webhook_tokens, most=MOST_TOKENS)
    secrets = replace(connection.secrets, webhook_tokens=tokens)
    return replace(connection, webhook_id=webhook.id, secrets=secrets), webhook.was_found


def with_klaviyo_key(secrets: Secrets, key: str, *, keeps_former: bool = True) -> Secrets:
    """Make a Klaviyo key the current one; the one before it stays as a fallback, or is forgotten."""
    former = secrets.klaviyo_keys if keeps_former else ()
    return replace(secrets, klaviyo_keys=put_first(key, former, most=MOST_KEYS))


async def propose_metrics(client: KlaviyoClient, chosen: Mapping[str, Any]) -> list[Proposal]:
    """Propose names for the metrics: those chosen, else those that the account has already, as far as it shows them."""
    outcomes = await KlaviyoReader(client).metrics(integration=None)
    names = {metric.name for one in outcomes if isinstance(one, Accepted) for metric in read_named(one.body)}
    return propose(names, {option: str(chosen[option]) for option in USUAL if option in chosen})


async def repeated_metrics(client: KlaviyoClient) -> list[str]:
    """Return the names that several metrics of the account have, each integration its own."""
    outcomes = await KlaviyoReader(client).metrics(integration=None)
    ids = {(metric.name, metric.id) for one in outcomes if isinstance(one, Accepted) for metric in read_named(one.body)}
    return sorted(name for name, n in Counter(name for name, _ in ids).items() if n > 1)


def clean_secret(title: str, text: str) -> str:
    """Return a pasted key without the space around it. Raises SetupError for what cannot be one."""
    key = text.strip()
    if not key:
        raise SetupError(f"Enter the {title}.")
    if any(character.isspace() or not character.isprintable() for character in key) or len(key) > LONGEST_KEY:
        raise SetupError(f"The {title} holds a space or a line break, or is too long; copy it again.")
    return key


def check_address(text: str) -> str:
    """Return an address of a service. Raises SetupError for what is none."""
    if not re.match(r"https?://[\w.:\-\[\]]+(/[\w./\-]*)?\Z", text, re.ASCII) or not _host_of(text):
        raise SetupError(f"{text!r} is no address such as https://hooks.acme.com")
    return text


def site_of(text: str) -> str:
    """Return the address of a whole site. Raises ValueError for one with a path, a query or a name to sign in with."""
    parts = text.partition("://")[2].rstrip("/")
    try:
        return check_address(text.rstrip("/")) if parts and "/" not in parts else _refuse(text)
    except SetupError:
        return _refuse(text)


def _refuse(text: str) -> str:
    given = text if "@" not in text else "one with a name or password in it"
    raise ValueError(f"an address without a path such as https://hooks.acme.com, not {given!r}")


def is_local(address: str) -> bool:
    """Say whether an address is one of this machine, as in a trial."""
    host = _host_of(address)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _host_of(address: str) -> str:
    """Return the host in an address; an empty text where there is none, or its port is none."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    return "" if port == 0 else host
