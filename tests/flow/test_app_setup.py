"""Bringing the app with the card into Kustomer: what is there is left as it is."""

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
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.sandbox import kustomer
from kustomer_klaviyo.sandbox.serving import serving
from kustomer_klaviyo.setup.credentials import SetupError
from kustomer_klaviyo.setup.kustomer_app import Installed, draft_app, install_app
from kustomer_klaviyo.store.connections import Connection, Connections, Secrets
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.encryption import digest_of_secret, load_sealer

HERE, ELSEWHERE = "https://hooks.acme.example", "https://other.acme.example"
LIMITED = "limited-key"


@dataclass
class Setup:
    """An organisation, and a saved connection to it."""

    url: str
    session: aiohttp.ClientSession
    connections: Connections
    key: str = kustomer.DEFAULT_KEY

    @property
    def client(self) -> KustomerClient:
        return KustomerClient(self.session, base_url=self.url, key=self.key)

    async def connect(self, name: str = "acme") -> None:
        secrets, horizon = Secrets("unused", ("pk",), ("token",)), datetime(2026, 1, 1, tzinfo=UTC)
        await self.connections.save(Connection(name, "sandbox", self.url, "https://k.example", secrets, horizon))

    async def install(self, public_url: str = HERE, *, name: str = "acme", **options: Any) -> Installed:
        return await install_app(self.client, self.connections, name, public_url=public_url, **options)

    async def version(self, public_url: str = HERE) -> str:
        """Return the version that would be registered."""
        connection = await self.connections.named("acme")
        return str((await draft_app(self.client, connection, public_url=public_url)).definition["version"])

    async def remember(self, *, app: dict[str, Any], card_secrets: tuple[str, ...]) -> None:
        """Let the connection know no more than this of its card."""
        await self.connections.change(
            "acme",
            lambda now: replace(now, app=app, secrets=replace(now.secrets, card_secrets=card_secrets)),
        )

    async def accepted(self) -> tuple[str, ...]:
        """Return the digests of the secrets that open the card."""
        return (await self.connections.named("acme")).secrets.card_secrets

    async def get(self, path: str) -> Any:
        headers = {"Authorization": f"Bearer {kustomer.DEFAULT_KEY}"}
        async with self.session.get(self.url + path, headers=headers) as response:
            return await response.json()

    async def registered(self) -> list[dict[str, Any]]:
        return [one["attributes"] for one in (await self.get("/v1/apps/available"))["data"]]

    async def versions(self) -> list[str]:
        return [one["version"] for one in await self.registered()]

    async def installed(self) -> list[str]:
        return [one["attributes"]["version"] for one in (await self.get("/v1/apps"))["data"]]

    async def secrets(self) -> list[str]:
        """Return the card's secrets as Kustomer keeps them."""
        return list((await self.get("/sandbox/secrets")).values())


Open = Callable[..., Awaitable[Setup]]


@pytest.fixture
async def open_setup(shared_database: Database, data_directory: Path) -> AsyncIterator[Open]:
    await shared_database.execute("DELETE FROM connections")
    async with AsyncExitStack() as stack:

        async def open_one(*roles: str) -> Setup:
            """Open an organisation; it has a second key, of some roles."""
            keys = {kustomer.DEFAULT_KEY: frozenset({"org"}), LIMITED: frozenset(roles)}
            app = kustomer.create_app(kustomer.KustomerOptions(api_keys=keys))
            url = await stack.enter_async_context(serving(app))
            session = await stack.enter_async_context(aiohttp.ClientSession())
            made = Setup(url, session, Connections(shared_database, load_sealer(None, data_directory)))
            await made.connect()
            return made

        yield open_one


@pytest.fixture
async def setup(open_setup: Open) -> Setup:
    return await open_setup()


async def test_the_first_time_everything_is_done(setup: Setup) -> None:
    done = await setup.install()
    assert (done.was_registered, done.was_installed, done.secret_was_set, done.changed) == (True, True, True, True)
    assert (await setup.versions(), await setup.installed()) == (["1.0.0"], ["1.0.0"])
    [secret] = await setup.secrets()
    assert len(secret) > 40
    assert done.connection.secrets.card_secrets == (digest_of_secret(secret),)


async def test_kustomer_keeps_the_definition_as_it_is_printed(setup: Setup) -> None:
    done = await setup.install()
    assert await setup.registered() == [done.definition]


