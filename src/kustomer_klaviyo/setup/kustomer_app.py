"""Brings the app with the card into Kustomer: registers what changed, installs it, puts the card's secret in.

Doing it again changes nothing. Registered versions are for ever, so that one is registered only when the definition is
another than the last (developer.kustomer.com/docs/apps/register-and-install).
"""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from kustomer_klaviyo.kustomer.app_definition import (
    CATEGORY,
    FIRST_VERSION,
    SECRET,
    Form,
    app_definition,
    app_names,
    digest,
    latest_version,
    next_version,
)
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.wire import as_id, as_list, as_object, as_text
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Refused
from kustomer_klaviyo.setup.credentials import SetupError, answer_of, put_first
from kustomer_klaviyo.store.connections import Connection, Connections
from kustomer_klaviyo.store.encryption import digest_of_secret

MOST_SECRETS = 2
"""The current one, and the one before it while Kustomer still has that."""

MOST_UNCERTAIN = 20
"""Secrets accepted while it is not certain which of them Kustomer has."""

UNFINISHED = "unfinished"
"""Marks an app whose installation did not come to its end yet."""


@dataclass(frozen=True, slots=True)
class Installed:
    """What was done."""

    connection: Connection
    definition: dict[str, Any]
    was_registered: bool
    was_installed: bool
    secret_was_set: bool

    @property
    def changed(self) -> bool:
        """Whether anything was done at all."""
        return self.was_registered or self.was_installed or self.secret_was_set


async def organisation_id(client: KustomerClient) -> str:
    """Return the id of the organisation that the key belongs to. Raises SetupError."""
    document = answer_of(await client.organisation(), asking="Reading the Kustomer organisation")
    org_id = as_id(as_object(document.get("data")).get("id"))
    if org_id is None:
        raise SetupError("Reading the Kustomer organisation: the answer names no id.")
    return org_id


@dataclass(frozen=True, slots=True)
class Draft:
    """The definition as it is now; its version is a new one only when something else of it is new."""

    definition: dict[str, Any]
    form: Form
    is_new: bool
    """Whether this version is still to be registered."""


async def draft_app(
    client: KustomerClient, connection: Connection, *, public_url: str, form: Form | None = None
) -> Draft:
    """Say what is to be registered, and register nothing; without a form, in the one there is. Raises SetupError."""
    form = form or ("native" if connection.app.get("form") == "native" else "hosted")
    org_id = await organisation_id(client)
    registered = await _registered(client, app_names(connection.id, org_id).app)
    last, latest = as_text(connection.app.get("version")), latest_version(registered or [])
    made = app_definition(
        connection.id, org_id, public_url=public_url, version=last or latest or FIRST_VERSION, form=form
    )
    is_there = last is not None and (registered is None or last in registered)
    if is_there and connection.app.get("digest") == digest(made):
        return Draft(made, form, is_new=False)
    highest = latest_version([one for one in (last, latest) if one is not None])
    return Draft(made | {"version": next_version(highest) if highest else FIRST_VERSION}, form, is_new=True)


async def install_app(
    client: KustomerClient,
    connections: Connections,
    connection_id: str,
    *,
    public_url: str,
    form: Form | None = None,
    new_secret: bool = False,
) -> Installed:
    """Register, install and arm the app. Raises SetupError; what was done by then is found again the next time."""
    async with connections.alone(connection_id):
        connection = await connections.named(connection_id)
        return await _install(client, connections, connection, public_url=public_url, form=form, new_secret=new_secret)


async def _install(
    client: KustomerClient,
    connections: Connections,
    connection: Connection,
    *,
    public_url: str,
    form: Form | None,
    new_secret: bool,
) -> Installed:
    draft = await draft_app(client, connection, public_url=public_url, form=form)
    definition = await _register(client, draft.definition) if draft.is_new else draft.definition
    name, version = definition["app"], definition["version"]
    app = {"name": name, "version": version, "digest": digest(definition), "form": draft.form}
    was_finished = bool(connection.app) and UNFINISHED not in connection.app
    if draft.is_new or not was_finished:
        # Remembered before the rest, since a registered version is for ever.
        await connections.change(connection.id, lambda now: replace(now, app=app | {UNFINISHED: True}))
    is_there = await _is_installed(client, name, version)
    if not is_there:
        answer_of(await client.install_app(name, version), asking="Installing the Kustomer app")
    has_secret = was_finished and connection.secrets.card_secrets and await _has_secret(client, name)
    needs_secret = new_secret or not has_secret
    if needs_secret:
        secret = secrets.token_urlsafe(32)
        # Known here before Kustomer has it: whenever this ends, the one that Kustomer has is accepted.
        await connections.change(connection.id, lambda now: _with_secret(now, secret, app | {UNFINISHED: True}))
        answer_of(await client.put_setting(name, CATEGORY, SECRET, secret), asking="Setting the card's secret")
    saved = await connections.change(connection.id, lambda now: _finished(now, app))
    return Installed(saved, definition, draft.is_new, not is_there, needs_secret)


def _with_secret(connection: Connection, secret: str, app: dict[str, Any]) -> Connection:
    """Accept one more secret, of which it is not certain yet that Kustomer takes it."""
    kept = put_first(digest_of_secret(secret), connection.secrets.card_secrets, most=MOST_UNCERTAIN)
    return replace(connection, app=app, secrets=replace(connection.secrets, card_secrets=kept))


def _finished(connection: Connection, app: dict[str, Any]) -> Connection:
    kept = connection.secrets.card_secrets[:MOST_SECRETS]
    return replace(connection, app=app, secrets=replace(connection.secrets, card_secrets=kept))


async def _register(client: KustomerClient, definition: dict[str, Any]) -> dict[str, Any]:
    """Register a version; one that is taken, by an installation we do not remember, is followed by the next."""
    for _ in range(20):
        outcome = await client.register_app(definition)
        is_taken = isinstance(outcome, Refused) and (outcome.status == 409 or "outdated version" in outcome.detail)
        if not is_taken:
            answer_of(outcome, asking="Registering the Kustomer app")
            return definition
        definition = definition | {"version": next_version(definition["version"])}
    raise SetupError("Registering the Kustomer app: every version tried is taken.")


async def _registered(client: KustomerClient, name: str) -> list[str] | None:
    """Return the versions of the app that are registered; None where the key may not list them."""
    outcome = await client.available_apps()
    if not isinstance(outcome, Accepted):
        return None
    listed = as_list(answer_of(outcome, asking="Listing the Kustomer apps").get("data"))
    found = [as_object(as_object(one).get("attributes")) for one in listed]
    return [version for one in found if one.get("app") == name and (version := as_text(one.get("version")))]


async def _is_installed(client: KustomerClient, name: str, version: str) -> bool:
    outcome = await client.installed_apps()
    if not isinstance(outcome, Accepted):
        return False
    listed = as_list(answer_of(outcome, asking="Listing the installed apps").get("data"))
    found = [as_object(as_object(one).get("attributes")) for one in listed]
    return any(one.get("app") == name and one.get("version") == version for one in found)


async def _has_secret(client: KustomerClient, name: str) -> bool:
    """Say whether the setting holds something; of a secret only that is shown, and not to every key."""
    outcome = await client.setting(name, CATEGORY, SECRET)
    if isinstance(outcome, LockedOut) and outcome.status == 403:
        return True
    if not isinstance(outcome, Accepted):
        return False
    document = answer_of(outcome, asking="Reading the card's secret")
    return bool(as_object(as_object(document.get("data")).get("attributes")).get("value"))
