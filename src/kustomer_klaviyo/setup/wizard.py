"""Connecting two accounts page by page: each step is checked with the vendor before the next."""

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.connections.clock import keep_clock, kustomer_now
from kustomer_klaviyo.connections.options import OptionsError, read_options
from kustomer_klaviyo.klaviyo.client import KlaviyoClient
from kustomer_klaviyo.klaviyo.metric_names import Proposal
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.signature import HEADER, TEST_EVENT, sign
from kustomer_klaviyo.setup.credentials import (
    KLAVIYO_URL,
    KUSTOMER_URL,
    NAME,
    WEBHOOK_PATH,
    SetupError,
    check_address,
    clean_secret,
    known_at_the_door,
    propose_metrics,
    with_klaviyo_key,
    with_webhook,
)
from kustomer_klaviyo.setup.key_checks import KlaviyoCheck, KustomerCheck, check_klaviyo, check_kustomer
from kustomer_klaviyo.store.connections import Connection, Connections, Secrets
from kustomer_klaviyo.store.setup_drafts import Draft

KNOCKING_SECONDS = 6.0
KNOCK_AGAIN_SECONDS = 0.5


class Onboarding:
    """Makes and changes connections on an admin's word."""

    def __init__(self, connections: Connections, session: aiohttp.ClientSession) -> None:
        self._connections = connections
        self._session = session

    async def check_klaviyo(self, draft: Draft, *, site_id: str, key: str, url: str) -> KlaviyoCheck:
        """Step one: the Klaviyo key and the account. Raises SetupError."""
        key, site_id, url = clean_secret("Klaviyo private key", key), site_id.strip(), url.strip() or KLAVIYO_URL
        if not site_id:
            raise SetupError("Enter the site ID: six letters and digits, in Klaviyo under Settings > API keys.")
        check = await check_klaviyo(self._klaviyo(check_address(url), key), site_id=site_id)
        check.insist()
        draft.document |= {"klaviyo_url": url, "account": check.account, "account_name": check.name}
        draft.document["findings"] = msgspec.to_builtins(check.findings)
        draft.secrets["klaviyo_key"] = key
        return check

    async def join(
        self, draft: Draft, *, organisation: str, key: str, public_url: str, name: str, url: str
    ) -> Connection:
        """Step two: the organisation, its key, and the webhook; the connection is made. Raises SetupError."""
        key, organisation = clean_secret("Kustomer API key", key), organisation.strip().lower()
        if not NAME.match(organisation):
            raise SetupError("Enter the organisation as in its address: acme for acme.kustomerapp.com.")
        name, public_url = name.strip() or organisation, check_address(public_url.strip())
        if not NAME.match(name):
            raise SetupError("A connection's name has lower-case letters, digits and dashes.")
        url = check_address(url.strip() or KUSTOMER_URL.format(organisation))
        client = KustomerClient(self._session, base_url=url, key=key)
        (await check_kustomer(client, organisation=organisation)).insist()
        async with self._connections.alone(name):
            before = await self._connections.get(name)
            if before is not None and before.webhook_id is not None:
                raise SetupError(
                    f"There is a connection {name!r} already: new keys are put in on its own page. To join the "
                    "organisation to another Klaviyo account, give this connection another name."
                )
            draft_connection = Connection(
                id=name,
                organisation=organisation,
                kustomer_url=url,
                klaviyo_url=draft.document["klaviyo_url"],
                secrets=Secrets(key, (draft.secrets["klaviyo_key"],), ()),
                horizon=kustomer_now(client) if before is None else before.horizon,
                revision=0 if before is None else before.revision,
                klaviyo_account=draft.document["account"],
                webhook_url=public_url.rstrip("/") + WEBHOOK_PATH.format(name),
            )
            # From the first event on, under the names that the account has; the admin may choose others in the next
            # step.
            names = {one.option: one.name for one in await self.proposals(draft_connection) if one.exists}
            async with known_at_the_door(self._connections, replace(draft_connection, options=names)) as known:
                connection, _ = await with_webhook(client, known)
                saved = await self._connections.save(connection)
            await keep_clock(self._connections.database, saved.id, client)
            return saved

    async def check_keys(self, connection: Connection) -> tuple[KlaviyoCheck, KustomerCheck]:
        """Say what a connection's keys may do. Raises SetupError."""
        klaviyo = self._klaviyo(connection.klaviyo_url, connection.secrets.klaviyo_keys[0])
        kustomer = KustomerClient(self._session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)
        return (
            await check_klaviyo(klaviyo, site_id=connection.klaviyo_account, options=connection.options),
            await check_kustomer(kustomer),
        )

    async def knock(self, connection: Connection) -> str | None:
        """Send a test event round by the public address; returns what is wrong with it, None when it arrives."""
        url, token = connection.webhook_url or "", connection.secrets.webhook_tokens[0]
        body = msgspec.json.encode({"id": "test", "name": TEST_EVENT, "data": None})
        headers = {HEADER: sign(token, body), "Content-Type": "application/json"}
        said = f"{url} does not answer"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(KNOCKING_SECONDS):
                while True:
                    try:
                        async with self._session.post(
                            url, data=body, headers=headers, allow_redirects=False
                        ) as response:
                            if response.status == 200:
                                return None
                            said = f"{url} answered {response.status}"
                    except (aiohttp.ClientError, OSError) as error:
                        said = f"{url} cannot be reached from here ({type(error).__name__})"
                    await asyncio.sleep(KNOCK_AGAIN_SECONDS)
        return said

    async def proposals(self, connection: Connection) -> list[Proposal]:
        """Step three: names for the metrics, those that the account has already first."""
        klaviyo = self._klaviyo(connection.klaviyo_url, connection.secrets.klaviyo_keys[0])
        return await propose_metrics(klaviyo, connection.options)

    async def set_options(self, connection: Connection, news: dict[str, Any]) -> Connection:
        """Change settings of a connection. Raises SetupError naming what is wrong."""

        def change(now: Connection) -> Connection:
            try:
                read_options(now.options | news)
            except OptionsError as error:
                raise SetupError(str(error)) from error
            return replace(now, options=now.options | news)

        return await self._connections.change(connection.id, change)

    async def add_klaviyo_key(self, connection: Connection, key: str) -> KlaviyoCheck:
        """Put a new key beside the old one, checked and current from now on. Raises SetupError; the old one stays."""
        key = clean_secret("Klaviyo private key", key)
        client = self._klaviyo(connection.klaviyo_url, key)
        check = await check_klaviyo(client, site_id=connection.klaviyo_account, options=connection.options)
        check.insist()
        await self._connections.change(
            connection.id, lambda now: replace(now, secrets=with_klaviyo_key(now.secrets, key))
        )
        return check

    async def set_kustomer_key(self, connection: Connection, key: str) -> KustomerCheck:
        """Put a new key in the place of the Kustomer key, checked. Raises SetupError; the old one stays."""
        key = clean_secret("Kustomer API key", key)
        client = KustomerClient(self._session, base_url=connection.kustomer_url, key=key)
        check = await check_kustomer(client, organisation=connection.organisation)
        check.insist()
        await self._connections.change(
            connection.id, lambda now: replace(now, secrets=replace(now.secrets, kustomer_key=key))
        )
        return check

    async def forget_old_key(self, connection: Connection) -> None:
        """Keep the current Klaviyo key only."""
        await self._connections.change(connection.id, _with_current_key_only)

    def _klaviyo(self, url: str, key: str) -> KlaviyoClient:
        return KlaviyoClient(self._session, base_url=url, key=key)


def _with_current_key_only(connection: Connection) -> Connection:
    return replace(connection, secrets=replace(connection.secrets, klaviyo_keys=connection.secrets.klaviyo_keys[:1]))