async def test_the_second_time_nothing_is(setup: Setup) -> None:
    before, [secret] = await setup.install(), await setup.secrets()
    assert before.connection == await setup.connections.named("acme")
    again = await setup.install()
    assert not again.changed
    assert again.connection == before.connection
    assert (await setup.versions(), await setup.secrets()) == (["1.0.0"], [secret])


async def test_another_address_is_one_version_more_with_the_same_secret(setup: Setup) -> None:
    await setup.install()
    [secret] = await setup.secrets()
    done = await setup.install(ELSEWHERE)
    assert (done.was_registered, done.was_installed, done.secret_was_set) == (True, True, False)
    assert (await setup.versions(), await setup.installed()) == (["1.0.0", "1.1.0"], ["1.1.0"])
    assert await setup.secrets() == [secret]
    assert not (await setup.install(ELSEWHERE)).changed


async def test_another_form_of_card_is_one_version_more(setup: Setup) -> None:
    await setup.install()
    await setup.install(form="native")
    assert not (await setup.install(form="native")).changed
    await setup.install(form="hosted")
    assert await setup.versions() == ["1.0.0", "1.1.0", "1.2.0"]


async def test_a_card_keeps_its_form_unless_another_is_asked_for(setup: Setup) -> None:
    assert (await setup.install()).connection.app["form"] == "hosted"
    await setup.install(form="native")
    assert (await setup.install()).connection.app["form"] == "native"
    assert await setup.versions() == ["1.0.0", "1.1.0"]


async def test_what_would_be_registered_is_told_and_not_done(setup: Setup) -> None:
    assert await setup.version() == "1.0.0"
    await setup.install()
    assert (await setup.version(), await setup.version(ELSEWHERE)) == ("1.0.0", "1.1.0")
    assert await setup.versions() == ["1.0.0"]
    await setup.install(ELSEWHERE)
    assert await setup.versions() == ["1.0.0", "1.1.0"]


async def test_a_new_secret_leaves_the_former_one_valid_and_none_before_it(setup: Setup) -> None:
    await setup.install()
    seen = await setup.secrets()
    for _ in range(2):
        done = await setup.install(new_secret=True)
        assert (done.was_registered, done.was_installed, done.secret_was_set) == (False, False, True)
        seen += await setup.secrets()
    assert len(set(seen)) == 3
    assert await setup.accepted() == (digest_of_secret(seen[2]), digest_of_secret(seen[1]))


async def test_a_secret_that_kustomer_lost_is_put_in_anew(setup: Setup) -> None:
    done = await setup.install()
    name = done.definition["app"]
    await setup.client.put_setting(name, "default", "cardSecret", "")
    again = await setup.install()
    assert (again.was_registered, again.was_installed, again.secret_was_set) == (False, False, True)
    [secret] = await setup.secrets()
    assert again.connection.secrets.card_secrets[0] == digest_of_secret(secret)


async def test_an_app_of_an_installation_that_nobody_remembers_is_followed_by_the_next_version(setup: Setup) -> None:
    await setup.install()
    await setup.remember(app={}, card_secrets=())
    assert await setup.version() == "1.1.0"
    done = await setup.install()
    assert (done.was_registered, done.was_installed, done.secret_was_set) == (True, True, True)
    assert (await setup.versions(), await setup.installed()) == (["1.0.0", "1.1.0"], ["1.1.0"])
    assert not (await setup.install()).changed


async def test_versions_that_another_installation_took_meanwhile_are_passed_over(setup: Setup) -> None:
    former = (await setup.install()).connection
    await setup.install(ELSEWHERE)
    await setup.remember(app=former.app, card_secrets=former.secrets.card_secrets)
    await setup.install(form="native")
    assert (await setup.versions(), await setup.installed()) == (["1.0.0", "1.1.0", "1.2.0"], ["1.2.0"])


async def test_an_older_version_that_somebody_installed_is_replaced_by_ours(setup: Setup) -> None:
    name = (await setup.install()).definition["app"]
    await setup.install(ELSEWHERE)
    await setup.client.install_app(name, "1.0.0")
    done = await setup.install(ELSEWHERE)
    assert (done.was_registered, done.was_installed, done.secret_was_set) == (False, True, False)
    assert await setup.installed() == ["1.1.0"]


