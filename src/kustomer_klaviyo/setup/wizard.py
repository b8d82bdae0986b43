"""Creates and changes connections. The pages and the `connect` command use it alike."""

import asyncio
import contextlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import aiohttp
import msgspec

from kustomer_klaviyo.connections.clock import clock_problem, kustomer_now, save_clock_skew
from kustomer_klaviyo.connections.options import OptionsError, read_options
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.metric_names import MetricNameProposal
from kustomer_klaviyo.klaviyo.scopes import ScopeStatus
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.signature import HEADER, TEST_EVENT, sign
from kustomer_klaviyo.setup.account_metrics import duplicate_metric_names, propose_metric_names
from kustomer_klaviyo.setup.connect_request import (
    NAME_PATTERN,
    ConnectRequest,
    ConnectResult,
    draft_connection,
    is_complete,
    metric_warnings,
    setting_warnings,
)
from kustomer_klaviyo.setup.credentials import (
    clean_secret,
    with_current_klaviyo_key_only,
    with_klaviyo_key,
    with_webhook_token,
)
from kustomer_klaviyo.setup.key_checks import KlaviyoCheck, KustomerCheck, ScopeCheck, check_klaviyo, check_kustomer
from kustomer_klaviyo.setup.kustomer_app import InstallResult, install_app
from kustomer_klaviyo.setup.kustomer_webhook import saved_before_webhook, with_webhook
from kustomer_klaviyo.setup.service_urls import KLAVIYO_URL, KUSTOMER_URL, WEBHOOK_PATH, check_url
from kustomer_klaviyo.setup.setup_error import SetupError, SetupErrorCode
from kustomer_klaviyo.store.connections import Connection, Connections
from kustomer_klaviyo.store.encryption import DecryptionError
from kustomer_klaviyo.store.setup_drafts import SetupDraft

TEST_EVENT_TIMEOUT_SECONDS = 6.0
TEST_EVENT_RETRY_SECONDS = 0.5


