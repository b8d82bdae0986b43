"""Installs the Kustomer app with the card: registers it, installs it, and sets the card's secret.

Every step is idempotent. Registered versions are permanent, so a version is registered only if the definition differs
from the last one (developer.kustomer.com/docs/apps/register-and-install).
"""

import secrets
from dataclasses import dataclass, replace
from typing import Any

from kustomer_klaviyo.jsonapi import as_list, as_object
from kustomer_klaviyo.kustomer.app_definition import (
    CATEGORY,
    INITIAL_VERSION,
    SECRET,
    CardForm,
    app_definition,
    app_names,
    digest,
    latest_version,
    next_version,
)
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.wire import as_id, as_text
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Refused
from kustomer_klaviyo.setup.credentials import prepend_secret
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode, VendorAction
from kustomer_klaviyo.setup.vendor_response import accepted_json
from kustomer_klaviyo.store.connections import Connection, Connections
from kustomer_klaviyo.store.encryption import digest_secret

MAX_SECRETS = 2
"""The current secret and the previous one, which Kustomer may still send for a while."""

MAX_UNCONFIRMED_SECRETS = 20
"""Secrets that are accepted while it is unknown which one Kustomer has stored."""

MAX_VERSION_ATTEMPTS = 20

UNFINISHED = "unfinished"
"""Marks an app whose installation is not complete."""


@dataclass(frozen=True, slots=True)
class InstallResult:
    """The installed app, and what the installation changed."""

    connection: Connection
    definition: dict[str, Any]
    was_registered: bool
    was_installed: bool
    secret_was_set: bool

    @property
    def changed(self) -> bool:
        """Whether the installation changed anything."""
        return self.was_registered or self.was_installed or self.secret_was_set


@dataclass(frozen=True, slots=True)
class AppDraft:
    """The current definition. It has a new version only if its content differs from the registered one."""

    definition: dict[str, Any]
    form: CardForm
    is_new: bool
    """This version is not registered yet."""


async def organisation_id(client: KustomerClient) -> str:
    """Return the id of the key's organisation. Raises SetupError."""
    document = accepted_json(await client.organisation(), VendorAction.READ_ORGANISATION)
    org_id = as_id(as_object(document.get("data")).get("id"))
    if org_id is None:
        raise SetupError(SetupErrorCode.ORGANISATION_ID_MISSING)
    return org_id


async def draft_app(
    client: KustomerClient, connection: Connection, *, public_url: str, form: CardForm | None = None
) -> AppDraft:
    """Return the app to register, without registering it. The form defaults to the installed one. Raises SetupError."""
    form = form or ("native" if connection.kustomer_app.get("form") == "native" else "hosted")
    org_id = await organisation_id(client)
    registered = await _registered_versions(client, app_names(connection.id, org_id).app)
    installed, latest = as_text(connection.kustomer_app.get("version")), latest_version(registered or [])
    version = installed or latest or INITIAL_VERSION
    definition = app_definition(connection.id, org_id, public_url=public_url, version=version, form=form)
    is_registered = installed is not None and (registered is None or installed in registered)
    if is_registered and connection.kustomer_app.get("digest") == digest(definition):
        return AppDraft(definition, form, is_new=False)
    highest = latest_version([known for known in (installed, latest) if known is not None])
    new_version = next_version(highest) if highest else INITIAL_VERSION
    return AppDraft(definition | {"version": new_version}, form, is_new=True)


async def install_app(
    client: KustomerClient,
    connections: Connections,
    connection_id: str,
    *,
    public_url: str,
    form: CardForm | None = None,
    rotate_secret: bool = False,
) -> InstallResult:
    """Register and install the app, and set the card's secret. Raises SetupError; running it again resumes."""
    async with connections.lock(connection_id):
        connection = await connections.require(connection_id)
        draft = await draft_app(client, connection, public_url=public_url, form=form)
        return await _install(client, connections, connection, draft, rotate_secret=rotate_secret)


