"""The overview, and one connection: how it stands, its keys, its card."""

from typing import Any

import aiohttp
from litestar import Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.response import Redirect

from kustomer_klaviyo.klaviyo.scopes import key_page
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.runtime.connection_health import problems, status_of
from kustomer_klaviyo.setup.credentials import SetupError
from kustomer_klaviyo.setup.key_checks import KlaviyoCheck, KustomerCheck, lacking
from kustomer_klaviyo.setup.kustomer_app import install_app
from kustomer_klaviyo.setup.wizard import Onboarding
from kustomer_klaviyo.store import reports
from kustomer_klaviyo.store.connections import Connection, Connections
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.reports import Search
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.guard import VIEWER
from kustomer_klaviyo.web.console.pages import Asked, page

MOST_UNREAD = 20


class OverviewPages:
    """What is connected, and how it fares."""

    def __init__(
        self,
        database: Database,
        connections: Connections,
        onboarding: Onboarding,
        session: aiohttp.ClientSession,
    ) -> None:
        self._database = database
        self._connections = connections
        self._onboarding = onboarding
        self._session = session

    def routes(self) -> list[HTTPRouteHandler]:
        """Make the routes."""

        @get("/", opt=VIEWER)
        async def overview(request: Asked) -> Response[str]:
            rows = [row | {"status": status_of(row)} for row in await reports.status(self._database)]
            return page(request, "overview.html", rows=rows)

        @get("/connections/{name:str}", opt=VIEWER)
        async def connection(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._connection_page(request, await self._connections.named(name))

        @post("/connections/{name:str}/key")
        async def new_key(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._new_key(request, await self._connections.named(name))

        @post("/connections/{name:str}/kustomer-key")
        async def new_kustomer_key(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._new_kustomer_key(request, await self._connections.named(name))

        @post("/connections/{name:str}/forget-key")
        async def forget_key(name: FromPath[str]) -> Response[str]:
            await self._onboarding.forget_old_key(await self._connections.named(name))
            return Redirect(f"/connections/{name}", status_code=303)

        @post("/connections/{name:str}/check")
        async def check(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._check_keys(request, await self._connections.named(name))

        @post("/connections/{name:str}/card")
        async def card(request: Asked, name: FromPath[str]) -> Response[str]:
            return await self._install_card(request, await self._connections.named(name))

        return [overview, connection, new_key, new_kustomer_key, forget_key, check, card]

    async def _connection_page(
        self,
        request: Asked,
        connection: Connection,
        *,
        problem: str = "",
        said: str = "",
        checked: tuple[KlaviyoCheck, KustomerCheck] | None = None,
    ) -> Response[str]:
        rows: list[dict[str, Any]] = await reports.status(self._database)
        return page(
            request,
            "connection.html",
            status=400 if problem else 200,
            connection=connection,
            row=(row := next(row for row in rows if row["id"] == connection.id)),
            status_word=status_of(row),
            problems=problems(row),
            keys=[f"...{key[-4:]}" for key in connection.secrets.klaviyo_keys],
            key_page=key_page(),
            problem=problem,
            said=said,
            checked=checked,
            unread=await reports.not_understood(self._database, Search(connection=connection.id, limit=MOST_UNREAD)),
        )

    async def _check_keys(self, request: Asked, connection: Connection) -> Response[str]:
        try:
            checked = await self._onboarding.check_keys(connection)
        except SetupError as error:
            return await self._connection_page(request, connection, problem=str(error))
        return await self._connection_page(request, connection, checked=checked)

    async def _new_key(self, request: Asked, connection: Connection) -> Response[str]:
        form = await read_form(request)
        try:
            check = await self._onboarding.add_klaviyo_key(connection, form.get("key", ""))
        except SetupError as error:
            return await self._connection_page(request, connection, problem=str(error))
        missing = lacking(check.findings, needed=False)
        said = "The new key is in use; the one before it stays as a fallback until you remove it."
        said += f" It lacks {', '.join(missing)}: see what that means in the documentation." if missing else ""
        changed = await self._connections.get(connection.id) or connection
        return await self._connection_page(request, changed, said=said)

    async def _new_kustomer_key(self, request: Asked, connection: Connection) -> Response[str]:
        form = await read_form(request)
        try:
            check = await self._onboarding.set_kustomer_key(connection, form.get("key", ""))
        except SetupError as error:
            return await self._connection_page(request, connection, problem=str(error))
        missing = lacking(check.findings, needed=False)
        said = "The new Kustomer key is in use." + (f" It lacks {', '.join(missing)}." if missing else "")
        return await self._connection_page(request, connection, said=said)

    async def _install_card(self, request: Asked, connection: Connection) -> Response[str]:
        public_url = (connection.webhook_url or "").removesuffix(f"/webhooks/kustomer/{connection.id}")
        client = KustomerClient(self._session, base_url=connection.kustomer_url, key=connection.secrets.kustomer_key)
        try:
            done = await install_app(client, self._connections, connection.id, public_url=public_url)
        except SetupError as error:
            return await self._connection_page(request, connection, problem=str(error))
        said = "The card is installed." if done.changed else "The card was installed already; nothing had to change."
        return await self._connection_page(request, done.connection, said=said)