async def test_two_connections_of_one_organisation_have_an_app_each(setup: Setup) -> None:
    await setup.connect("acme-uk")
    for name in ("acme", "acme-uk"):
        await setup.install(name=name)
    assert await setup.versions() == ["1.0.0", "1.0.0"]
    assert len(set(await setup.secrets())) == 2
    assert not (await setup.install(name="acme")).changed


async def test_two_who_install_at_once_make_one_app(setup: Setup) -> None:
    done = await asyncio.gather(setup.install(), setup.install())
    assert sorted(one.changed for one in done) == [False, True]
    assert await setup.versions() == ["1.0.0"]


@pytest.mark.parametrize(
    ("key", "doing"),
    [("made-up", "Reading the Kustomer organisation"), (LIMITED, "Registering the Kustomer app")],
)
async def test_a_key_that_may_not_is_told_what_it_may_not(open_setup: Open, key: str, doing: str) -> None:
    setup = await open_setup("org.permission.customer")
    setup.key = key
    with pytest.raises(SetupError, match=doing):
        await setup.install()
    assert (await setup.versions(), await setup.installed(), await setup.secrets()) == ([], [], [])


async def test_what_could_not_be_finished_is_finished_by_a_key_that_may(open_setup: Open) -> None:
    setup = await open_setup("org.permission.apps")
    setup.key = LIMITED
    with pytest.raises(SetupError, match="Setting the card's secret"):
        await setup.install()
    setup.key = kustomer.DEFAULT_KEY
    done = await setup.install()
    assert (done.secret_was_set, await setup.installed()) == (True, [done.connection.app["version"]])
    [secret] = await setup.secrets()
    assert (await setup.accepted())[0] == digest_of_secret(secret)
    assert not (await setup.install()).changed


async def test_a_secret_that_kustomer_did_not_take_shuts_nobody_out(open_setup: Open) -> None:
    setup = await open_setup("org.permission.apps", "org.permission.setting.read")
    await setup.install()
    [secret] = await setup.secrets()
    setup.key = LIMITED
    with pytest.raises(SetupError, match="Setting the card's secret"):
        await setup.install(new_secret=True)
    assert await setup.secrets() == [secret]
    assert digest_of_secret(secret) in await setup.accepted()


async def test_a_definition_that_kustomer_refuses_is_refused_in_its_words(setup: Setup) -> None:
    definition = app_definition("acme", "0" * 24, public_url=HERE) | {"author": "acme"}
    answer = await setup.client.register_app(definition)
    assert "author" in getattr(answer, "detail", "")
    assert await setup.versions() == []


async def test_a_secret_that_kustomer_did_not_take_is_put_in_by_the_next_installation(open_setup: Open) -> None:
    setup = await open_setup("org.permission.apps")
    setup.key = LIMITED
    for _ in range(2):
        with pytest.raises(SetupError, match="Setting the card's secret"):
            await setup.install()


async def test_however_often_kustomer_does_not_take_a_secret_the_one_it_has_is_accepted(open_setup: Open) -> None:
    setup = await open_setup("org.permission.apps", "org.permission.setting.read")
    await setup.install()
    [secret] = await setup.secrets()
    setup.key = LIMITED
    for _ in range(3):
        with pytest.raises(SetupError):
            await setup.install(new_secret=True)
    assert digest_of_secret(secret) in await setup.accepted()


async def test_an_installation_that_does_not_get_to_its_end_registers_one_version_however_often(
    open_setup: Open,
) -> None:
    setup = await open_setup("org.permission.apps", "org.permission.setting.read")
    setup.key = LIMITED
    for _ in range(3):
        with pytest.raises(SetupError):
            await setup.install()
    assert await setup.versions() == ["1.0.0"]


async def test_an_app_that_kustomer_lost_is_registered_anew(setup: Setup) -> None:
    await setup.install()
    async with setup.session.post(f"{setup.url}/sandbox/reset") as response:
        assert response.status == 204
    assert (await setup.install()).was_registered


async def test_a_version_far_ahead_of_what_is_remembered_is_followed(setup: Setup) -> None:
    definition = (await setup.install()).definition
    await setup.client.register_app(definition | {"version": "2.0.0"})
    await setup.install(ELSEWHERE)
    assert await setup.installed() == ["2.1.0"]