async def _install(
    client: KustomerClient, connections: Connections, connection: Connection, draft: AppDraft, *, rotate_secret: bool
) -> InstallResult:
    definition = await _register(client, draft.definition) if draft.is_new else draft.definition
    name, version = definition["app"], definition["version"]
    app = {"name": name, "version": version, "digest": digest(definition), "form": draft.form}
    was_finished = bool(connection.kustomer_app) and UNFINISHED not in connection.kustomer_app
    if draft.is_new or not was_finished:
        # Saved before the next steps, because a registered version is permanent.
        await connections.update(connection.id, lambda now: replace(now, kustomer_app=app | {UNFINISHED: True}))
    was_installed = await _is_installed(client, name, version)
    if not was_installed:
        accepted_json(await client.install_app(name, version), VendorAction.INSTALL_APP)
    has_secret = was_finished and connection.secrets.card_secrets and await _has_secret(client, name)
    needs_secret = rotate_secret or not has_secret
    if needs_secret:
        await _set_secret(client, connections, connection.id, app)
    saved = await connections.update(connection.id, lambda now: _with_installed_app(now, app))
    return InstallResult(saved, definition, draft.is_new, not was_installed, needs_secret)


async def _set_secret(
    client: KustomerClient, connections: Connections, connection_id: str, app: dict[str, Any]
) -> None:
    secret = secrets.token_urlsafe(32)
    # Accepted here before Kustomer stores it, so that the stored secret is always accepted, even after a crash.
    await connections.update(connection_id, lambda now: _with_secret(now, secret, app | {UNFINISHED: True}))
    accepted_json(await client.put_setting(app["name"], CATEGORY, SECRET, secret), VendorAction.SET_CARD_SECRET)


def _with_secret(connection: Connection, secret: str, app: dict[str, Any]) -> Connection:
    """Accept one more secret, which Kustomer may or may not store."""
    digests = prepend_secret(digest_secret(secret), connection.secrets.card_secrets, limit=MAX_UNCONFIRMED_SECRETS)
    return replace(connection, kustomer_app=app, secrets=replace(connection.secrets, card_secrets=digests))


def _with_installed_app(connection: Connection, app: dict[str, Any]) -> Connection:
    digests = connection.secrets.card_secrets[:MAX_SECRETS]
    return replace(connection, kustomer_app=app, secrets=replace(connection.secrets, card_secrets=digests))


async def _register(client: KustomerClient, definition: dict[str, Any]) -> dict[str, Any]:
    """Register a version. If it exists already, from a forgotten installation, register the next one."""
    for _ in range(MAX_VERSION_ATTEMPTS):
        outcome = await client.register_app(definition)
        if not _is_version_taken(outcome):
            accepted_json(outcome, VendorAction.REGISTER_APP)
            return definition
        definition = definition | {"version": next_version(definition["version"])}
    raise SetupError(SetupErrorCode.APP_VERSIONS_TAKEN)


def _is_version_taken(outcome: object) -> bool:
    return isinstance(outcome, Refused) and (outcome.status == 409 or "outdated version" in outcome.detail)


async def _registered_versions(client: KustomerClient, name: str) -> list[str] | None:
    """Return the registered versions of the app; None if the key may not list them."""
    outcome = await client.available_apps()
    if not isinstance(outcome, Accepted):
        return None
    apps = _attributes(accepted_json(outcome, VendorAction.LIST_APPS))
    return [version for app in apps if app.get("app") == name and (version := as_text(app.get("version")))]


async def _is_installed(client: KustomerClient, name: str, version: str) -> bool:
    outcome = await client.installed_apps()
    if not isinstance(outcome, Accepted):
        return False
    apps = _attributes(accepted_json(outcome, VendorAction.LIST_INSTALLED_APPS))
    return any(app.get("app") == name and app.get("version") == version for app in apps)


def _attributes(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [as_object(as_object(resource).get("attributes")) for resource in as_list(document.get("data"))]


async def _has_secret(client: KustomerClient, name: str) -> bool:
    """Whether the secret is set. Kustomer shows only that, and not to every key."""
    outcome = await client.setting(name, CATEGORY, SECRET)
    if isinstance(outcome, LockedOut) and outcome.status == 403:
        return True
    if not isinstance(outcome, Accepted):
        return False
    document = accepted_json(outcome, VendorAction.READ_CARD_SECRET)
    return bool(as_object(as_object(document.get("data")).get("attributes")).get("value"))