class SetupWizard:
    """Sets up connections: checks each key with its vendor, then creates what is needed there."""

    def __init__(self, connections: Connections, session: aiohttp.ClientSession) -> None:
        self._connections = connections
        self._session = session

    async def find(self, name: str) -> Connection | None:
        """Return a connection; without its secrets if they can no longer be decrypted."""
        try:
            return await self._connections.get(name)
        except DecryptionError:
            return await self._connections.without_secrets(name)

    async def connect(self, request: ConnectRequest, *, must_be_new: bool = False) -> ConnectResult:
        """Create or change a connection: check both keys, then find or create the webhook. Raises SetupError."""
        async with self._connections.lock(request.name):
            existing = await self.find(request.name)
            if must_be_new and existing is not None and is_complete(existing):
                raise SetupError(SetupErrorCode.CONNECTION_EXISTS, name=request.name)
            draft = draft_connection(request, existing)
            klaviyo_checks, draft = await self._check_account(request, draft, existing)
            if existing is None or not is_complete(existing):
                draft = await self._with_existing_metric_names(draft)
            kustomer = self._kustomer(draft.kustomer_url, draft.secrets.kustomer_key)
            kustomer_check = await check_kustomer(kustomer, organisation=draft.organisation)
            kustomer_check.require()
            if existing is None and request.since is None:
                draft = replace(draft, since=kustomer_now(kustomer))
            connection, was_found = await self._save(request, draft, kustomer)
        checks = (*klaviyo_checks, *kustomer_check.checks)
        missing = [f"{check.name}: {check.purpose}" for check in checks if check.status is ScopeStatus.MISSING]
        return ConnectResult(connection, was_found, missing, await self._warnings(request, connection, kustomer))

    async def _check_account(
        self, request: ConnectRequest, draft: Connection, existing: Connection | None
    ) -> tuple[Sequence[ScopeCheck], Connection]:
        """Check the Klaviyo key, unless it was checked already. A new key must not change the account."""
        if request.klaviyo_account is not None:
            return (), replace(draft, klaviyo_account=request.klaviyo_account)
        client = self._klaviyo(draft.klaviyo_url, draft.secrets.klaviyo_keys[0])
        check = await check_klaviyo(client, site_id=request.site_id, options=draft.options)
        connected = existing.klaviyo_account if existing else None
        if connected not in (None, check.account):
            code = SetupErrorCode.KLAVIYO_ACCOUNT_CHANGED
            raise SetupError(code, account=check.account, connected_account=connected)
        check.require()
        return check.checks, replace(draft, klaviyo_account=check.account)

    async def _with_existing_metric_names(self, draft: Connection) -> Connection:
        """Use the names that the account's metrics have already: Klaviyo cannot rename a metric."""
        names = {proposal.option: proposal.name for proposal in await self.propose_metrics(draft) if proposal.exists}
        return replace(draft, options=names | draft.options)

    async def _save(
        self, request: ConnectRequest, draft: Connection, client: KustomerClient
    ) -> tuple[Connection, bool]:
        """Save the connection with its webhook. The webhook of a given token is left to the admin."""
        async with saved_before_webhook(self._connections, draft) as saved:
            if request.webhook_token is None:
                connection, was_found = await with_webhook(client, saved)
            else:
                secrets = with_webhook_token(saved.secrets, request.webhook_token)
                connection, was_found = replace(saved, secrets=secrets), True
            connection = await self._connections.save(connection)
        await save_clock_skew(self._connections.db, connection.id, client)
        return connection, was_found

    async def _warnings(self, request: ConnectRequest, connection: Connection, kustomer: KustomerClient) -> list[str]:
        client = self._klaviyo(connection.klaviyo_url, connection.secrets.klaviyo_keys[0])
        clock_warning = clock_problem(kustomer.clock_skew)
        return [
            *([clock_warning] if clock_warning else []),
            *setting_warnings(request, connection),
            *metric_warnings(connection, await duplicate_metric_names(client)),
        ]

    async def check_klaviyo(self, draft: SetupDraft, *, site_id: str, key: str, url: str) -> KlaviyoCheck:
        """Check the Klaviyo key and its account, and store them in the draft. Raises SetupError."""
        key, site_id, url = clean_secret("Klaviyo private key", key), site_id.strip(), url.strip() or KLAVIYO_URL
        if not site_id:
            raise SetupError(SetupErrorCode.SITE_ID_EMPTY)
        check = await check_klaviyo(self._klaviyo(check_url(url), key), site_id=site_id)
        check.require()
        draft.document |= {"klaviyo_url": url, "account": check.account, "account_name": check.account_name}
        draft.document["checks"] = msgspec.to_builtins(check.checks)
        draft.secrets["klaviyo_key"] = key
        return check

    async def create_connection(
        self, draft: SetupDraft, *, organisation: str, key: str, public_url: str, name: str, url: str
    ) -> Connection:
        """Create a connection from a draft, whose Klaviyo key was checked, and a Kustomer key. Raises SetupError."""
        key, organisation = clean_secret("Kustomer API key", key), organisation.strip().lower()
        if not NAME_PATTERN.match(organisation):
            raise SetupError(SetupErrorCode.INVALID_ORGANISATION)
        name = name.strip() or organisation
        if not NAME_PATTERN.match(name):
            raise SetupError(SetupErrorCode.INVALID_CONNECTION_NAME)
        request = ConnectRequest(
            name=name,
            organisation=organisation,
            public_url=check_url(public_url.strip()),
            kustomer_url=check_url(url.strip() or KUSTOMER_URL.format(organisation)),
            klaviyo_url=draft.document["klaviyo_url"],
            kustomer_key=key,
            klaviyo_key=draft.secrets["klaviyo_key"],
            klaviyo_account=draft.document["account"],
            drop_fallback_key=True,
        )
        return (await self.connect(request, must_be_new=True)).connection

    async def check_keys(self, connection: Connection) -> tuple[KlaviyoCheck, KustomerCheck]:
        """Check what the keys of a connection may do. Raises SetupError."""
        klaviyo = self._klaviyo(connection.klaviyo_url, connection.secrets.klaviyo_keys[0])
        kustomer = self._kustomer(connection.kustomer_url, connection.secrets.kustomer_key)
        return (
            await check_klaviyo(klaviyo, site_id=connection.klaviyo_account, options=connection.options),
            await check_kustomer(kustomer),
        )

    async def send_test_event(self, connection: Connection) -> str | None:
        """Send a signed test event to the public webhook URL. Return an error, or None if it arrives."""
        url, token = connection.webhook_url or "", connection.secrets.webhook_tokens[0]
        body = msgspec.json.encode({"id": "test", "name": TEST_EVENT, "data": None})
        headers = {HEADER: sign(token, body), "Content-Type": "application/json"}
        error: str | None = f"{url} does not answer"
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TEST_EVENT_TIMEOUT_SECONDS):
                while (error := await self._post_test_event(url, body, headers)) is not None:
                    await asyncio.sleep(TEST_EVENT_RETRY_SECONDS)
        return error

    async def _post_test_event(self, url: str, body: bytes, headers: dict[str, str]) -> str | None:
        try:
            async with self._session.post(url, data=body, headers=headers, allow_redirects=False) as response:
                return None if response.status == 200 else f"{url} answered {response.status}"
        except (aiohttp.ClientError, OSError) as error:
            return f"{url} cannot be reached from here ({type(error).__name__})"

    async def propose_metrics(self, connection: Connection) -> list[MetricNameProposal]:
        """Propose names for the metrics; those that the account has already come first."""
        client = self._klaviyo(connection.klaviyo_url, connection.secrets.klaviyo_keys[0])
        return await propose_metric_names(client, connection.options)

    async def set_options(self, connection: Connection, options: dict[str, Any]) -> Connection:
        """Change options of a connection. Raises SetupError naming the invalid option."""

        def update(now: Connection) -> Connection:
            try:
                read_options(now.options | options)
            except OptionsError as error:
                raise SetupError(SetupErrorCode.INVALID_OPTION, detail=str(error)) from error
            return replace(now, options=now.options | options)

        return await self._connections.update(connection.id, update)

    async def add_klaviyo_key(self, connection: Connection, key: str) -> KlaviyoCheck:
        """Check a new Klaviyo key and make it the current one; the old one becomes the fallback. Raises SetupError."""
        key = clean_secret("Klaviyo private key", key)
        client = self._klaviyo(connection.klaviyo_url, key)
        check = await check_klaviyo(client, site_id=connection.klaviyo_account, options=connection.options)
        check.require()
        await self._connections.update(
            connection.id, lambda now: replace(now, secrets=with_klaviyo_key(now.secrets, key))
        )
        return check

    async def set_kustomer_key(self, connection: Connection, key: str) -> KustomerCheck:
        """Check a new Kustomer key and replace the old one. Raises SetupError."""
        key = clean_secret("Kustomer API key", key)
        check = await check_kustomer(self._kustomer(connection.kustomer_url, key), organisation=connection.organisation)
        check.require()
        await self._connections.update(
            connection.id, lambda now: replace(now, secrets=replace(now.secrets, kustomer_key=key))
        )
        return check

    async def remove_fallback_key(self, connection: Connection) -> None:
        """Keep only the current Klaviyo key."""
        await self._connections.update(
            connection.id, lambda now: replace(now, secrets=with_current_klaviyo_key_only(now.secrets))
        )

    async def install_card(self, connection: Connection) -> InstallResult:
        """Install the Kustomer app with the card, served from the webhook's site. Raises SetupError."""
        public_url = (connection.webhook_url or "").removesuffix(WEBHOOK_PATH.format(connection.id))
        client = self._kustomer(connection.kustomer_url, connection.secrets.kustomer_key)
        return await install_app(client, self._connections, connection.id, public_url=public_url)

    def _klaviyo(self, url: str, key: str) -> KlaviyoClient:
        return KlaviyoClient(self._session, base_url=url, key=key)

    def _kustomer(self, url: str, key: str) -> KustomerClient:
        return KustomerClient(self._session, base_url=url, key=key)
