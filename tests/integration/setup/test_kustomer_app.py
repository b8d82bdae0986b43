"""Installation of the Kustomer app: every step is idempotent, and an interrupted installation resumes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kustomer_klaviyo.kustomer.app_definition import app_definition
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.sandbox.http_server import run_server
from kustomer_klaviyo.setup.kustomer_app import InstallResult, draft_app, install_app
from kustomer_klaviyo.setup.setup_error import SetupError
from kustomer_klaviyo.store.connections import Connection, Connections, Secrets
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import digest_secret, load_encryptor

PUBLIC_URL, OTHER_URL = "https://hooks.acme.example", "https://other.acme.example"
LIMITED = "limited-key"


@dataclass
class Installation:
    """A simulated organisation and a saved connection to it."""

    url: str
    session: aiohttp.ClientSession
    connections: Connections
    key: str = kustomer.DEFAULT_KEY

    @property
    def client(self) -> KustomerClient:
        return KustomerClient(self.session, base_url=self.url, key=self.key)

    async def connect(self, name: str = "acme") -> None:
        secrets, since = Secrets("unused", ("pk",), ("token",)), datetime(2026, 1, 1, tzinfo=UTC)
        await self.connections.save(Connection(name, "sandbox", self.url, "https://k.example", secrets, since))

    async def install(self, public_url: str = PUBLIC_URL, *, name: str = "acme", **options: Any) -> InstallResult:
        return await install_app(self.client, self.connections, name, public_url=public_url, **options)

    async def version(self, public_url: str = PUBLIC_URL) -> str:
        """Return the version that would be registered."""
        connection = await self.connections.require("acme")
        return str((await draft_app(self.client, connection, public_url=public_url)).definition["version"])

    async def save_app(self, *, app: dict[str, Any], card_secrets: tuple[str, ...]) -> None:
        """Replace what the connection stores about its app."""
        await self.connections.update(
            "acme",
            lambda now: replace(now, kustomer_app=app, secrets=replace(now.secrets, card_secrets=card_secrets)),
        )

    async def accepted_digests(self) -> tuple[str, ...]:
        """Return the digests of the accepted card secrets."""
        return (await self.connections.require("acme")).secrets.card_secrets

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}
        async with self.session.get(self.url + path, headers=headers) as response:
            return await response.json()

    async def registered(self) -> list[dict[str, Any]]:
        return [app["attributes"] for app in (await self.get("/v1/apps/available"))["data"]]

    async def versions(self) -> list[str]:
        return [app["version"] for app in await self.registered()]

    async def installed(self) -> list[str]:
        return [app["attributes"]["version"] for app in (await self.get("/v1/apps"))["data"]]

    async def secrets(self) -> list[str]:
        """Return the card secrets that Kustomer stores."""
        return list((await self.get("/sandbox/app-settings")).values())


CreateInstallation = Callable[..., Awaitable[Installation]]


@pytest.fixture
async def create_installation(shared_database: Database, data_directory: Path) -> AsyncIterator[CreateInstallation]:
    await shared_database.execute("DELETE FROM connections")
    async with AsyncExitStack() as stack:

        async def create(*roles: str) -> Installation:
            """Create an organisation with a second key that has the given roles."""
            keys = {kustomer.DEFAULT_KEY: frozenset({"org"}), LIMITED: frozenset(roles)}
            app = kustomer.create_app(kustomer.KustomerOptions(api_keys=keys))
            url = await stack.enter_async_context(run_server(app))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            installation = Installation(
                url, session, Connections(shared_database, load_encryptor(None, data_directory))
            )
            await installation.connect()
            return installation

        yield create


@pytest.fixture
async def installation(create_installation: CreateInstallation) -> Installation:
    return await create_installation()


async def test_the_first_installation_registers_installs_and_sets_the_secret(installation: Installation) -> None:
    result = await installation.install()
    assert (result.was_registered, result.was_installed, result.secret_was_set, result.changed) == (
        True,
        True,
        True,
        True,
    )
    assert (await installation.versions(), await installation.installed()) == (["1.0.0"], ["1.0.0"])
    [secret] = await installation.secrets()
    assert len(secret) > 40
    assert result.connection.secrets.card_secrets == (digest_secret(secret),)


async def test_kustomer_stores_the_definition_unchanged(installation: Installation) -> None:
    result = await installation.install()
    assert await installation.registered() == [result.definition]


async def test_a_second_installation_changes_nothing(installation: Installation) -> None:
    before, [secret] = await installation.install(), await installation.secrets()
    assert before.connection == await installation.connections.require("acme")
    second = await installation.install()
    assert not second.changed
    assert second.connection == before.connection
    assert (await installation.versions(), await installation.secrets()) == (["1.0.0"], [secret])


async def test_another_public_url_registers_a_version_and_keeps_the_secret(installation: Installation) -> None:
    await installation.install()
    [secret] = await installation.secrets()
    result = await installation.install(OTHER_URL)
    assert (result.was_registered, result.was_installed, result.secret_was_set) == (True, True, False)
    assert (await installation.versions(), await installation.installed()) == (["1.0.0", "1.1.0"], ["1.1.0"])
    assert await installation.secrets() == [secret]
    assert not (await installation.install(OTHER_URL)).changed


async def test_another_form_registers_a_version(installation: Installation) -> None:
    await installation.install()
    await installation.install(form="native")
    assert not (await installation.install(form="native")).changed
    await installation.install(form="hosted")
    assert await installation.versions() == ["1.0.0", "1.1.0", "1.2.0"]


async def test_the_form_is_kept_by_default(installation: Installation) -> None:
    assert (await installation.install()).connection.kustomer_app["form"] == "hosted"
    await installation.install(form="native")
    assert (await installation.install()).connection.kustomer_app["form"] == "native"
    assert await installation.versions() == ["1.0.0", "1.1.0"]


async def test_a_draft_registers_nothing(installation: Installation) -> None:
    assert await installation.version() == "1.0.0"
    await installation.install()
    assert (await installation.version(), await installation.version(OTHER_URL)) == ("1.0.0", "1.1.0")
    assert await installation.versions() == ["1.0.0"]
    await installation.install(OTHER_URL)
    assert await installation.versions() == ["1.0.0", "1.1.0"]


async def test_a_new_secret_keeps_only_the_previous_one_valid(installation: Installation) -> None:
    await installation.install()
    secrets = await installation.secrets()
    for _ in range(2):
        result = await installation.install(rotate_secret=True)
        assert (result.was_registered, result.was_installed, result.secret_was_set) == (False, False, True)
        secrets += await installation.secrets()
    assert len(set(secrets)) == 3
    assert await installation.accepted_digests() == (digest_secret(secrets[2]), digest_secret(secrets[1]))


async def test_a_secret_that_kustomer_lost_is_set_again(installation: Installation) -> None:
    result = await installation.install()
    name = result.definition["app"]
    await installation.client.put_setting(name, "default", "cardSecret", "")
    second = await installation.install()
    assert (second.was_registered, second.was_installed, second.secret_was_set) == (False, False, True)
    [secret] = await installation.secrets()
    assert second.connection.secrets.card_secrets[0] == digest_secret(secret)


async def test_a_forgotten_installation_is_followed_by_the_next_version(installation: Installation) -> None:
    await installation.install()
    await installation.save_app(app={}, card_secrets=())
    assert await installation.version() == "1.1.0"
    result = await installation.install()
    assert (result.was_registered, result.was_installed, result.secret_was_set) == (True, True, True)
    assert (await installation.versions(), await installation.installed()) == (["1.0.0", "1.1.0"], ["1.1.0"])
    assert not (await installation.install()).changed


async def test_versions_registered_by_another_installation_are_skipped(installation: Installation) -> None:
    previous = (await installation.install()).connection
    await installation.install(OTHER_URL)
    await installation.save_app(app=previous.kustomer_app, card_secrets=previous.secrets.card_secrets)
    await installation.install(form="native")
    assert (await installation.versions(), await installation.installed()) == (["1.0.0", "1.1.0", "1.2.0"], ["1.2.0"])


async def test_another_installed_version_is_replaced(installation: Installation) -> None:
    name = (await installation.install()).definition["app"]
    await installation.install(OTHER_URL)
    await installation.client.install_app(name, "1.0.0")
    result = await installation.install(OTHER_URL)
    assert (result.was_registered, result.was_installed, result.secret_was_set) == (False, True, False)
    assert await installation.installed() == ["1.1.0"]


async def test_two_connections_of_one_organisation_have_separate_apps(installation: Installation) -> None:
    await installation.connect("acme-uk")
    for name in ("acme", "acme-uk"):
        await installation.install(name=name)
    assert await installation.versions() == ["1.0.0", "1.0.0"]
    assert len(set(await installation.secrets())) == 2
    assert not (await installation.install(name="acme")).changed


async def test_two_concurrent_installations_register_one_app(installation: Installation) -> None:
    results = await asyncio.gather(installation.install(), installation.install())
    assert sorted(result.changed for result in results) == [False, True]
    assert await installation.versions() == ["1.0.0"]


@pytest.mark.parametrize(
    ("key", "action"),
    [("made-up", "Reading the Kustomer organisation"), (LIMITED, "Registering the Kustomer app")],
)
async def test_a_key_without_permission_fails_and_the_action_is_named(
    create_installation: CreateInstallation, key: str, action: str
) -> None:
    installation = await create_installation("org.permission.customer")
    installation.key = key
    with pytest.raises(SetupError, match=action):
        await installation.install()
    assert (await installation.versions(), await installation.installed(), await installation.secrets()) == ([], [], [])


async def test_an_incomplete_installation_is_completed_by_a_permitted_key(
    create_installation: CreateInstallation,
) -> None:
    installation = await create_installation("org.permission.apps")
    installation.key = LIMITED
    with pytest.raises(SetupError, match="Setting the card's secret"):
        await installation.install()
    installation.key = kustomer.DEFAULT_KEY
    result = await installation.install()
    assert (result.secret_was_set, await installation.installed()) == (
        True,
        [result.connection.kustomer_app["version"]],
    )
    [secret] = await installation.secrets()
    assert (await installation.accepted_digests())[0] == digest_secret(secret)
    assert not (await installation.install()).changed


async def test_after_a_failed_rotation_the_old_secret_is_still_accepted(
    create_installation: CreateInstallation,
) -> None:
    installation = await create_installation("org.permission.apps", "org.permission.setting.read")
    await installation.install()
    [secret] = await installation.secrets()
    installation.key = LIMITED
    with pytest.raises(SetupError, match="Setting the card's secret"):
        await installation.install(rotate_secret=True)
    assert await installation.secrets() == [secret]
    assert digest_secret(secret) in await installation.accepted_digests()


async def test_a_refused_definition_fails_with_kustomers_words(installation: Installation) -> None:
    definition = app_definition("acme", "0" * 24, public_url=PUBLIC_URL) | {"author": "acme"}
    answer = await installation.client.register_app(definition)
    assert "author" in getattr(answer, "detail", "")
    assert await installation.versions() == []


async def test_a_secret_that_could_not_be_set_is_tried_again(create_installation: CreateInstallation) -> None:
    installation = await create_installation("org.permission.apps")
    installation.key = LIMITED
    for _ in range(2):
        with pytest.raises(SetupError, match="Setting the card's secret"):
            await installation.install()


async def test_after_many_failed_rotations_the_stored_secret_is_still_accepted(
    create_installation: CreateInstallation,
) -> None:
    installation = await create_installation("org.permission.apps", "org.permission.setting.read")
    await installation.install()
    [secret] = await installation.secrets()
    installation.key = LIMITED
    for _ in range(3):
        with pytest.raises(SetupError):
            await installation.install(rotate_secret=True)
    assert digest_secret(secret) in await installation.accepted_digests()


async def test_repeated_incomplete_installations_register_one_version(
    create_installation: CreateInstallation,
) -> None:
    installation = await create_installation("org.permission.apps", "org.permission.setting.read")
    installation.key = LIMITED
    for _ in range(3):
        with pytest.raises(SetupError):
            await installation.install()
    assert await installation.versions() == ["1.0.0"]


async def test_an_app_that_kustomer_lost_is_registered_again(installation: Installation) -> None:
    await installation.install()
    async with installation.session.post(f"{installation.url}/sandbox/reset") as response:
        assert response.status == 204
    assert (await installation.install()).was_registered


async def test_a_version_far_ahead_of_what_is_remembered_is_followed(installation: Installation) -> None:
    definition = (await installation.install()).definition
    await installation.client.register_app(definition | {"version": "2.0.0"})
    await installation.install(OTHER_URL)
    assert await installation.installed() == ["2.1.0"]
